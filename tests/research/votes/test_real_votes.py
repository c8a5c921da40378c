"""Real votes: the study's figures, its resuming, and what it leaves for a report."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from made_votes import texts, write_made_votes
from softpref.cli import real
from softpref.data.formats import read_pairs
from softpref.data.written import as_written
from softpref.errors import OptionError
from softpref.report.collect import read_folders
from softpref.report.run_report import run_report
from softpref.research.votes.folds import SEEN, debate_of, find_data, make_folds, read_votes
from softpref.research.votes.settings import METHODS, QUICK, RealSettings
from softpref.research.votes.votes import run_real


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_made_votes(tmp_path_factory.mktemp("votes"))


@pytest.fixture(scope="module")
def pairs(made):
    return read_votes(find_data(str(made)))


def test_settings_from_options():
    assert real.settings_of(real.RealOptions()) == RealSettings()
    given = real.settings_of(real.RealOptions(model="some/model", updates=9))
    assert (given.model, given.learning_rate, given.updates) == ("some/model", 5e-6, 9)
    assert real.settings_of(real.RealOptions(model="some/model", learning_rate=1e-6)).learning_rate == 1e-6


def test_settings_that_cannot_be():
    with pytest.raises(OptionError, match="simpo"):
        RealSettings(methods=("simpo",))
    with pytest.raises(OptionError, match="micro_batch 5"):
        RealSettings(micro_batch=5)


# --- the study ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study(made, tmp_path_factory):
    """A quick study with two debates left out; what was said of it."""
    folder, said = tmp_path_factory.mktemp("real"), []
    found = run_real(find_data(str(made)), folder, replace(QUICK, debates=2), said.append)
    return folder, found, said


def test_the_study_has_every_row_in_both_settings(study):
    folder, found, said = study
    assert len(found["figures"]) == 2
    for figures in found["figures"].values():
        assert list(figures["rows"]) == ["dpo", "gdpo", "the longer one wins", "always ½"]
        assert list(figures["differences"]) == ["gdpo − dpo"]
    assert any("fold 3 of 3, rain: gdpo (5 of 6 runs done, about" in line for line in said)
    assert "| gdpo − dpo |" in (folder / "results.md").read_text()


def test_the_constant_is_worth_what_it_must_be(study, pairs):
    """Always ½: AUC and accuracy ½, Brier the votes' own spread about ½."""
    _, found, _ = study
    row = found["figures"]["debates left out in turn"]["rows"]["always ½"]
    share = np.array([pair.soft_label for pair in pairs if debate_of(pair) in ("cats", "rain")])
    assert row["auc"]["value"] == row["accuracy"]["value"] == 0.5
    assert row["raw"]["brier"]["value"] == pytest.approx(np.mean((share - 0.5) ** 2))


def test_votes_that_like_length_are_seen_by_the_length_baseline(study):
    _, found, _ = study
    for figures in found["figures"].values():
        assert figures["rows"]["the longer one wins"]["auc"]["value"] > 0.9


def test_training_files_hold_no_argument_of_the_test(study, pairs):
    folder, _, _ = study
    fold = make_folds(pairs, RealSettings())[0]
    held_out = {text for _, text in texts((*fold.test, *fold.validation))}
    written = (folder / "folds" / "held-out-arguments" / "train.jsonl").read_text()
    imitated = (folder / "folds" / "held-out-arguments" / "sft.jsonl").read_text()
    assert not any(json.dumps(text) in written + imitated for text in held_out)


def test_a_second_call_trains_nothing(study, made):
    folder, found, _ = study
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("margins.json")}
    said: list[str] = []
    again = run_real(find_data(str(made)), folder, replace(QUICK, debates=2), said.append)
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("margins.json")} == before
    assert len(before) == 6
    assert len(said) == 1
    assert again["figures"] == found["figures"]


def test_one_lost_run_is_made_again_alone_and_gives_the_same(study, made):
    folder, _, _ = study
    lost = folder / "folds" / "rain" / "dpo" / "margins.json"
    before = json.loads(lost.read_text())["test"]
    lost.unlink()
    said: list[str] = []
    run_real(find_data(str(made)), folder, replace(QUICK, debates=2), said.append)
    trained, classified = (line.split("fold ")[1] for line in said[:-1])
    assert trained == "3 of 3, rain: dpo (5 of 6 runs done)"
    assert classified.startswith("3 of 3, rain: figures on 132 test pairs: dpo")
    assert json.loads(lost.read_text())["test"] == pytest.approx(before, abs=1e-6)


def test_other_settings_need_another_folder(study, made):
    folder, _, _ = study
    with pytest.raises(OptionError, match="other data or settings"):
        run_real(find_data(str(made)), folder, replace(QUICK, debates=1))


# --- what a report reads --------------------------------------------------------------------------------------------------


def classifications(folder):
    return {file: json.loads(file.read_text()) for file in folder.rglob("classification.json")}


def test_a_scored_run_keeps_its_classification(study):
    """Accuracy and Brier score are those of the study's own table, which was pooled from the margins by other code."""
    folder, found, _ = study
    rows = found["figures"]["held-out arguments of seen debates"]["rows"]
    for method in ("dpo", "gdpo"):
        run = folder / "folds" / "held-out-arguments" / method
        [one] = classifications(run).values()
        assert one["accuracy"]["value"] == pytest.approx(rows[method]["accuracy"]["value"])
        assert one["brier"]["value"] == pytest.approx(rows[method]["raw"]["brier"]["value"])
        # intervals over the arguments: of 6 sides, 4 each
        assert one["accuracy"]["clusters"] == rows[method]["accuracy"]["clusters"] == 24
        assert (one["method"], one["beta"]) == (method, METHODS[method])
        assert not any(run.glob("*.safetensors"))


def test_its_test_pairs_lie_beside_it_as_the_study_read_them(study, pairs):
    folder, _, _ = study
    fold = make_folds(pairs, RealSettings())[0]
    written = list(map(as_written, read_pairs(folder / "folds" / "held-out-arguments" / "test.jsonl")))
    assert [(p.prompt, p.chosen, p.rejected, p.soft_label) for p in written] == [
        (p.prompt, p.chosen, p.rejected, p.soft_label) for p in fold.test
    ]


def test_classifications_of_an_older_study_come_from_its_margins(study, made):
    """Weights are gone: nothing is trained, and what is written is what was there."""
    folder, _, _ = study
    before = classifications(folder)
    assert len(before) == 6
    margins = {file: file.stat().st_mtime_ns for file in folder.rglob("margins.json")}
    for file in before:
        file.unlink()
    said: list[str] = []
    run_real(find_data(str(made)), folder, replace(QUICK, debates=2), said.append)
    assert classifications(folder) == before
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("margins.json")} == margins
    assert [line.split("] ")[1].partition(" (")[0] for line in said] == [
        f"fold {i} of 3, {name}: figures on {n} test pairs: dpo, gdpo"
        for i, (name, n) in enumerate(((SEEN, 36), ("cats", 132), ("rain", 132)), start=1)
    ] + ["figures and their intervals"]


def test_a_report_on_its_runs_has_a_verdict(study):
    folder, _, _ = study
    runs = [folder / "folds" / "rain" / name for name in ("dpo", "gdpo", "sft")]
    document = run_report(read_folders(runs), "real votes")
    assert document.verdict.startswith("The implicit reward of ")
    section = next(section for section in document.sections if section.name == "implicit-reward")
    assert any(block.name.startswith("reliability") for block in section.blocks)
