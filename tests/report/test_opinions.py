"""Opinions of judges and people, read from the columns that hold them."""

import pytest

from softpref.data.pairs import PreferencePair
from softpref.errors import DataError, OptionError
from softpref.report.opinions import at, read_opinions


def pair(row=1, **changes):
    return PreferencePair("tea?", "yes", "no", soft_label=0.5, row=row, **changes)


@pytest.mark.parametrize(
    ("value", "p"),
    [(0.25, 0.25), (1, 1.0), ([3, 1], 0.75), ([1, 2, 1], 0.5), ([0, 1, 0], 0.5), ({"p": 0.125, "weight": 0.5}, 0.125)],
)
def test_an_opinion_of_somebody_by_name(value, p):
    """Counts are first, (neither,) second: [1, 2, 1] is (1 + 2/2) / 4."""
    found = read_opinions([pair(meta={"judges": {"ann": value}})], ["meta.judges"], "f")
    assert found.by_name == {"ann": [p]}
    assert found.votes == ()


def test_who_says_nothing_has_no_opinion():
    rows = [pair(1, meta={"judges": {"ann": 0.5}}), pair(2, meta={"judges": {"bob": 1.0}}), pair(3)]
    found = read_opinions(rows, ["judges"], "f")
    assert found.by_name == {"ann": [0.5, None, None], "bob": [None, 1.0, None]}


def test_counts_without_names_are_votes():
    """Kept as first, second, neither."""
    rows = [pair(1, meta={"votes": [2, 1, 0]}), pair(2, meta={})]
    found = read_opinions(rows, ["meta.votes"], "f")
    assert found.by_name == {}
    assert found.votes == [(2, 0, 1), None]


def test_votes_that_the_label_was_made_of_are_found_unasked():
    """There they stand as first, second, tie."""
    found = read_opinions([pair(label_source={"method": "votes", "votes": [2, 1, 4]})], [], "f")
    assert found.votes == [(2, 1, 4)]
    assert read_opinions([pair(label_source={"votes": [0, 0, 0]})], [], "f").votes == ()


def test_judges_that_the_label_was_made_of_are_found_unasked():
    """As several judges together leave them; one that failed has no opinion."""
    shares = {
        "ann": {"p": 0.75, "weight": 1.0, "failures": []},
        "bob": {"p": None, "weight": 0.0, "failures": ["timeout"]},
    }
    rows = [pair(1, label_source={"judges": shares}), pair(2, meta={"gold": 1})]
    assert read_opinions(rows, [], "f").by_name == {"ann": [0.75, None]}
    assert read_opinions(rows, ["gold"], "f").by_name == {"ann": [0.75, None], "gold": [None, 1.0]}


@pytest.mark.parametrize("value", [2, -0.1, "yes", [1], [0, 0], [1, -1], [1, 2, 3, 4], True, [True, 1]])
def test_what_is_no_opinion_is_named_by_row(value):
    with pytest.raises(DataError, match=r"f: 1 fault\n  row 7, meta.judges: .* is no opinion; give P\(first side preferred\)"):
        read_opinions([pair(1, meta={"judges": {"a": 1}}), pair(7, meta={"judges": {"a": value}})], ["meta.judges"], "f")


def test_a_column_that_is_not_there():
    with pytest.raises(OptionError, match=r"f: no row holds meta.judge; name a column, or a path such as"):
        read_opinions([pair(meta={"judges": {"a": 1}})], ["meta.judge"], "f")


def test_a_path_leads_below_meta_or_the_label_source():
    one = pair(meta={"a": {"b": 1}}, label_source={"judges": {"x": 2}})
    assert (at(one, "a.b"), at(one, "meta.a.b"), at(one, "label_source.judges.x")) == (1, 1, 2)
    assert at(one, "a.b.c") is None
    assert at(one, "label_source.a") is None
