"""Distinct n-grams and the longest repeat, by hand and against the plain definition."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softpref.evaluation.repetition import distinct, longest_repeat, repetition
from softpref.records.figures import RepetitionFigures


@pytest.mark.parametrize(("n", "share"), [(1, 4 / 6), (2, 4 / 5), (3, 1.0)])
def test_distinct_by_hand(n, share):
    """a b c a b d: 4 of 6 words, ab bc ca ab bd 4 of 5 pairs, all of 4 triples."""
    assert distinct(["a", "b", "c", "a", "b", "d"], n) == share


def test_a_response_shorter_than_n_has_no_share():
    assert math.isnan(distinct(["a", "b"], 3))
    assert math.isnan(distinct([], 1))


@pytest.mark.parametrize(
    ("text", "words"), [("a b c a b d", 2), ("a a a", 2), ("a b c", 0), ("a", 0), ("", 0), ("so it goes so it goes", 3)]
)
def test_longest_repeat_by_hand(text, words):
    assert longest_repeat(text.split()) == words


def every_repeat(words):
    n = len(words)
    runs = [(words[i : i + size], size) for size in range(1, n) for i in range(n - size + 1)]
    return max((size for run, size in runs if [r for r, _ in runs].count(run) > 1), default=0)


@given(st.lists(st.sampled_from("ab"), max_size=9))
def test_longest_repeat_is_the_longest_of_all_runs(words):
    assert longest_repeat(words) == every_repeat(words)


def test_means_over_responses():
    """Words: 1/3 and 1; triples: 1 of one (a a a), none of the empty one. Repeats 2 and 0."""
    found = repetition(["a a a", "b"])
    assert found == RepetitionFigures(pytest.approx(2 / 3), 0.5, 1.0, 1.0)


def test_nothing_to_share_is_none():
    found = repetition(["", ""])
    assert found == RepetitionFigures(None, None, None, 0.0)
