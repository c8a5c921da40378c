"""Packed rows: two by hand, and the laws that every row keeps, whatever its prompts and responses."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softpref.scoring.packing import Group, Span, pack


def ids(smallest, largest):
    return st.lists(st.integers(0, 90), min_size=smallest, max_size=largest)


groups = st.lists(st.builds(Group, ids(0, 6), st.lists(ids(1, 5), min_size=1, max_size=3)), max_size=4)


def test_the_row_of_the_docstring():
    """[5 6 7 8][9]: the prompt 5 6 once; position 2 follows it twice; the ends (2) of the responses are targets only."""
    row = pack([Group([5, 6], [[7, 8, 2], [9, 2]])])
    assert row.ids.tolist() == [[5, 6, 7, 8, 9]]
    assert row.positions.tolist() == [[0, 1, 2, 3, 2]]
    assert row.spans == (Span(0, 4, 0, 0), Span(4, 5, 0, 2))
    assert row.predictors.tolist() == [1, 2, 3, 1, 4]
    assert row.targets.tolist() == [7, 8, 2, 9, 2]
    assert row.response_of.tolist() == [0, 0, 0, 1, 1]
    assert row.lengths.tolist() == [3, 2]


def test_two_pairs_in_a_row():
    """[5 6 7][8] of the first pair, then [3] of the second, whose answers have one token each: only its prompt is computed."""
    row = pack([Group([5, 6], [[7, 2], [8, 2]]), Group([3], [[4], [9]])])
    assert row.ids.tolist() == [[5, 6, 7, 8, 3]]
    assert row.positions.tolist() == [[0, 1, 2, 2, 0]]
    assert row.spans == (Span(0, 3, 0, 0), Span(3, 4, 0, 2), Span(4, 5, 4, 4))
    assert row.predictors.tolist() == [1, 2, 1, 3, 4, 4]
    assert row.targets.tolist() == [7, 2, 8, 2, 4, 9]
    assert row.response_of.tolist() == [0, 0, 1, 1, 2, 3]


def test_a_prompt_that_is_not_shared_is_there_twice():
    row = pack([Group([5, 6], [[7, 8, 2], [9, 2]])], share_prompt=False)
    assert row.ids.tolist() == [[5, 6, 7, 8, 5, 6, 9]]
    assert row.positions.tolist() == [[0, 1, 2, 3, 0, 1, 2]]
    assert [(span.start, span.end, span.prefix) for span in row.spans] == [(0, 4, 0), (4, 7, 0)]
    assert row.predictors.tolist() == [1, 2, 3, 5, 6]


def test_the_first_token_after_an_empty_prompt_is_not_scored():
    """Nothing comes before 7 and 9, so nothing predicts them; both still count in the lengths."""
    row = pack([Group([], [[7, 8, 2], [9]])])
    assert row.ids.tolist() == [[7, 8]]
    assert row.targets.tolist() == [8, 2]
    assert row.response_of.tolist() == [0, 0]
    assert row.lengths.tolist() == [3, 1]
    assert row.spans == (Span(0, 2, 0, 0),)


@pytest.mark.parametrize("share", [True, False])
@given(groups)
def test_spans_tile_the_row_and_positions_go_on_from_the_prefix(share, several):
    row = pack(several, share)
    assert [0, *(span.end for span in row.spans)] == [*(span.start for span in row.spans), row.ids.shape[1]]
    assert all(span.start < span.end for span in row.spans)
    expected = [position for span in row.spans for position in range(span.prefix, span.prefix + span.end - span.start)]
    assert row.positions[0].tolist() == expected
    assert share or all(span.prefix == 0 for span in row.spans)


def context(row, column):
    """The ids that a column of a row sees, itself last."""
    span = next(span for span in row.spans if span.start <= column < span.end)
    found = row.ids[0].tolist()
    return found[span.prefix_start : span.prefix_end] + found[span.start : column + 1]


@pytest.mark.parametrize("share", [True, False])
@given(groups)
def test_every_response_token_is_predicted_from_all_before_it(share, several):
    """The naive definition: (prompt + response)[:t] predicts token t, of every response in turn."""
    row = pack(several, share)
    scored = zip(row.response_of.tolist(), row.predictors.tolist(), row.targets.tolist(), strict=True)
    packed = [(response, context(row, column), target) for response, column, target in scored]
    sequences = [(group.prompt, response) for group in several for response in group.responses]
    naive = [
        (number, (prompt + response)[:t], (prompt + response)[t])
        for number, (prompt, response) in enumerate(sequences)
        for t in range(max(len(prompt), 1), len(prompt) + len(response))
    ]
    assert packed == naive
    assert row.lengths.tolist() == [len(response) for _, response in sequences]


@given(groups)
def test_a_shared_prompt_is_computed_once(several):
    """Tokens of a row: every prompt once, every response less its last token; the groups one after the other."""
    sizes = [len(group.prompt) + sum(len(response) - 1 for response in group.responses) for group in several]
    row = pack(several)
    assert row.ids.shape == (1, sum(sizes))
    ends = {0, *accumulate(sizes)}
    assert ends <= {0, *(span.end for span in row.spans)}
