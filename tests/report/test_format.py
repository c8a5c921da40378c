"""How raw values are shown, sorted and written to a CSV."""

import csv
import io

import pytest

from softpref.records.figures import Interval
from softpref.report.document import Column, Table
from softpref.report.format import FORMS, interval, number, p_value


@pytest.mark.parametrize(
    ("form", "value", "text", "note", "key"),
    [
        ("estimate_percent", Interval(0.625, 0.5, 0.75), "62.5%", "50.0 to 75.0", 0.625),
        ("estimate", Interval(-0.5, None, None), "−0.500", "", -0.5),
        ("estimate", Interval(0.5, float("nan"), 1.0), "0.500", "", 0.5),
        ("estimate", None, "–", "", None),
        ("percent", 0.125, "12.5%", "", 0.125),
        ("count", 12345, "12,345", "", 12345.0),
        ("count", None, "–", "", None),
        ("plain", 1e-4, "0.0001", "", 1e-4),
        ("plain", 42, "42", "", 42.0),
        ("signed", 0.25, "+0.250", "", 0.25),
        ("signed", -0.0001, "+0.000", "", -0.0001),
        ("number", float("inf"), "–", "", None),
        ("number", -0.0, "0.000", "", 0.0),
        ("p_value", 0.0002, "< 0.001", "", 0.0002),
        ("text", "", "–", "", None),
        ("text", 3, "3", "", None),
    ],
)
def test_a_cell(form, value, text, note, key):
    cell = FORMS[form](value)
    assert (cell.text, cell.note, cell.key) == (text, note, key)


def test_an_interval_in_one_line():
    assert interval(Interval(0.5, -0.25, 0.75)) == "0.500 [−0.250, 0.750]"
    assert interval(Interval(0.5, None, None), ".0%") == "50%"
    assert (number(None), p_value(None)) == ("–", "–")


def test_a_csv_holds_what_was_measured():
    """Unrounded, an estimate in three columns, quotes and line ends quoted, nothing where nothing is."""
    columns = [Column("run", "the run"), Column("rate", "rate", "estimate_percent"), Column("n", "n", "count")]
    rows = [{"run": 'a,"b"\nc', "rate": Interval(1 / 3, 0.1, None), "n": 3}, {"run": "d", "rate": None}]
    text = Table("t", "caption", columns, rows).csv()
    assert list(csv.reader(io.StringIO(text))) == [
        ["run", "rate_value", "rate_low", "rate_high", "n"],
        ['a,"b"\nc', repr(1 / 3), "0.1", "", "3"],
        ["d", "", "", "", ""],
    ]
