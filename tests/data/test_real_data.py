"""The four real files, where they lie beside the checkout: what their README counts is what reading counts."""

import os
from pathlib import Path

import pytest

from softpref.data.formats import read_pairs, read_prompts
from softpref.data.inspection import inspect_pairs
from softpref.data.read_options import ReadOptions
from softpref.data.validation import pairs_from_rows
from softpref.errors import DataError

FOLDER = Path(os.environ.get("SOFTPREF_DATA") or Path(__file__).parents[2].parent / "shared" / "data")
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no real data in {FOLDER}: set SOFTPREF_DATA")


def first_labels(pairs):
    """P(response_1 preferred), as the file has it."""
    return [1 - pair.soft_label if pair.swapped else pair.soft_label for pair in pairs]


def histogram(labels):
    bins = [0] * 10
    for p in labels:
        bins[min(int(round(p, 9) * 10), 9)] += 1
    return bins


# name: pairs, prompts left, identical, ties, histogram, longer wins. All identical pairs are ties; the one in LLMBar
# (the README names UKP's five only) takes its prompt with it: 618 − 1.
FILES = {
    "ukpconvarg1": (5912, 22, 5, 573, [585, 393, 536, 565, 607, 573, 562, 503, 545, 1043], 0.70),
    "pandalm_testset": (999, 170, 0, 85, [426, 10, 0, 49, 0, 85, 40, 0, 21, 368], 0.69),
    "llmbar_judges": (619, 617, 1, 10, [77, 61, 47, 69, 70, 67, 70, 51, 46, 61], 0.57),
    "hh_helpful_base_test": (1628, 1628, 0, 0, [774, *[0] * 8, 854], 0.59),
}


@pytest.mark.parametrize("name", FILES)
def test_counts_are_those_of_the_readme(name):
    rows, prompts, identical, ties, bins, longer = FILES[name]
    found = read_pairs(FOLDER / f"{name}.jsonl", ReadOptions(identical="drop"))
    assert (found.reading.rows, len(found), found.reading.identical_dropped) == (rows, rows - identical, identical)
    assert found.reading.ties == ties - identical
    bins = [*bins[:5], bins[5] - identical, *bins[6:]]
    assert histogram(first_labels(found)) == bins
    assert found.reading.swapped == sum(bins[:5])
    assert all(pair.soft_label >= 0.5 for pair in found)
    seen = inspect_pairs(found)
    assert seen.prompts == prompts
    assert seen.longer_is_chosen == pytest.approx(longer, abs=0.02)


def test_identical_sides_are_named_where_nothing_is_said():
    with pytest.raises(DataError, match="5 faults") as caught:
        read_pairs(FOLDER / "ukpconvarg1.jsonl")
    assert {fault.field for fault in caught.value.faults} == {"response_1, response_2"}


def test_pandalm_has_54_empty_responses():
    [empty] = [odd for odd in inspect_pairs(read_pairs(FOLDER / "pandalm_testset.jsonl")).odd if odd.what == "empty response"]
    assert empty.count == 54


def from_votes(name, **options):
    rows = []
    for row in read_prompts(FOLDER / f"{name}.jsonl"):
        first, tie, second = row["meta"]["votes"]
        kept = {key: row[key] for key in ("prompt", "response_1", "response_2", "source")}
        rows.append({**kept, "votes_1": first, "votes_2": second, "votes_tie": tie})
    return pairs_from_rows(enumerate(rows, start=1), name, ReadOptions(identical="drop", **options))


@pytest.mark.parametrize("name", ["ukpconvarg1", "pandalm_testset"])
def test_the_mean_of_the_votes_is_the_label_of_the_file(name):
    given = read_pairs(FOLDER / f"{name}.jsonl", ReadOptions(identical="drop"))
    found = from_votes(name, votes="mean")
    assert [pair.soft_label for pair in found] == pytest.approx([pair.soft_label for pair in given], abs=1e-6)
    assert found.reading.ties == given.reading.ties


@pytest.mark.parametrize("name", ["ukpconvarg1", "pandalm_testset"])
def test_a_fitted_prior_pulls_towards_a_half_and_leaves_ties_ties(name):
    mean, fitted = from_votes(name, votes="mean"), from_votes(name)
    assert 0.1 < fitted.reading.vote_prior < 5
    assert all(0.5 <= a.soft_label <= b.soft_label + 1e-12 for a, b in zip(fitted, mean, strict=True))
    assert fitted.reading.ties == mean.reading.ties
