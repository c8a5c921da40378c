"""Real votes: no argument leaks between parts, the study resumes, and the fetcher reads the original's XML."""

from __future__ import annotations

import importlib.util
import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from softpref.cli import real
from softpref.data.formats import write_rows
from softpref.errors import InputError, OptionError
from softpref.experiments.real_votes import (
    DATA_FILE,
    QUICK,
    SEEN,
    RealSettings,
    arguments_of,
    debate_of,
    find_data,
    make_folds,
    read_votes,
    run_real,
    split_by_argument,
    vote_row,
)

ROOT = Path(__file__).parents[2]
WORDS = ["tea", "is", "warm", "and", "good", "for", "all", "who", "wait", "because", "the", "pot", "was", "old"]


def rows_of(side, arguments, rng):
    """Every pair of a side's arguments, with five votes that like the longer one."""
    for first, second in itertools.combinations(arguments, 2):
        likes = 1 / (1 + np.exp(len(second.split()) - len(first.split())))
        votes = rng.multinomial(5, [0.8 * likes, 0.2, 0.8 * (1 - likes)]).tolist()
        yield {
            "prompt": f"Debate: {side}\nGive a convincing argument.", "response_1": first, "response_2": second,
            "soft_label": (votes[0] + votes[1] / 2) / 5, "source": "made", "meta": {"votes": votes, "group": side},
        }  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A file like the real one: three debates of two sides, twelve arguments each, and one pair of identical sides."""
    rng = np.random.default_rng(0)
    rows = []
    for debate, side in itertools.product(("cats", "rain", "tea"), ("no", "yes")):
        arguments = [f"{side} {debate} {i} " + " ".join(rng.choice(WORDS, 2 + i)) for i in range(12)]
        rows.extend(rows_of(f"{debate}_{side}", arguments, rng))
    rows.append({**rows[0], "response_2": rows[0]["response_1"]})
    folder = tmp_path_factory.mktemp("votes")
    write_rows(folder / DATA_FILE, rows)
    return folder


@pytest.fixture(scope="module")
def pairs(made):
    return read_votes(find_data(str(made)))


@pytest.fixture
def real_file(monkeypatch):
    """The real votes, from $SOFTPREF_DATA or beside the checkout; without them the test is skipped and says so."""
    monkeypatch.chdir(ROOT)
    try:
        return find_data()
    except InputError as error:
        pytest.skip(f"the real votes are not here: {error}")


def texts(part):
    return {argument for pair in part for argument in arguments_of(pair)}


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
    assert [line.split("fold ")[1] for line in said[:-1]] == ["3 of 3, rain: dpo (5 of 6 runs done)"]
    assert json.loads(lost.read_text())["test"] == pytest.approx(before, abs=1e-6)


def test_other_settings_need_another_folder(study, made):
    folder, _, _ = study
    with pytest.raises(OptionError, match="other data or settings"):
        run_real(find_data(str(made)), folder, replace(QUICK, debates=1))


def test_the_real_file(real_file):
    """Numbers of the data's README: 5912 pairs less 5 of identical sides; 22 prompts, 11 debates."""
    pairs = read_votes(real_file)
    assert len(pairs) == 5907
    assert len({pair.prompt for pair in pairs}) == 22
    seen, *left_out = make_folds(pairs, RealSettings())
    assert len(left_out) == 11
    assert sum(len(fold.test) for fold in left_out) == 5907
    assert len(texts(seen.test)) > 100


# --- the fetcher ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fetcher():
    spec = importlib.util.spec_from_file_location("fetch_ukp", ROOT / "scripts" / "fetch_ukp.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def xml(first, second, answers, gold="<goldLabel>a1</goldLabel>"):
    assignments = "".join(f"<mTurkAssignment><value>{a}</value></mTurkAssignment>" for a in answers)
    return f"""<?xml version="1.0"?><list><annotatedArgumentPair><id>arg1_arg2</id>
      <arg1><stance>Yes</stance><text>{first}</text><id>arg1</id></arg1>
      <arg2><stance>Yes</stance><text>{second}</text><id>arg2</id></arg2>
      <debateMetaData><title>Is tea good?</title></debateMetaData>
      <mTurkAssignments>{assignments}</mTurkAssignments>{gold}</annotatedArgumentPair></list>""".encode()


def test_a_pair_of_the_original_becomes_a_row(fetcher):
    """Three votes for the first, two equal: (3 + 1)/5 = 0.8. White space becomes single spaces."""
    [row] = fetcher.pairs_of(xml(" it  is\nwarm ", "no &amp; no", ["equal", "a1", "a1", "equal", "a1"]), "tea_yes")
    assert row == {
        "prompt": "Debate: Is tea good?\nSide: Yes\nGive a convincing argument.", "response_1": "it is warm",
        "response_2": "no & no", "soft_label": 0.8, "source": "UKPConvArg1",
        "meta": {"votes": [3, 2, 0], "mace_gold": "a1", "pair_id": "arg1_arg2", "group": "tea_yes"},
    }  # fmt: skip


def test_long_arguments_and_pairs_without_votes_are_left_out(fetcher):
    assert list(fetcher.pairs_of(xml("tea " * 61, "no", ["a1"]), "tea_yes")) == []
    assert len(list(fetcher.pairs_of(xml("tea " * 60, "no", ["a1"], gold=""), "tea_yes"))) == 1
    assert list(fetcher.pairs_of(xml("tea", "no", []), "tea_yes")) == []


def test_what_was_rebuilt_is_checked(fetcher, monkeypatch):
    rows = list(fetcher.pairs_of(xml("tea", "no", ["a1"]), "tea_yes"))
    assert fetcher.fault_of(rows) == "1 pairs were rebuilt, not 5912"
    monkeypatch.setattr(fetcher, "EXPECTED_PAIRS", 1)
    assert "SHA-256" in fetcher.fault_of(rows)
    monkeypatch.setattr(fetcher, "EXPECTED_DIGEST", fetcher.digest(reversed(rows)))
    assert fetcher.fault_of(rows) is None


def test_the_digest_is_that_of_the_file_in_use(fetcher, real_file):
    rows = [json.loads(line) for line in real_file.read_text(encoding="utf-8").splitlines()]
    assert fetcher.fault_of(rows) is None
    assert sorted({row["meta"]["group"] for row in rows}) == list(fetcher.SIDES)


def test_without_a_network_it_says_so(fetcher, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr(fetcher.urllib.request, "urlopen", refuse)
    monkeypatch.setattr(fetcher.time, "sleep", lambda _: None)
    with pytest.raises(SystemExit, match="no route; is there a network"):
        fetcher.download("https://example.org/x.xml")
