"""``softpref votes``: from rows of one vote each to labels that train reads, a page, and what to ask next."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from softpref.cli.main import main
from softpref.core.soft_labels import from_votes
from softpref.data.formats import read_pairs
from softpref.data.read_options import ReadOptions
from softpref.data.voters import fit_annotators
from softpref.errors import OptionError

FOLDER = Path(os.environ.get("SOFTPREF_DATA") or Path(__file__).parents[2].parent / "shared" / "data")
UKP = FOLDER / "ukpconvarg1.jsonl"


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def vote(pair, who, winner, turned=False):
    first, second = ("no", "yes") if turned else ("yes", "no")
    winner = {"1": "2", "2": "1"}.get(winner, winner) if turned else winner
    return {"prompt": f"q{pair}", "response_1": first, "response_2": second, "winner": winner, "annotator": who}


@pytest.fixture
def votes(tmp_path):
    """Ann and Bo agree on ten pairs, Cy says the opposite of them; on the eleventh Ann and Cy differ, and Di has tied."""
    rows = []
    for pair in range(10):
        winner = "1" if pair % 2 else "2"
        rows += [
            vote(pair, "Ann", winner),
            vote(pair, "Bo", winner, turned=True),
            vote(pair, "Cy", "2" if winner == "1" else "1"),
        ]
    rows += [vote(10, "Ann", "1"), vote(10, "Cy", "2"), vote(10, "Di", "tie")]
    return write(tmp_path / "votes.jsonl", rows)


def test_labels_people_and_page(votes, tmp_path, capsys):
    output, page = tmp_path / "pairs.jsonl", tmp_path / "page.html"
    assert main(["votes", "--data", str(votes), "--output", str(output), "--html", str(page)]) == 0
    out = capsys.readouterr().out
    assert f"{votes}: 11 pairs, 33 votes of 4 annotators" in out
    people = [line.split()[-1] for line in out.splitlines() if line.startswith("  ")]
    assert people[0] == "Cy"
    assert set(people[-2:]) == {"Ann", "Bo"}
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert all(row["label_source"]["interval"][0] <= row["soft_label"] <= row["label_source"]["interval"][1] for row in rows)
    assert rows[1]["soft_label"] > 0.9
    assert rows[0]["soft_label"] < 0.1
    assert rows[10]["soft_label"] > 0.5
    assert rows[1]["meta"]["annotators"] == {"Ann": 1.0, "Bo": 1.0, "Cy": 0.0}
    at_once = [pair.soft_label for pair in read_pairs(votes, ReadOptions(votes="dawid_skene"))]
    assert [pair.soft_label for pair in read_pairs(output)] == pytest.approx(at_once, abs=1e-14)
    text = page.read_text(encoding="utf-8")
    for heading in ("How reliable each annotator is", "Who disagrees with whom", "Which pairs to ask about next"):
        assert heading in text


def test_the_least_sure_pair_is_asked_about_first(votes, capsys):
    assert main(["votes", "--data", str(votes)]) == 0
    assert "one more vote would say most about rows 31, " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"prompt": "q", "response_1": "a", "response_2": "b", "soft_label": 0.4}], "labels that are no votes"),
        ([{"prompt": "q", "response_1": "a", "response_2": "b"}], "holds no labels"),
        ([{"prompt": "q", "response_1": "a", "response_2": "b", "votes_1": 3, "votes_2": 1}], "nobody's vote is there by name"),
        ([vote(0, "Ann", "1"), vote(1, "Bo", "2")], "no pair has votes of two annotators"),
    ],
)
def test_what_is_no_set_of_votes_by_name(rows, message, tmp_path, capsys):
    assert main(["votes", "--data", str(write(tmp_path / "rows.jsonl", rows))]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "pairs.csv"], "give a .jsonl file"),
        (["--html", "page"], "give a .html file"),
        (["--votes", "mean"], "this command is about dawid_skene"),
    ],
)
def test_mistakes_in_options(arguments, message, votes, capsys):
    assert main(["votes", "--data", str(votes), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_prior_has_no_effect_on_the_model():
    with pytest.raises(OptionError, match="vote_prior has no effect with votes='dawid_skene'"):
        ReadOptions(votes="dawid_skene", vote_prior=1.0)


@pytest.mark.skipif(not UKP.is_file(), reason=f"no {UKP}: set SOFTPREF_DATA")
def test_real_shares_of_votes_with_people_who_guess():
    """Real shares of UKP's five voters; ten made people vote by them, of whom four guess. The guessers are found."""
    rng = np.random.default_rng(0)
    pairs = [pair for pair in read_pairs(UKP, ReadOptions(identical="drop")) if sum(pair.meta["votes"]) == 5][:1500]
    truth, rows, means = [], [], []
    for pair in pairs:
        p = (pair.meta["votes"][0] + pair.meta["votes"][1] / 2) / 5
        cast = {f"w{k}": float(rng.random() < (0.5 if k < 4 else p)) for k in rng.choice(10, 4, replace=False)}
        rows.append(type(pair)(pair.prompt, pair.chosen, pair.rejected, meta={"annotators": cast}))
        truth.append(p)
        means.append(from_votes(sum(cast.values()), len(cast) - sum(cast.values())))
    fitted = fit_annotators(rows, "ukp")
    reliability = dict(zip(fitted.names, fitted.model.reliability, strict=True))
    assert max(reliability[f"w{k}"] for k in range(4)) < min(reliability[f"w{k}"] for k in range(4, 10))
    decided = np.abs(np.array(truth) - 0.5) >= 0.3
    majority = (np.array(truth) > 0.5).astype(float)
    brier = [np.mean((np.ravel(p)[decided] - majority[decided]) ** 2) for p in (fitted.model.soft_labels, np.array(means))]
    assert brier[0] < brier[1]
