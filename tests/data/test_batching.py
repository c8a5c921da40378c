"""Micro-batches: every row exactly once, the longest first, and no more than the budget but for a row alone."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softpref.data.batching import default_tokens, load_of, micro_batches, packed_tokens, padded_tokens
from softpref.data.tokenization import TokenizedPair


def pair(prompt, chosen, rejected, row=0):
    """Of these lengths; no other row has the same prompt, and the sides differ."""
    return TokenizedPair([3 + row] * prompt, [1] * chosen, [2] * rejected, 0.7, 1.0, row)


sizes = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(0, 30)), max_size=20)
either_cost = pytest.mark.parametrize("cost", [packed_tokens, padded_tokens])


def rows_of(several):
    return [pair(*one, row) for row, one in enumerate(several)]


def test_by_hand():
    """Lengths 10, 4, 6, 3 under a budget of 10: [10], [6, 4], [3]."""
    rows = rows_of([(6, 2, 2), (1, 1, 2), (4, 1, 1), (1, 1, 1)])
    assert [[row.tokens for row in batch] for batch in micro_batches(rows, 10)] == [[10], [6, 4], [3]]


def test_costs_by_hand():
    """(3, 2, 4) packed is 9 and padded 2 × 7; with (5, 1, –) beside it 15 and 3 × 7: the missing side is no sequence."""
    first, second = load_of([pair(3, 2, 4)]), load_of([pair(3, 2, 4), pair(5, 1, 0, 1)])
    assert (packed_tokens(first), padded_tokens(first)) == (9, 14)
    assert (packed_tokens(second), padded_tokens(second)) == (15, 21)
    assert (packed_tokens(load_of([])), padded_tokens(load_of([]))) == (0, 0)


def test_the_plain_path_s_batches_are_smaller():
    """Four pairs of 4 + 3 + 3 tokens under a budget of 40: all packed (4 × 10), or two pairs padded (4 × 7 = 28, then 42)."""
    rows = rows_of([(4, 3, 3)] * 4)
    assert [len(batch) for batch in micro_batches(rows, 40)] == [4]
    assert [len(batch) for batch in micro_batches(rows, 40, padded_tokens)] == [2, 2]


def test_a_cpu_is_given_less_at_a_time():
    """A core's cache is full long before a GPU is busy."""
    assert 0 < default_tokens("cpu") < default_tokens("cuda") == default_tokens("mps")


@either_cost
@settings(deadline=None)
@given(sizes, st.integers(1, 120))
def test_every_row_is_in_exactly_one_batch(cost, several, budget):
    rows = rows_of(several)
    batches = micro_batches(rows, budget, cost)
    assert sorted(row.row for batch in batches for row in batch) == list(range(len(rows)))
    assert all(batches)


@either_cost
@settings(deadline=None)
@given(sizes, st.integers(1, 120))
def test_only_a_row_alone_may_exceed_the_budget(cost, several, budget):
    assert all(len(batch) == 1 or cost(load_of(batch)) <= budget for batch in micro_batches(rows_of(several), budget, cost))


@either_cost
@settings(deadline=None)
@given(sizes, st.integers(1, 120))
def test_no_batch_had_room_for_the_next_row(cost, several, budget):
    batches = micro_batches(rows_of(several), budget, cost)
    assert all(cost(load_of([*batch, after[0]])) > budget for batch, after in pairwise(batches))


@settings(deadline=None)
@given(sizes, st.integers(1, 120))
def test_lengths_fall_and_equals_keep_their_order(several, budget):
    order = [(-row.tokens, row.row) for batch in micro_batches(rows_of(several), budget) for row in batch]
    assert order == sorted(order)
