"""Tiny random models of many families, in float64, and pairs of token ids for them."""

from __future__ import annotations

import copy
from functools import cache

import torch
import transformers

from softpref.data.tokenization import TokenizedPair
from softpref.scoring.plain import response_logps
from softpref.scoring.scores import PairScores

VOCABULARY = 29
# Of prompt and one response; the families with a window see 4 of them.
CONTEXT = 24

SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
WINDOW = {"sliding_window": 4}
ALTERNATING = {**WINDOW, "layer_types": ["sliding_attention", "full_attention"]}
GPT = {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT}

FAMILIES = {
    "llama": ("Llama", {}),
    "llama, tied": ("Llama", {"tie_word_embeddings": True}),
    "qwen3": ("Qwen3", {"head_dim": 6}),
    "gemma2": ("Gemma2", {**ALTERNATING, "head_dim": 4, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}),
    "gemma3": ("Gemma3", {**ALTERNATING, "head_dim": 4}),
    "mistral, windowed": ("Mistral", WINDOW),
    "gpt2": ("GPT2", GPT),
    "gpt_neox": ("GPTNeoX", {"num_key_value_heads": 4, "rotary_pct": 0.5}),
    "mixtral": ("Mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "cohere": ("Cohere", {"logit_scale": 0.25}),
    "granite": ("Granite", {"logits_scaling": 4.0, "attention_multiplier": 0.7}),
    "phi": ("Phi", {"num_key_value_heads": 4}),
}


@cache
def tiny(family):
    """A model of this family, of which attention matters: weights of 0.3 and norms of their own."""
    name, settings = FAMILIES[family]
    config = getattr(transformers, f"{name}{'Text' if name == 'Gemma3' else ''}Config")(**{**SHAPE, **settings})
    config._attn_implementation = "eager" if name == "Gemma2" else "sdpa"
    if name == "Mixtral":
        config._experts_implementation = "eager"
    return randomised(getattr(transformers, "GPT2LMHeadModel" if name == "GPT2" else f"{name}ForCausalLM")(config).double())


def randomised(model):
    """Random weights everywhere, biases and norms too."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in model.parameters():
            noise = torch.randn(value.shape, generator=generator, dtype=value.dtype)
            value.copy_(0.3 * noise if value.dim() > 1 else value + 0.2 * noise)
    return model.eval()


def pairs_of(sizes, seed=0):
    """Pairs of random ids with prompts, chosen and rejected sides of these sizes."""
    generator = torch.Generator().manual_seed(seed)
    return [
        TokenizedPair(*(torch.randint(2, VOCABULARY, (n,), generator=generator).tolist() for n in three), 0.7, 1.0, row)
        for row, three in enumerate(sizes, start=1)
    ]


def alone(model, pairs):
    """The plain path, every response on its own: nothing is padded. A side that is not there is (0, 1)."""
    zero, one = (torch.full((1,), float(value), dtype=torch.float64) for value in (0, 1))
    sides = [
        [response_logps(model, [(pair.prompt, side)]) if side else (zero, one) for side in (pair.chosen, pair.rejected)]
        for pair in pairs
    ]
    return PairScores(*(torch.cat([two[side][what] for two in sides]) for what in (0, 1) for side in (0, 1)))


def perturbed(model, seed=0):
    """The same architecture, a little elsewhere: at step 0 many errors cancel."""
    torch.manual_seed(seed)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for value in twin.parameters():
            value.add_(0.2 * torch.randn_like(value))
    return twin
