"""The map of readings: its cells hold what the bandit gives, and the default is among them."""

from dataclasses import asdict

import pytest

from softpref.research.bandit import effect as bandit_effect
from softpref.research.bandit.bandit import BanditSettings, effect_holds
from softpref.research.bandit.effect import AXES, TIMES, effect_cells, modes, run_effect
from softpref.research.bandit.figures import OUTCOMES, outcome


def test_the_default_reading_is_on_the_map():
    default = asdict(BanditSettings())
    assert default["training_time"] in TIMES
    assert [cell for cell in effect_cells() if all(cell[axis] == default[axis] for axis in AXES)]
    assert len(effect_cells()) == 2 * 3 * 6 * 5


def test_the_effect_needs_thresholded_labels_and_a_small_range():
    """What the map is for, at three of its cells."""
    found = {}
    for labels, reward_range in (("thresholded", 1.0), ("sampled", 1.0), ("thresholded", 5.0)):
        [cell] = effect_cells({"labels": (labels,), "width": (8.0,), "reward_range": (reward_range,), "low_weight": (0.7,)})
        found[labels, reward_range] = modes(cell)["at"][TIMES.index(1e4)]
    assert [row["holds"] for row in found.values()] == [True, False, False]
    assert [outcome(row) for row in found.values()] == [0, 2, 1]
    assert found["sampled", 1.0]["methods"]["dpo"]["mode"] < 30 < 65 < found["sampled", 1.0]["methods"]["gdpo"]["mode"]
    assert len(OUTCOMES) == 3


def test_the_run_writes_its_rows(tmp_path, monkeypatch):
    axes = {"labels": ("thresholded",), "width": (8.0,), "reward_range": (1.0, 5.0), "low_weight": (0.7,)}
    monkeypatch.setattr(bandit_effect, "AXES", axes)
    monkeypatch.setattr(bandit_effect, "effect_cells", lambda: effect_cells(axes))
    rows = run_effect(tmp_path, workers=1)
    assert [(row["reward_range"], row["training_time"]) for row in rows] == [(r, t) for r in (1.0, 5.0) for t in TIMES]
    assert [row["holds"] for row in rows] == [True] * 3 + [False] * 3
    assert (tmp_path / "effect.json").is_file()
    assert run_effect(tmp_path, workers=1) == rows


@pytest.mark.parametrize(
    ("modes", "holds"), [((20, 70, 70), True), ((36, 70, 70), False), ((20, 64, 70), False), ((20, 70, 30), False)]
)
def test_what_counts_as_the_effect(modes, holds):
    assert effect_holds(dict(zip(("cdpo", "dpo", "gdpo"), modes, strict=True))) == holds
