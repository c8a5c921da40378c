"""The self-check: a model that computes something else than the fast path thinks is scored on the plain path, and it is said."""

from __future__ import annotations

import math

import pytest
import torch
import transformers

from softpref.errors import OptionError
from softpref.scoring.plain import pair_logps
from softpref.scoring.scores import PairScores
from softpref.scoring.self_check import checked_scorer, difference, one_by_one
from softpref.scoring.shared_prefix import PackedScorer
from tiny_models import SHAPE, pairs_of, randomised

PAIRS = pairs_of([(5, 4, 3), (2, 1, 6), (0, 3, 2)])


@pytest.fixture
def model():
    return randomised(transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHAPE)).double())


def running_mean(_layer, arguments):
    """Hidden states that know all columns before them, as those of a state space do."""
    hidden = arguments[0]
    steps = torch.arange(1, hidden.shape[1] + 1, dtype=hidden.dtype)[:, None]
    return (hidden + hidden.cumsum(1) / steps, *arguments[1:])


def assert_plain_numbers(checked, model):
    ours, plain = checked.scorer(model, PAIRS), one_by_one(model, PAIRS)
    torch.testing.assert_close(ours.chosen, plain.chosen, rtol=0, atol=1e-6)
    torch.testing.assert_close(ours.rejected, plain.rejected, rtol=0, atol=1e-6)


def test_a_model_that_is_understood(model):
    checked = checked_scorer(model, PAIRS, "on")
    assert checked.scorer == PackedScorer()
    assert checked.packed
    assert 0 <= checked.difference < 1e-6
    assert checked.notice.startswith("each prompt is computed once; on the first 3 pairs log-probs differ")


@pytest.mark.parametrize("factor", [1.5, 1.0001])
def test_a_head_of_its_own_is_left_to_the_model(model, factor):
    """A factor that the configuration does not tell: the prompt is still shared, and the model makes its own logits."""
    model.lm_head.register_forward_hook(lambda _head, _given, logits: logits * factor)
    checked = checked_scorer(model, PAIRS, "on")
    assert checked.scorer == PackedScorer(chunked_head=False)
    assert "with the model's own head" in checked.notice
    assert_plain_numbers(checked, model)


def test_tokens_that_meet_outside_attention_take_the_plain_path(model):
    model.model.layers[1].register_forward_pre_hook(running_mean)
    checked = checked_scorer(model, PAIRS)
    assert checked.scorer is pair_logps
    assert not checked.packed
    assert checked.difference > 1e-3
    assert "on the plain path: sharing it changed log-probs by up to" in checked.notice
    assert_plain_numbers(checked, model)
    with pytest.raises(OptionError, match=r"prefix_sharing is 'on', but every prompt is computed twice.*leave it at 'auto'"):
        checked_scorer(model, PAIRS, "on")


def test_a_model_without_exchangeable_attention_takes_the_plain_path():
    config = transformers.MambaConfig(vocab_size=29, hidden_size=8, num_hidden_layers=1, state_size=2)
    mamba = transformers.MambaForCausalLM(config)
    checked = checked_scorer(mamba, PAIRS)
    assert checked.scorer is pair_logps
    assert checked.difference is None
    assert "cannot be exchanged" in checked.notice
    with pytest.raises(OptionError, match="cannot be exchanged"):
        checked_scorer(mamba, PAIRS, "on")


def test_a_forward_that_fails_on_packed_rows_takes_the_plain_path(model, monkeypatch):
    """An older model that knows no ``logits_to_keep``."""
    forward = model.forward

    def older(input_ids, attention_mask, use_cache):
        return forward(input_ids, attention_mask, use_cache=use_cache)

    monkeypatch.setattr(model, "forward", older)
    checked = checked_scorer(model, PAIRS)
    assert checked.scorer is pair_logps
    assert "unexpected keyword argument" in checked.notice
    assert model.config._attn_implementation == "sdpa"


def test_memory_that_runs_out_is_not_passed_over(model, monkeypatch):
    """The plain path needs more of it."""

    def full(*_, **__):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(PackedScorer, "response_logps", full)
    with pytest.raises(torch.OutOfMemoryError, match="full"):
        checked_scorer(model, PAIRS)


def test_off_checks_nothing(model):
    model.register_forward_pre_hook(lambda *_: pytest.fail("scored"))
    checked = checked_scorer(model, PAIRS, "off")
    assert checked.scorer is pair_logps
    assert (checked.packed, checked.difference) == (False, None)
    assert "prefix_sharing is off" in checked.notice


def test_micro_batches_are_as_large_as_the_path_allows(model):
    """Two pairs of 4 + 3 + 3 tokens: 20 packed, 4 × 7 = 28 padded."""
    pairs = pairs_of([(4, 3, 3)] * 2)
    assert [len(batch) for batch in checked_scorer(model, pairs).micro_batches(pairs, 20)] == [2]
    assert [len(batch) for batch in checked_scorer(model, pairs, "off").micro_batches(pairs, 20)] == [1, 1]


def test_what_is_rounding_depends_on_the_precision(model):
    """A head that is off by half a percent: as much as bf16 rounds, and far beyond fp32."""
    model.float().lm_head.register_forward_hook(lambda _head, _given, logits: logits * 1.005)
    exact = checked_scorer(model, PAIRS)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = checked_scorer(model, PAIRS)
    assert exact.scorer == PackedScorer(chunked_head=False)
    assert rounded.scorer == PackedScorer()
    assert rounded.difference > 1e-3


def scores(chosen, rejected, lengths=(9.0, 4.0)):
    return PairScores(*(torch.tensor([value]) for value in (chosen, rejected, *lengths)))


def test_the_difference_by_hand():
    """0.3 nats over 9 tokens is 0.1 per √token, 0.4 over 4 is 0.2; what is not a number differs without end."""
    assert difference(scores(-1.3, -2.0), scores(-1.0, -2.4)) == pytest.approx((0.4, 0.2))
    assert difference(scores(-1.6, -2.0), scores(-1.0, -2.1)) == pytest.approx((0.6, 0.2))
    assert difference(scores(math.nan, -2.0), scores(-1.0, -2.0)) == (math.inf, math.inf)
