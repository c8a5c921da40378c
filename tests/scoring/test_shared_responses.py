"""Pairs that share prompts and responses: the numbers and gradients of every response alone, at the cost of the distinct ones."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model

from same_update import IN_FP32
from softpref.core.treatments import resolve
from softpref.data.tokenization import TokenizedPair
from softpref.scoring.attention import packed_attention
from softpref.scoring.plain import every_side_logps, lone_logps, pair_logps
from softpref.scoring.score_all import score_all
from softpref.scoring.scores import PairScores
from softpref.scoring.self_check import checked_scorer
from softpref.scoring.shared_prefix import PackedScorer
from tiny_models import alone, tiny

# GPT-2 computes all of it in float64; norms over the root mean square are taken in fp32.
IN_FP64 = 1e-10

SCORERS = {"packed": PackedScorer(), "plain": pair_logps, "lone": lone_logps, "every side": every_side_logps}

ids = st.lists(st.integers(2, 4), min_size=1, max_size=3)
sharing = st.lists(st.tuples(ids, ids, st.one_of(st.just([]), ids), st.floats(0.5, 1.0)), min_size=1, max_size=7)


def rows_of(several):
    return [TokenizedPair(*three, label, 1.0, row) for row, (*three, label) in enumerate(several)]


def four_responses(prompt=(5, 6)):
    """Six pairs of four responses, each pair with a label of its own."""
    responses = [[7, 8, 1], [9, 1], [7, 8, 2, 1], [1]]
    return rows_of([(list(prompt), *two, 0.5 + i / 12) for i, two in enumerate(combinations(responses, 2))])


def gradients(model, scores, reference, pairs):
    """Losses per pair of a geometric loss with every pair's own label, and the gradients of their sum."""
    method = resolve("gdpo", treatment=None, beta=0.3, reduction=None)
    label = torch.tensor([pair.soft_label for pair in pairs], dtype=torch.float64)
    losses = method(scores.against(reference), label)
    trained = [value for value in model.parameters() if value.requires_grad]
    return losses.detach(), torch.autograd.grad(losses.sum(), trained, allow_unused=True)


def assert_same_as_alone(model, pairs, scorer, digits=IN_FP32):
    right, ours = alone(model, pairs), scorer(model, pairs)
    for name in ("chosen", "rejected", "chosen_length", "rejected_length"):
        torch.testing.assert_close(getattr(ours, name), getattr(right, name), rtol=0, atol=digits)
    half = PairScores(right.chosen.detach() / 2, right.rejected.detach() / 2, right.chosen_length, right.rejected_length)
    # activations that are computed again in the backward pass attend by spans there too
    with packed_attention(model) if isinstance(scorer, PackedScorer) else nullcontext():
        losses, found = gradients(model, ours, half, pairs)
    expected_losses, expected = gradients(model, right, half, pairs)
    torch.testing.assert_close(losses, expected_losses, rtol=0, atol=digits)
    for mine, theirs in zip(found, expected, strict=True):
        assert (mine is None) == (theirs is None)
        if mine is not None:
            torch.testing.assert_close(mine, theirs, rtol=0, atol=digits)


@pytest.mark.parametrize("name", SCORERS)
@settings(deadline=None, max_examples=6)
@given(sharing)
def test_numbers_and_gradients_are_those_of_every_response_alone(name, several):
    assert_same_as_alone(tiny("gpt2"), rows_of(several), SCORERS[name], IN_FP64)


@pytest.mark.parametrize("family", ["gemma2", "mistral, windowed", "gpt2", "mixtral"])
def test_more_than_two_responses_in_a_row(family):
    """Windows, soft caps, tables of positions and experts: none of them sees the other responses."""
    assert_same_as_alone(tiny(family), [*four_responses(), *four_responses((3,))], PackedScorer())


def test_identical_sides_and_one_response_with_different_labels():
    pairs = rows_of([([5], [6, 1], [6, 1], 0.5), ([5], [6, 1], [7, 1], 0.9), ([5], [7, 1], [6, 1], 0.6)])
    assert_same_as_alone(tiny("llama"), pairs, PackedScorer())


@settings(deadline=None, max_examples=10)
@given(st.permutations(range(6)))
def test_the_order_of_pairs_is_irrelevant(order):
    pairs = four_responses()
    model = tiny("llama")
    with torch.no_grad():
        scores, moved = PackedScorer()(model, pairs), PackedScorer()(model, [pairs[i] for i in order])
    torch.testing.assert_close(moved.chosen, scores.chosen[list(order)], rtol=0, atol=IN_FP32)
    torch.testing.assert_close(moved.rejected, scores.rejected[list(order)], rtol=0, atol=IN_FP32)


def test_six_pairs_of_four_responses_compute_each_token_once():
    """The row holds the prompt, 2, and 2 + 1 + 3 + 0 tokens of the responses: the last one predicts nothing."""
    model, widths = tiny("llama"), []
    hook = model.get_input_embeddings().register_forward_hook(lambda _module, given, _out: widths.append(given[0].shape))
    try:
        PackedScorer()(model, four_responses())
        pair_logps(model, four_responses())
    finally:
        hook.remove()
    assert widths == [(1, 8), (4, 6)]


@pytest.mark.parametrize("budget", [None, 4, 9, 12, 1000])
def test_score_all_splits_and_puts_back(budget):
    model, pairs = tiny("llama"), [*four_responses(), *four_responses((3, 4)), four_responses()[2]]
    ours, right = score_all(model, pairs, budget), alone(model, pairs)
    torch.testing.assert_close(ours.chosen, right.chosen, rtol=0, atol=IN_FP32)
    torch.testing.assert_close(ours.rejected, right.rejected, rtol=0, atol=IN_FP32)


def test_the_check_sees_more_than_two_responses(monkeypatch):
    """A way that is wrong from the third response on is not taken, though every pair by itself is right."""
    right = PackedScorer.response_logps

    def wrong_from_the_third_on(self, model, groups):
        sums, lengths = right(self, model, groups)
        return (sums - 1 if any(len(group.responses) > 2 for group in groups) else sums), lengths

    monkeypatch.setattr(PackedScorer, "response_logps", wrong_from_the_third_on)
    model, pairs = tiny("llama"), four_responses()
    assert checked_scorer(model, pairs[:1]).packed
    assert not checked_scorer(model, pairs).packed
    assert not checked_scorer(model, pairs[:1]).checked_on(model, [*pairs, *rows_of([([5, 6], [7, 8, 3] * 4, [1], 0.7)])]).packed


@pytest.mark.parametrize("wrapped", ["lora", "checkpointing"])
def test_adapters_and_gradient_checkpointing(wrapped):
    model = copy.deepcopy(tiny("llama"))
    if wrapped == "lora":
        model = get_peft_model(model, LoraConfig(r=2, init_lora_weights=False, target_modules=["q_proj", "v_proj"])).double()
        model.eval()
    else:
        getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
        model.train()
    assert_same_as_alone(model, four_responses(), PackedScorer())
