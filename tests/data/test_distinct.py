"""Distinct prompts and responses: each once, and every pair finds its own again."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softpref.data.batching import Load, load_of, micro_batches, packed_tokens, padded_tokens
from softpref.data.distinct import ABSENT, by_prompt, distinct_responses
from softpref.data.tokenization import TokenizedPair

ids = st.lists(st.integers(2, 4), min_size=1, max_size=2)
sharing = st.lists(st.tuples(ids, ids, st.one_of(st.just([]), ids)), max_size=12)


def rows_of(several):
    return [TokenizedPair(*one, 0.7, 1.0, row) for row, one in enumerate(several)]


def test_by_hand():
    pairs = rows_of([([5], [7], [8]), ([5], [7], [9, 2]), ([5], [9, 2], [8]), ([6], [7], [])])
    distinct = distinct_responses(pairs)
    assert distinct.prompts == [[5], [6]]
    assert distinct.responses == [[[7], [8], [9, 2]], [[7]]]
    assert distinct.sides == [(0, 1), (0, 2), (2, 1), (3, ABSENT)]
    assert [(one.prompt, one.chosen, one.rejected, one.row) for one in distinct.singles()] == [
        ([5], [7], [], 0),
        ([5], [8], [], 1),
        ([5], [9, 2], [], 2),
        ([6], [7], [], 3),
    ]
    assert by_prompt([pairs[3], *pairs[:3]]) == [[pairs[3]], pairs[:3]]


@given(sharing)
def test_every_side_is_found_and_no_response_is_there_twice(several):
    pairs, distinct = rows_of(several), distinct_responses(rows_of(several))
    singles = distinct.singles()
    assert len({(tuple(one.prompt), tuple(one.chosen)) for one in singles}) == len(singles)
    for pair, places in zip(pairs, distinct.sides, strict=True):
        for side, place in zip((pair.chosen, pair.rejected), places, strict=True):
            assert (place == ABSENT) == (not side)
            if side:
                assert (singles[place].prompt, singles[place].chosen) == (pair.prompt, side)


def six_pairs(prompt=5, size=3):
    responses = [[10 + i] * size for i in range(4)]
    return rows_of([([prompt] * 2, *two) for two in combinations(responses, 2)])


def test_six_pairs_cost_four_responses():
    """2 + 4 × 3 = 14 tokens packed; 4 sequences of 5 padded."""
    assert load_of(six_pairs()) == Load(14, 4, 5)


def test_a_prompt_s_pairs_stay_together_where_they_fit():
    """Two prompts of 14 tokens each under a budget of 14, and of 28."""
    mixed = [row for two in zip(six_pairs(5), six_pairs(6), strict=True) for row in two]
    for budget, prompts in ((14, [{5}, {6}]), (27, [{5}, {6}]), (28, [{5, 6}])):
        assert [{row.prompt[0] for row in batch} for batch in micro_batches(mixed, budget)] == prompts


def test_a_prompt_that_does_not_fit_is_split_side_by_side():
    """Three responses, 11 tokens, make three of the pairs; the fourth response has the other three pairs, 14, so 11 and 8."""
    batches = micro_batches(six_pairs(), 11)
    assert [sorted((row.chosen[0], row.rejected[0]) for row in batch) for batch in batches] == [
        [(10, 11), (10, 12), (11, 12)],
        [(10, 13), (11, 13)],
        [(12, 13)],
    ]


@pytest.mark.parametrize("cost", [packed_tokens, padded_tokens])
@settings(deadline=None)
@given(sharing, st.integers(1, 30))
def test_micro_batches_of_shared_prompts(cost, several, budget):
    """Every row once; only a row alone beyond the budget; a prompt's rows in one batch where they fit."""
    rows = rows_of(several)
    batches = micro_batches(rows, budget, cost)
    assert sorted(row.row for batch in batches for row in batch) == list(range(len(rows)))
    assert all(len(batch) == 1 or cost(load_of(batch)) <= budget for batch in batches)
    for group in by_prompt(rows):
        if cost(load_of(group)) <= budget:
            assert sum(any(row.prompt == group[0].prompt for row in batch) for batch in batches) == 1
