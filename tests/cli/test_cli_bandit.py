"""The ``softpref bandit`` command: every figure with its numbers, and options that have an effect or are refused."""

import json

import pytest

from softpref.advice.evidence import read_evidence
from softpref.cli.bandit import FIGURES, BanditOptions
from softpref.cli.main import main
from softpref.cli.progress import GridProgress
from softpref.research.bandit import effect as bandit_effect
from softpref.research.bandit.effect import effect_cells
from softpref.research.bandit.evidence_table import evidence_of
from softpref.research.bandit.map import SIZES, compare, map_cells

PNG = b"\x89PNG"


def bandit(capsys, *arguments, code=0):
    assert main(["bandit", *map(str, arguments)]) == code
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return out if code == 0 else err


def test_the_papers_figure(capsys, tmp_path):
    out = bandit(capsys, "--output", tmp_path)
    written = json.loads((tmp_path / "bandit.json").read_text())
    modes = {name: row["mode"] for name, row in written["methods"].items()}
    assert set(modes) == {"dpo", "cdpo", "gdpo"}
    assert abs(modes["cdpo"] - 20) <= 3
    assert min(modes["dpo"], modes["gdpo"]) >= 65
    assert written["settings"]["draws"] == 500_000
    for name, row in written["methods"].items():
        [line] = [line for line in out.splitlines() if line.startswith(f"{name} ")]
        assert line.split()[1:3] == [str(row["mode"]), f"{row['expected_reward']:.3f}"]
    assert (tmp_path / "bandit.png").read_bytes().startswith(PNG)


def test_a_figure_is_the_same_every_time(capsys, tmp_path):
    for name in ("one", "two"):
        bandit(capsys, "--output", tmp_path / name, "--draws", 1000, "--training_time", 10)
        bandit(capsys, "--output", tmp_path / name, "--figure", "factors")
    for file in ("bandit.png", "bandit.json", "factors.png"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_other_settings_and_methods(capsys, tmp_path):
    """At a range of 5 cDPO's mode is in the good region too."""
    out = bandit(capsys, "--output", tmp_path, "--reward_range", 5, "--methods", "[cdpo,gropo]", "--draws", 20000)
    written = json.loads((tmp_path / "bandit.json").read_text())
    assert set(written["methods"]) == {"cdpo", "gropo"}
    assert written["methods"]["cdpo"]["mode"] > 65
    assert "gropo" in out


def test_factors(capsys, tmp_path):
    bandit(capsys, "--figure", "factors", "--output", tmp_path, "--beta", 0.5)
    assert (tmp_path / "factors.png").read_bytes().startswith(PNG)


def test_effect(capsys, tmp_path, monkeypatch):
    """Two cells of the map, one of either kind; the picture needs them all, so it is drawn of their repetition."""
    cells = effect_cells()
    same = {"width": 8.0, "reward_range": 1.0, "low_weight": 0.7}
    two = [cell for cell in cells if same.items() <= cell.items()]
    assert len(two) == 2
    monkeypatch.setattr(bandit_effect, "AXES", {"labels": ("thresholded", "sampled"), **{k: (v,) for k, v in same.items()}})
    monkeypatch.setattr(bandit_effect, "effect_cells", lambda: two)
    monkeypatch.setattr("softpref.research.bandit.figures.AXES", {k: (v,) for k, v in same.items()})
    out = bandit(capsys, "--figure", "effect", "--output", tmp_path, "--workers", 1)
    assert "hard labels thresholded: the paper's effect is there in 3 of 3 readings" in out
    assert "hard labels sampled: the paper's effect is there in 0 of 3 readings" in out
    assert (tmp_path / "effect.png").read_bytes().startswith(PNG)


def test_the_evidence_is_made_by_the_command(capsys, tmp_path):
    """At the small size: the table that is written is the one that the map's cells give; two of the eight made again."""
    out = bandit(capsys, "--figure", "labels", "--size", "small", "--output", tmp_path, "--workers", 1)
    evidence = read_evidence(tmp_path / "evidence.json")
    cells = map_cells(SIZES["small"])
    assert len(evidence["cells"]) == len(cells) == 8
    for place in (1, 6):
        again = evidence_of([{**cells[place], **compare(cells[place])}], "small")
        assert evidence["cells"][place] == json.loads(json.dumps(again["cells"][0]))
        assert {name: evidence[name] for name in ("betas", "pairs", "worlds")} == {
            name: again[name] for name in ("betas", "pairs", "worlds")
        }
    assert evidence["command"] in out
    assert (tmp_path / "labels.md").read_text() in out
    for name in ("labels_votes.png", "labels_judge.png"):
        assert (tmp_path / name).read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--figure", "lables"], "did you mean 'labels'"),
        (["--figure", "factors", "--seed", 3], "seed has no effect on the figure factors, only on policies"),
        (["--workers", 2], "workers has no effect on the figure policies, only on effect and labels"),
        (["--figure", "factors", "--beta", 0], "beta is 0"),
        (["--figure", "labels", "--size", "tiny"], "size is 'tiny'"),
        (["--figure", "labels", "--workers", 0], "workers is 0"),
        (["--methods", "[gdpo,xpo]"], "methods holds 'xpo'"),
        (["--low_weight", 1.5], "low_weight is 1.5"),
        (["--labels", "sample"], "did you mean 'sampled'"),
    ],
)
def test_what_a_user_gets_wrong(capsys, tmp_path, arguments, says):
    assert says in bandit(capsys, "--output", tmp_path, *arguments, code=2)
    assert not any(tmp_path.iterdir())


def test_every_option_has_a_figure():
    from dataclasses import fields

    known = {name for names in FIGURES.values() for name in names} | {"output", "figure"}
    assert known == {field.name for field in fields(BanditOptions)}


def test_progress_counts_what_was_there_before(capsys):
    with GridProgress("map") as progress:
        progress(5, 10, 5)
        [task] = progress.tasks
        assert (task.completed, task.total, task.speed) == (5, 10, None)
        progress(6, 10, 5)
        progress(7, 10, 5)
        assert task.completed == 7
        assert task.time_remaining is not None
    assert capsys.readouterr().out == ""
