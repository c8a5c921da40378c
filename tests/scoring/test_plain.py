"""The plain scoring path: hand-worked numbers, which positions count, and precision."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from softpref.data.tokenization import TokenizedPair
from softpref.scoring.plain import padded, pair_logps, response_logps


class TableModel(torch.nn.Module):
    """Logits are a table over positions, whatever the ids: what is scored where can then be worked out by hand."""

    def __init__(self, table):
        super().__init__()
        self.table = torch.nn.Parameter(torch.as_tensor(table))

    def forward(self, input_ids, attention_mask, use_cache):
        assert use_cache is False
        n, t = input_ids.shape
        return SimpleNamespace(logits=self.table[:t].expand(n, t, -1))


def test_three_tokens_by_hand():
    """Prompt [0], response [1, 2] over a vocabulary of 3.

    The logits at position 0 predict token 1: log-softmax of (0, ln 2, 0) at 1 is ln(2/4) = ln ½.
    The logits at position 1 predict token 2: log-softmax of (0, 0, ln 6) at 2 is ln(6/8) = ln ¾.
    Position 2 predicts what never comes. The sum is ln ½ + ln ¾ = ln ⅜.
    """
    model = TableModel([[0, math.log(2), 0], [0, 0, math.log(6)], [5.0, 0, 0]])
    sums, lengths = response_logps(model, [([0], [1, 2])])
    assert sums.item() == pytest.approx(math.log(3 / 8))
    assert lengths.item() == 2


def test_gradient_is_zero_on_every_prompt_position():
    """Prompt of 3 tokens, response of 2: only the logits at positions 2 and 3 are scored."""
    model = TableModel(torch.zeros(6, 4))
    sums, _ = response_logps(model, [([0, 1, 2], [3, 0]), ([0, 1, 2], [3])])
    sums.sum().backward()
    touched = model.table.grad.abs().sum(1) > 0
    assert touched.tolist() == [False, False, True, True, False, False]


def test_padding_is_literal():
    """The example of the docstring of ``padded``."""
    ids, attention, response = padded([([5, 6], [7]), ([5], [8, 9, 2])])
    assert ids.tolist() == [[5, 6, 7, 0], [5, 8, 9, 2]]
    assert attention.tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert response.int().tolist() == [[0, 0, 1, 0], [0, 1, 1, 1]]


def test_batching_changes_nothing(tiny_llama):
    """Sequences of unequal length score as they do alone."""
    model = tiny_llama.double()
    sequences = [([5, 6, 7], [8, 9]), ([5], [8, 9, 10, 11, 12]), ([5, 6], [4])]
    together, lengths = response_logps(model, sequences)
    alone = torch.cat([response_logps(model, [one])[0] for one in sequences])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)
    assert lengths.tolist() == [2, 5, 1]


def test_equals_the_naive_form(tiny_llama):
    """The formula of the docstring, token by token."""
    model = tiny_llama.double()
    prompt, response = [5, 6, 7], [8, 9, 10]
    logits = model(input_ids=torch.tensor([prompt + response])).logits[0]
    naive = sum(torch.log_softmax(logits[t - 1], -1)[(prompt + response)[t]] for t in range(len(prompt), len(prompt + response)))
    torch.testing.assert_close(response_logps(model, [(prompt, response)])[0][0], naive)


def test_bf16_logits_are_summed_in_fp32():
    """600 tokens: summed in bf16 the error would be about a nat; here it is that of rounding the logits alone."""
    torch.manual_seed(0)
    table = torch.randn(602, 64) * 3
    ids = torch.randint(0, 64, (601,)).tolist()
    exact, _ = response_logps(TableModel(table.bfloat16().double()), [(ids[:1], ids[1:])])
    half, _ = response_logps(TableModel(table.bfloat16()), [(ids[:1], ids[1:])])
    assert half.dtype == torch.float32
    assert abs(half.item() - exact.item()) < 1e-2
    logps = torch.log_softmax(table.bfloat16()[:600], -1)
    in_bf16 = logps.gather(1, torch.tensor(ids[1:])[:, None]).squeeze(1).cumsum(0)[-1]
    assert abs(in_bf16.item() - exact.item()) > 0.5


def test_a_missing_side_has_logp_zero_and_length_one(tiny_llama):
    """SFT rows have no rejected side; the other side's number must not move into its place."""
    pairs = [
        TokenizedPair([5], [6, 7], [], None, 1.0, 1),
        TokenizedPair([5], [8], [9, 10, 11], 0.7, 1.0, 2),
    ]
    scores = pair_logps(tiny_llama, pairs)
    assert scores.rejected[0] == 0
    assert (scores.chosen_length.tolist(), scores.rejected_length.tolist()) == ([2, 1], [1, 3])
    expected, _ = response_logps(tiny_llama, [([5], [6, 7]), ([5], [8]), ([5], [9, 10, 11])])
    torch.testing.assert_close(torch.stack([scores.chosen[0], scores.chosen[1], scores.rejected[1]]), expected)
