"""A row's score through the default path is its score alone, whatever rows came first and whatever it is computed with."""

from __future__ import annotations

import copy
from functools import cache

import pytest
import torch
import transformers

from softpref.data.model_lengths import alike, one_rope_length, position_limit, shows_more, thresholds
from softpref.data.tokenization import TokenizedPair
from softpref.errors import InputError, OptionError
from softpref.scoring.plain import lone_logps, pair_logps
from softpref.scoring.score_all import score_all
from softpref.scoring.scores import joined, reordered
from softpref.scoring.self_check import checked_scorer
from tiny_models import SHAPE, pairs_of, randomised

# Every family sees, chunks or turns otherwise beyond LIMIT tokens; CONTEXT is more than any row has.
LIMIT, CONTEXT = 16, 64
LONG_CONTEXT = {**SHAPE, "max_position_embeddings": CONTEXT}
SHORT_CONTEXT = {**SHAPE, "max_position_embeddings": LIMIT}
WINDOW = {**LONG_CONTEXT, "sliding_window": LIMIT, "head_dim": 4}
FACTORS = {"short_factor": [1.0, 1.1], "long_factor": [2.0, 5.0], "original_max_position_embeddings": LIMIT}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}


def rope(kind, **parameters):
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 100.0, **parameters}}


FAMILIES = {
    "mistral": ("Mistral", WINDOW),
    "mixtral": ("Mixtral", {**WINDOW, **EXPERTS}),
    "gemma2": ("Gemma2", {**WINDOW, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}),
    "gemma3": ("Gemma3", {**WINDOW, "layer_types": ["sliding_attention", "full_attention"]}),
    "qwen2, windows in upper layers": ("Qwen2", {**WINDOW, "use_sliding_window": True, "max_window_layers": 1}),
    "qwen3, windows in upper layers": ("Qwen3", {**WINDOW, "use_sliding_window": True, "max_window_layers": 1}),
    "cohere2": ("Cohere2", {**WINDOW, "layer_types": ["sliding_attention", "full_attention"]}),
    "gpt_oss, sinks": ("GptOss", {**WINDOW, **EXPERTS, **rope("default")}),
    "phimoe, window": ("Phimoe", {**WINDOW, **EXPERTS}),
    "phimoe, long rope": (
        "Phimoe",
        {**LONG_CONTEXT, **EXPERTS, **rope("longrope", **FACTORS, short_mscale=1.0, long_mscale=1.3)},
    ),
    "phi3, long rope": ("Phi3", {**LONG_CONTEXT, "original_max_position_embeddings": LIMIT, **rope("longrope", **FACTORS)}),
    "phi3, window": ("Phi3", WINDOW),
    "llama, dynamic rope": ("Llama", {**SHORT_CONTEXT, **rope("dynamic", factor=4.0)}),
    "llama, llama3 rope": (
        "Llama",
        {
            **LONG_CONTEXT,
            **rope("llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=LIMIT),
        },
    ),
    "llama, yarn": ("Llama", {**LONG_CONTEXT, **rope("yarn", factor=4.0, original_max_position_embeddings=LIMIT)}),
    "llama, linear rope": ("Llama", {**LONG_CONTEXT, **rope("linear", factor=4.0)}),
    "llama4, chunks": (
        "Llama4",
        {**LONG_CONTEXT, **EXPERTS, "head_dim": 4, "attention_chunk_size": LIMIT, "floor_scale": 8, "intermediate_size_mlp": 20},
    ),
    "gemma3, dynamic rope in some layers": (
        "Gemma3",
        {
            **SHORT_CONTEXT,
            "sliding_window": LIMIT,
            "head_dim": 4,
            "layer_types": ["sliding_attention", "full_attention"],
            "rope_parameters": {
                "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
                "full_attention": {"rope_type": "dynamic", "rope_theta": 100.0, "factor": 4.0},
            },
        },
    ),
    "doge, a mask that depends on company": ("Doge", {**LONG_CONTEXT, "keep_window_size": LIMIT}),
    "falcon, position bias": ("Falcon", {**LONG_CONTEXT, "alibi": True}),
    "gpt2": ("GPT2", {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT}),
    "gpt_neo, windows": ("GPTNeo", {"attention_types": [[["local", "global"], 1]], "window_size": LIMIT}),
    "gpt_neox": ("GPTNeoX", {**LONG_CONTEXT, "num_key_value_heads": 4, "rotary_pct": 0.5}),
    "opt": ("OPT", {**LONG_CONTEXT, "ffn_dim": 20, "word_embed_proj_dim": 16}),
    "bloom, position bias": ("Bloom", {"n_layer": 2, "n_head": 4}),
}


@cache
def made(family):
    name, settings = FAMILIES[family]
    config = getattr(transformers, f"{name}{'Text' if name in ('Gemma3', 'Llama4') else ''}Config")
    head = {"GPT2": "GPT2LMHeadModel"}.get(name, f"{name}ForCausalLM")
    shape = {"vocab_size": 29, "hidden_size": 16, "intermediate_size": 20, "num_layers": 2, "num_heads": 4}
    ends = {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0}
    given = config(**{**shape, **ends, **settings})
    given._experts_implementation = "eager"  # the grouped products of the others know no float64
    return randomised(getattr(transformers, head)(given).double())


# Prompts and both sides: all below LIMIT, on both sides of it, beyond it.
SHORT = [(3, 4, 2), (5, 3, 6), (1, 2, 2)]
MIXED = [(10, 3, 12), (4, 30, 5), (20, 11, 15), (30, 3, 3), (2, 45, 40), (9, 7, 6)]


def by_hand(model, pair):
    """Both sides' log-probs: a copy that has computed nothing before, one row, no padding."""
    sums = []
    for side in (pair.chosen, pair.rejected):
        ids = torch.tensor([pair.prompt + side])
        logits = copy.deepcopy(model)(input_ids=ids, use_cache=False).logits[0, len(pair.prompt) - 1 : -1]
        sums.append(logits.double().log_softmax(-1).gather(1, torch.tensor(side)[:, None]).sum())
    return torch.stack(sums)


def through(model, checked, pairs, max_tokens):
    numbered = [TokenizedPair(p.prompt, p.chosen, p.rejected, 0.7, 1.0, place) for place, p in enumerate(pairs)]
    batches = checked.micro_batches(numbered, max_tokens)
    places = torch.tensor([pair.row for batch in batches for pair in batch])
    found = reordered(joined([checked.scorer(model, batch) for batch in batches]), places)
    return torch.stack([found.chosen, found.rejected], 1)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_score_is_that_of_the_row_alone(family):
    """fp32 inside some norms and softmaxes: 1e-4 nats are rounding, and the least effect of LIMIT is beyond 1e-3."""
    short, mixed = pairs_of(SHORT), pairs_of(MIXED, seed=1)
    right = torch.stack([by_hand(made(family), pair) for pair in [*short, *mixed]])
    for first, budget in ((short, 40), (short, 4000), (mixed, 4000)):
        model = copy.deepcopy(made(family))
        checked = checked_scorer(model, first).checked_on(model, mixed)
        found = through(model, checked, [*short, *mixed], budget)
        torch.testing.assert_close(found.double(), right, rtol=0, atol=1e-4, msg=checked.notice)


@torch.no_grad()
def test_a_window_that_attention_is_not_told_of_is_found_on_the_first_longer_row(monkeypatch):
    """Short rows agree whatever the window; the first beyond it does not, and the plain path is taken from there on."""
    monkeypatch.setattr("softpref.scoring.attention._window_of", lambda _: None)
    model, short, mixed = made("phimoe, window"), pairs_of(SHORT), pairs_of(MIXED, seed=1)
    checked = checked_scorer(model, short)
    assert checked.packed
    assert checked.checked_on(model, short) is checked
    again = checked.checked_on(model, mixed)
    assert again.scorer is pair_logps
    assert again.notice.startswith("every prompt is computed twice, on the plain path: sharing it changed log-probs by up to")
    with pytest.raises(OptionError, match="prefix_sharing is 'on', but"):
        checked.checked_on(model, mixed, "on")
    right = torch.stack([by_hand(model, pair) for pair in mixed])
    torch.testing.assert_close(through(model, again, mixed, 4000), right, rtol=0, atol=1e-9)


@torch.no_grad()
def test_rows_that_padding_changes_are_computed_alone():
    """Hidden states that know the row's mean, padding too: no two rows can share a forward."""
    model = copy.deepcopy(made("llama, linear rope"))
    model.model.layers[1].register_forward_pre_hook(lambda _, given: (given[0] + given[0].mean(1, keepdim=True), *given[1:]))
    checked = checked_scorer(model, pairs_of(SHORT))
    assert checked.scorer is lone_logps
    assert checked.notice.startswith("every response is computed by itself; in company, on the first 3 pairs")
    right = torch.stack([by_hand(model, pair) for pair in pairs_of(MIXED)])
    torch.testing.assert_close(through(model, checked, pairs_of(MIXED), 4000), right, rtol=0, atol=1e-9)


def test_a_longer_row_is_checked_where_it_shows_something_new():
    """Beyond 16, and then at twice the excess over it; or at twice the length."""
    expected = {(10, 10): False, (19, 10): True, (16, 10): False, (17, 16): True, (18, 17): True, (19, 18): False, (20, 18): True}
    assert {case: shows_more(*case, limits=[16]) for case in expected} == expected
    assert shows_more(20, 10, limits=[])
    assert not shows_more(19, 10, limits=[])


def test_which_rows_share_a_forward():
    lengths = [5, 17, 16, 40, 17]
    assert alike(made("llama, yarn"), lengths) == [[0, 1, 2, 3, 4]]
    assert alike(made("phi3, long rope"), lengths) == [[0, 2], [1, 3, 4]]
    assert alike(made("llama, dynamic rope"), lengths) == [[0, 2], [1, 4], [3]]
    limits = {family: one_rope_length(made(family)) for family in ("gpt2", "phi3, long rope", "llama, dynamic rope")}
    assert limits == {"gpt2": None, "phi3, long rope": LIMIT, "llama, dynamic rope": LIMIT}


def test_lengths_that_a_configuration_names():
    assert thresholds(made("mistral")) == [LIMIT, CONTEXT]
    assert thresholds(made("phi3, long rope")) == [LIMIT, CONTEXT]
    assert thresholds(made("llama4, chunks")) == [8, LIMIT, CONTEXT]
    assert thresholds(torch.nn.Linear(1, 1)) == []


TABLES = {
    "gpt2": lambda: made("gpt2"),
    "opt": lambda: made("opt"),
    "roberta": lambda: transformers.RobertaForCausalLM(
        transformers.RobertaConfig(**SHAPE | {"is_decoder": True, "pad_token_id": 1, "eos_token_id": 2})
    ),
    "gptj": lambda: transformers.GPTJForCausalLM(
        transformers.GPTJConfig(vocab_size=29, n_positions=24, n_embd=16, n_layer=1, n_head=2, rotary_dim=4)
    ),
    "ctrl": lambda: transformers.CTRLLMHeadModel(
        transformers.CTRLConfig(vocab_size=29, n_positions=24, n_embd=16, dff=20, n_layer=1, n_head=2)
    ),
    "mpt": lambda: transformers.MptForCausalLM(
        transformers.MptConfig(vocab_size=29, d_model=16, n_heads=2, n_layers=1, max_seq_len=24)
    ),
}


@pytest.mark.parametrize("table", TABLES)
def test_as_many_tokens_as_a_table_has_positions_for_can_be_computed_and_no_more(table):
    model = TABLES[table]().eval()
    limit = position_limit(model)
    with torch.no_grad():
        model(input_ids=torch.full((1, limit), 5), use_cache=False)
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, limit + 1), 5), use_cache=False)


def test_a_rope_has_no_table():
    assert position_limit(made("llama, yarn")) is None


def test_rows_beyond_the_table_are_refused_by_number():
    pairs = pairs_of([(3, 4, 2), (40, 3, 30), (60, 1, 2), (60, 5, 2)])
    with pytest.raises(InputError, match=r"^rows 2, 4: up to 70 tokens, and GPT2LMHeadModel has positions for 64; shorten them"):
        score_all(made("gpt2"), pairs)
