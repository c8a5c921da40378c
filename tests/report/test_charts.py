"""Places of names beside lines, and drawings that stand by themselves."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softpref.records.figures import Interval
from softpref.report import charts
from softpref.report.palette import SERIES, colours_of


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ({"a": 1.0, "b": 5.0}, {"a": 1.0, "b": 5.0}),
        # two at 3, one apart: half a step each way
        ({"a": 3.0, "b": 3.0}, {"a": 2.5, "b": 3.5}),
        # at the upper end they go down
        ({"a": 10.0, "b": 10.0, "c": 10.0}, {"a": 8.0, "b": 9.0, "c": 10.0}),
        ({"a": 0.0, "b": 0.2}, {"a": 0.0, "b": 1.0}),
        ({}, {}),
    ],
)
def test_names_are_moved_apart_by_hand(places, expected):
    assert charts.spread(places, 1.0, 0.0, 10.0) == pytest.approx(expected)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=12), st.floats(0.1, 8))
def test_names_are_apart_in_order_and_inside(values, gap):
    places = {str(i): value for i, value in enumerate(values)}
    found = charts.spread(places, gap, 0.0, 100.0)
    ordered = [found[name] for name in sorted(places, key=lambda name: places[name])]
    assert all(b - a >= gap - 1e-6 for a, b in pairwise(ordered))
    assert min(ordered) >= -1e-6
    assert max(ordered) <= 100 + 1e-6


def test_colours_are_variables_inline_and_numbers_in_a_file():
    colours = colours_of(["a", "b"])
    inline = charts.lines({"a": [(0, 1.0), (1, 2.0)], "b": [(0, 2.0), (1, None)]}, colours, ("x", "y"), "Two lines", "two-")
    assert set(re.findall(r"stroke: (var\(--series-\d, #\w+\))", inline)) == {f"var(--series-{i}, {SERIES[i]})" for i in (0, 1)}
    alone = charts.standalone(inline)
    assert "var(" not in alone
    assert "currentColor" not in alone
    assert f"stroke: {SERIES[1]}" in alone


def test_a_line_alone_needs_no_name():
    drawn = charts.lines({"only": [(0, 1.0), (1, 2.0)]}, colours_of(["only"]), ("x", "y"), "One line")
    assert ">only<" not in drawn


def test_many_names_stand_below():
    names = [f"run {i}" for i in range(14)]
    drawn = charts.lines({name: [(0, 1.0), (1, i)] for i, name in enumerate(names)}, colours_of(names), ("x", "y"), "Many")
    assert all(drawn.count(f">{name}<") == 1 for name in names)


def test_long_names_are_cut_in_the_middle():
    name = "experiments/2026/" + "x" * 30 + "/gdpo"
    drawn = charts.forest([(name, Interval(0.5, 0.4, 0.6))], colours_of([name]), "rate", 0.5, "t")
    assert name not in drawn
    assert "experimen…xxxxx/gdpo" in drawn


def points_at(drawn, count):
    """(x, y) of the ``count`` small dots, in the drawing's own units, y downwards."""
    found = [(float(x), float(y)) for x, y in re.findall(r'<use [^>]*x="([\d.]+)" y="([\d.]+)"', drawn)]
    by_y = {y: [x for x, one in found if one == y] for _, y in found}
    [row] = [(y, xs) for y, xs in by_y.items() if len(xs) == count]
    return row


def test_dots_stand_above_their_line_at_their_values():
    """The mean of 0.5, 0.6 and 0.7 lies in the middle of the three, and the first and last are equally far from it."""
    rows = [("a", Interval(0.6, 0.4, 0.8)), ("b", Interval(0.3, 0.2, 0.4))]
    dots = {"a": [0.5, 0.6, 0.7]}
    plain = charts.forest(rows, colours_of("ab"), "rate", 0.5, "t")
    drawn = charts.forest(rows, colours_of("ab"), "rate", 0.5, "t", dots=dots)
    assert drawn.count("<use") == plain.count("<use") + 3
    y, (first, second, third) = points_at(drawn, 3)
    assert second - first == pytest.approx(third - second)
    mean = [(float(x), float(at)) for x, at in re.findall(r'<use [^>]*x="([\d.]+)" y="([\d.]+)"', drawn)]
    assert any(x == pytest.approx(second) and at > y for x, at in mean)


def test_ids_of_two_figures_differ():
    series, colours = {"a": [(0, 1.0), (1, 2.0)]}, colours_of(["a"])
    one, two = (charts.lines(series, colours, ("x", "y"), "t", prefix) for prefix in ("one-", "two-"))
    ids = [set(re.findall(r' id="([^"]+)"', text)) for text in (one, two)]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert set(re.findall(r"url\(#([^)]+)\)", one)) <= ids[0]
