"""Votes are read in the file's order, and no argument leaks between the parts of a fold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from made_votes import real_votes, texts, write_made_votes
from softpref.data.formats import write_rows
from softpref.errors import InputError
from softpref.research.votes.folds import (
    DATA_FILE,
    SEEN,
    debate_of,
    find_data,
    make_folds,
    read_votes,
    split_by_argument,
    vote_row,
)
from softpref.research.votes.settings import RealSettings

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_made_votes(tmp_path_factory.mktemp("votes"))


@pytest.fixture(scope="module")
def pairs(made):
    return read_votes(find_data(str(made)))


@pytest.fixture
def real_file(monkeypatch):
    monkeypatch.chdir(ROOT)
    return real_votes()


# --- reading and folds ----------------------------------------------------------------------------------------------------


def test_reading_keeps_the_files_order_and_ends_the_prompt(pairs):
    assert len(pairs) == 6 * 66
    assert all(pair.prompt.endswith("argument.\n") for pair in pairs)
    assert any(pair.soft_label < 0.5 for pair in pairs)
    for pair in pairs:
        first, equal, second = pair.meta["votes"]
        assert pair.soft_label == pytest.approx((first + equal / 2) / (first + equal + second))


def test_training_rows_carry_votes_and_no_other_label(pairs):
    row = vote_row(pairs[0])
    assert [row["votes_1"], row["votes_tie"], row["votes_2"]] == pairs[0].meta["votes"]
    assert "soft_label" not in row


@pytest.mark.parametrize("seed", range(5))
def test_no_argument_stands_in_two_parts(pairs, seed):
    for fold in make_folds(pairs, RealSettings(seed=seed)):
        train, validation, test = texts(fold.train), texts(fold.validation), texts(fold.test)
        assert not train & validation
        assert not train & test
        assert not validation & test
        assert all((fold.train, fold.validation, fold.test))


def test_shares_are_of_arguments_inside_each_side(pairs):
    """Of a side's 12 arguments round(0.3 · 12) = 4 are held out for the test and round(0.2 · 12) = 2 for validation.

    That leaves 6: of 66 pairs a side 15 train, 1 validates, 6 test, and 44 have arguments of two parts.
    """
    parts = split_by_argument(pairs, {"test": 0.3, "validation": 0.2}, np.random.default_rng(0))
    assert {name: len(part) for name, part in parts.items()} == {"train": 6 * 15, "validation": 6 * 1, "test": 6 * 6}


def test_a_debate_is_left_out_with_both_its_sides(pairs):
    seen, *left_out = make_folds(pairs, RealSettings())
    assert seen.name == SEEN
    assert [fold.name for fold in left_out] == ["cats", "rain", "tea"]
    for fold in left_out:
        assert {debate_of(pair) for pair in fold.test} == {fold.name}
        assert len(fold.test) == 2 * 66
        assert fold.name not in {debate_of(pair) for pair in (*fold.train, *fold.validation)}


def test_a_debate_without_votes_is_refused(tmp_path):
    row = {"prompt": "Debate", "response_1": "a", "response_2": "b", "soft_label": 1.0, "meta": {"group": "x_y"}}
    write_rows(tmp_path / DATA_FILE, [row])
    with pytest.raises(InputError, match=r"row 1 has no meta\.votes"):
        read_votes(tmp_path / DATA_FILE)


# --- where the data lie ---------------------------------------------------------------------------------------------------


def test_missing_data_name_the_variable_and_the_script(tmp_path, monkeypatch):
    monkeypatch.delenv("SOFTPREF_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"SOFTPREF_DATA .*scripts/fetch_ukp\.py"):
        find_data()


def test_the_option_goes_before_the_variable(made, tmp_path, monkeypatch):
    monkeypatch.setenv("SOFTPREF_DATA", str(made))
    assert find_data() == made / DATA_FILE
    with pytest.raises(InputError, match="nowhere"):
        find_data(str(tmp_path / "nowhere"))


def test_the_real_file(real_file):
    """Numbers of the data's README: 5912 pairs less 5 of identical sides; 22 prompts, 11 debates."""
    pairs = read_votes(real_file)
    assert len(pairs) == 5907
    assert len({pair.prompt for pair in pairs}) == 22
    seen, *left_out = make_folds(pairs, RealSettings())
    assert len(left_out) == 11
    assert sum(len(fold.test) for fold in left_out) == 5907
    assert len(texts(seen.test)) > 100
