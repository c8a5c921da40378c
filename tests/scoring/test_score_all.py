"""Pairs in their own order, whatever micro-batches they were scored in and by whichever way."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch
import transformers

from softpref.data.tokenization import TokenizedPair
from softpref.scoring.score_all import score_all
from softpref.scoring.scores import PairScores, joined, reordered
from softpref.scoring.self_check import one_by_one
from tiny_models import SHAPE, pairs_of, randomised

# lengths rise and fall, so that the order of scoring is another
PAIRS = pairs_of([(2, 1, 6), (5, 4, 3), (0, 3, 2), (9, 8, 7), (1, 1, 1)])


@pytest.fixture
def llama():
    return randomised(transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHAPE)).double())


def assert_same(ours, theirs):
    for field in fields(PairScores):
        torch.testing.assert_close(getattr(ours, field.name), getattr(theirs, field.name), rtol=0, atol=1e-9)


@pytest.mark.parametrize("max_tokens", [None, 1, 12, 20])
def test_equals_each_pair_alone(llama, max_tokens):
    assert_same(score_all(llama, PAIRS, max_tokens), one_by_one(llama, PAIRS))


def test_equals_each_pair_alone_on_the_plain_path():
    config = transformers.MambaConfig(vocab_size=29, hidden_size=8, num_hidden_layers=1, state_size=2)
    mamba = transformers.MambaForCausalLM(config).double().eval()
    assert_same(score_all(mamba, PAIRS, 20), one_by_one(mamba, PAIRS))


def test_rows_that_share_a_number_stay_apart(llama):
    """Two files may have the same row; a number is no place."""
    alike = [TokenizedPair(pair.prompt, pair.chosen, pair.rejected, 0.7, 1.0, 3) for pair in PAIRS]
    assert_same(score_all(llama, alike, 12), one_by_one(llama, PAIRS))


def test_one_response_alone(llama):
    """The side that is not there has log-prob 0 and length 1."""
    alone = [TokenizedPair(pair.prompt, pair.chosen, [], None, 1.0, 0) for pair in PAIRS]
    found, both = score_all(llama, alone, 12), one_by_one(llama, PAIRS)
    torch.testing.assert_close(found.chosen, both.chosen, rtol=0, atol=1e-9)
    assert found.rejected.tolist() == [0.0] * 5
    assert found.rejected_length.tolist() == [1.0] * 5


def test_nothing_is_scored_as_nothing(llama):
    llama.register_forward_pre_hook(lambda *_: pytest.fail("scored"))
    assert score_all(llama, []).chosen.tolist() == []


def test_no_gradients_are_kept(llama):
    assert not score_all(llama, PAIRS).chosen.requires_grad


def test_joined_and_reordered_by_hand():
    """Places 2, 0, 1: what came first belongs at the end."""
    ones = [PairScores(*(torch.tensor([value + side]) for side in (0.0, 0.1, 0.2, 0.3))) for value in (1, 2, 3)]
    found = reordered(joined(ones), torch.tensor([2, 0, 1]))
    assert found.chosen.tolist() == [2, 3, 1]
    assert found.rejected_length.tolist() == pytest.approx([2.3, 3.3, 1.3])
