"""Which paths are one method with several seeds, and what they are called."""

from __future__ import annotations

import pytest

from softpref.errors import InputError, OptionError
from softpref.evaluation.naming import matched_runs, methods_of, short_names


def read(words):
    return {method.name: [(run.seed, run.path) for run in method.runs] for method in methods_of(words)}


@pytest.mark.parametrize(
    ("words", "methods"),
    [
        (["runs/sft", "runs/gdpo"], {"sft": [(None, "runs/sft")], "gdpo": [(None, "runs/gdpo")]}),
        (
            ["s/seed_1/gdpo", "s/seed_2/gdpo", "s/sft"],
            {"gdpo": [("1", "s/seed_1/gdpo"), ("2", "s/seed_2/gdpo")], "sft": [(None, "s/sft")]},
        ),
        (["gdpo_seed1", "gdpo-seed-2"], {"gdpo": [("1", "gdpo_seed1"), ("2", "gdpo-seed-2")]}),
        (["a/gdpo", "b/gdpo"], {"a/gdpo": [(None, "a/gdpo")], "b/gdpo": [(None, "b/gdpo")]}),
        (["r/gdpo_seed1.jsonl", "r/sft.csv"], {"gdpo": [("1", "r/gdpo_seed1.jsonl")], "sft": [(None, "r/sft.csv")]}),
        (["ours=x", "ours=y", "z"], {"ours": [("1", "x"), ("2", "y")], "z": [(None, "z")]}),
        (["ours=s/seed_7/x", "ours=s/seed_9/x"], {"ours": [("7", "s/seed_7/x"), ("9", "s/seed_9/x")]}),
    ],
    ids=["plain", "seed folders", "seed suffixes", "same name elsewhere", "files", "named", "named seeds"],
)
def test_methods_of_words(words, methods):
    assert read(words) == methods


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a", "a"], "a: is named 2 times"),
        (["=a", "b"], "write NAME=PATH"),
        (["s/seed_1/x", "t/seed_1/x"], "x has 2 runs of seed 1; name them apart with NAME=PATH"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(words, message):
    with pytest.raises(OptionError, match=message):
        methods_of(words)


def test_a_folder_with_an_equals_sign_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beta=0.3").mkdir()
    assert read(["beta=0.3", "sft"]) == {"beta=0.3": [(None, "beta=0.3")], "sft": [(None, "sft")]}


def test_short_names_take_the_parents_they_need():
    assert short_names(["a/x/1", "b/x/1", "c/2"]) == ["a/x/1", "b/x/1", "2"]
    assert short_names(["x", "x"]) == ["x", "x"]


def test_runs_meet_runs_of_their_seed():
    ours, theirs = methods_of(["seed_1/a", "seed_2/a", "seed_4/a", "seed_2/b", "seed_1/b", "seed_3/b"])
    assert [(a.path, b.path, seed) for a, b, seed in matched_runs(ours, theirs)] == [
        ("seed_1/a", "seed_1/b", "1"),
        ("seed_2/a", "seed_2/b", "2"),
    ]


def test_a_single_run_meets_every_seed():
    ours, theirs = methods_of(["sft", "seed_1/a", "seed_2/a"])
    assert [(a.path, b.path, seed) for a, b, seed in matched_runs(ours, theirs)] == [
        ("sft", "seed_1/a", "1"),
        ("sft", "seed_2/a", "2"),
    ]
    assert [seed for *_, seed in matched_runs(theirs, ours)] == ["1", "2"]


def test_no_seed_in_common_is_no_comparison():
    ours, theirs = methods_of(["seed_1/a", "seed_2/a", "seed_3/b", "seed_4/b"])
    with pytest.raises(InputError, match="a and b have no seed in common"):
        matched_runs(ours, theirs)
