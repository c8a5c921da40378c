"""The table of losses is read from the code, and the page shows it."""

import re
from pathlib import Path

import pytest

from loss_family import TREATED, TREATMENT
from softpref.cli.losses import markdown_row
from softpref.core import ALIASES, LOSSES
from softpref.core.loss_table import loss_rows

PAGE = (Path(__file__).parents[2] / "docs" / "losses.md").read_text(encoding="utf-8")
ROWS = loss_rows()


def test_every_loss_has_a_row_and_every_alias_is_in_one():
    assert [row.name for row in ROWS] == list(LOSSES)
    listed = [also for row in ROWS for also in row.also.split(", ") if also]
    assert {also.split(" ")[0] for also in listed} == set(ALIASES)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_states_formula_and_source(row):
    """A paper by its arXiv number; supervised fine-tuning has none."""
    assert row.formula
    assert re.match(r"\d{4}\.\d{5}", row.source) or row.name == "sft"
    if TREATED[row.name] != "o":
        assert re.findall(r"\w+", row.treatments) == [TREATMENT[letter] for letter in TREATED[row.name]]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_page_has_the_row(row):
    """``softpref losses --markdown`` writes it."""
    assert markdown_row(row) in PAGE.splitlines()


def test_the_page_has_no_row_of_another_loss():
    section = PAGE.split("\n## All base losses\n")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(LOSSES)


def test_a_row_by_hand():
    [row] = [row for row in ROWS if row.name == "orpo"]
    assert row.formula == "−β·log s(o(y1) − o(y2)) + 1·NLL(y1), o = log π̄ − log(1 − π̄)"
    assert (row.arguments, row.needs, row.treatments) == ("beta=0.1, sft_weight=1", "lengths", "hard, conservative, geometric")
    assert row.source == "2403.07691, eqs. 6 and 7"
