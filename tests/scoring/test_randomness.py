"""Dropout and jitter are off under every name, evaluation's numbers stay, and what is random all the same is named."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers

from softpref.errors import OptionError
from softpref.scoring.plain import lone_logps
from softpref.scoring.randomness import disable_dropout, refuse_randomness
from tiny_models import SHAPE, pairs_of, randomised

(PAIR,) = pairs_of([(5, 6, 4)])
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
HALF = 0.5
RANDOM = {
    "seed-oss": ("SeedOss", {"attention_dropout": HALF, "residual_dropout": HALF, "head_dim": 4}),
    "starcoder2": ("Starcoder2", {"attention_dropout": HALF, "residual_dropout": HALF, "embedding_dropout": HALF}),
    "opt": ("OPT", {"dropout": HALF, "attention_dropout": HALF, "layerdrop": HALF, "ffn_dim": 20, "word_embed_proj_dim": 16}),
    "phi": ("Phi", {"resid_pdrop": HALF, "embd_pdrop": HALF, "attention_dropout": HALF, "num_key_value_heads": 4}),
    "gpt_neox": ("GPTNeoX", {"attention_dropout": HALF, "hidden_dropout": HALF}),
    "gptj": ("GPTJ", {"attn_pdrop": HALF, "resid_pdrop": HALF, "embd_pdrop": HALF, "rotary_dim": 2}),
    "bloom": ("Bloom", {"hidden_dropout": HALF, "attention_dropout": HALF}),
    "biogpt": ("BioGpt", {"hidden_dropout_prob": HALF, "attention_probs_dropout_prob": HALF, "layerdrop": HALF}),
    "mixtral, jitter": ("Mixtral", {**EXPERTS, "router_jitter_noise": HALF}),
    "phimoe, jitter": ("Phimoe", {**EXPERTS, "router_jitter_noise": 0.01, "input_jitter_noise": HALF}),
}


def made(family):
    name, settings = RANDOM[family]
    config = getattr(transformers, f"{name}Config")(**{**SHAPE, **settings})
    config._experts_implementation = "eager"
    return randomised(getattr(transformers, f"{name}ForCausalLM")(config).double())


@torch.no_grad()
def both(model):
    scores = lone_logps(model, [PAIR])
    return torch.stack([scores.chosen, scores.rejected])


@pytest.mark.parametrize("family", RANDOM)
def test_training_mode_computes_as_evaluation_did_before(family):
    """A layer that is dropped by chance is noticed in one of several forwards."""
    model = made(family)
    right = both(model)
    model.train()
    assert any(not torch.allclose(both(model), right, atol=1e-3) for _ in range(8)), "nothing is random"
    disable_dropout(model)
    for _ in range(4):
        torch.testing.assert_close(both(model.train()), right, rtol=0, atol=1e-5)
    torch.testing.assert_close(both(copy.deepcopy(model).train()), right, rtol=0, atol=1e-5)
    refuse_randomness(model, PAIR)
    assert model.training
    torch.testing.assert_close(both(model.eval()), right, rtol=0, atol=1e-5)


def llama():
    return randomised(transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHAPE)).double())


class NoisyLinear(torch.nn.Linear):
    def forward(self, hidden):
        return super().forward(hidden) + (torch.randn_like(hidden) if self.training else 0)


def test_what_is_random_all_the_same_is_named():
    model = llama()
    model.model.layers[1].self_attn.o_proj = NoisyLinear(16, 16).double()
    with pytest.raises(
        OptionError,
        match=r"random in training mode: two forwards of one row differ by .* another part of LlamaForCausalLM "
        r"\(perhaps NoisyLinear\); turn it off",
    ):
        refuse_randomness(model, PAIR)
    assert not model.training


def test_a_model_that_is_another_in_training_mode_is_told_from_a_random_one():
    model = llama()
    model.lm_head.register_forward_hook(lambda head, _, logits: logits * (2 if head.training else 1))
    with pytest.raises(OptionError, match=r"computes otherwise in training mode than in evaluation mode: .* differ by"):
        refuse_randomness(model, PAIR)


def test_a_model_that_is_not_random_is_let_through_and_nan_is_for_others_to_find():
    model = llama()
    refuse_randomness(model, PAIR)
    with torch.no_grad():
        model.lm_head.weight.fill_(torch.nan)
    refuse_randomness(model, PAIR)
