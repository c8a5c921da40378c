"""The evidence: differences by hand, the table from the rows of a map, and that the shipped one is what the command makes."""

import json
import math

import numpy as np
import pytest

from softpref.experiments.bandit_evidence import (
    FIGURES,
    as_markdown,
    command,
    difference,
    evidence_of,
    pooled_rewards,
    standings,
)
from softpref.experiments.bandit_map import BETAS, GOOD_JUDGE, SIZES, compare, map_cells
from softpref.experiments.evidence import AXES, EVIDENCE, read_evidence, write_evidence


def row(hard, conservative, geometric, betas=(3, 4, 5), **changes):
    """A row of a map in which every budget and readout shows the same."""
    rewards = zip(("hard", "conservative", "geometric"), (hard, conservative, geometric), betas, strict=True)
    figure = {name: {"rewards": [*values], "beta": beta} for name, values, beta in rewards}
    figures: dict = {}
    for budget, readout in FIGURES:
        figures.setdefault(budget, {})[readout] = figure
    axes = {"reward_range": 2.0, "low_weight": 0.7, "votes": None, "raw": False, "judge": {**GOOD_JUDGE}}
    return {**axes, "confidence": 0.30049, "figures": figures, **changes}


def test_difference_by_hand():
    """Gaps 1, 2, 3: mean 2, s.d. 1, standard error 1/√3, t(0.975, 2) = 4.3027: half-width 2.4841."""
    gap = difference([2, 4, 6], [1, 2, 3])
    assert gap.mean == 2
    assert gap.half_width == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert math.isnan(difference([1.0], [0.5]).half_width)


def test_the_interval_covers():
    """Of 2000 samples of six, 95% of the intervals hold the true mean, to within three standard errors."""
    rng = np.random.default_rng(0)
    gaps = [difference(sample, np.zeros(6)) for sample in rng.normal(1, 2, (2000, 6))]
    covered = np.mean([abs(gap.mean - 1) <= gap.half_width for gap in gaps])
    assert covered == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 2000))


def test_worlds_are_pooled_one_by_one():
    rows = [row([0.1, 0.5], [0, 0], [0, 0]), row([0.3, 0.5], [0, 0], [0, 0])]
    assert pooled_rewards(rows, "100", "greedy")["hard"].tolist() == pytest.approx([0.2, 0.5])


def test_standings_by_hand():
    """Means .50/.495/.3 and .40/.6/.595, beta of geometric at an edge once."""
    rows = [row([0.5], [0.495], [0.3], (3, 4, 0)), row([0.4], [0.6], [0.595])]
    found = standings(rows, "100", "sampled")
    assert found["hard"] == pytest.approx({"near_best": 0.5, "mean_regret": 0.1, "edge": 0})
    assert found["conservative"] == pytest.approx({"near_best": 1, "mean_regret": 0.0025, "edge": 0})
    assert found["geometric"] == pytest.approx({"near_best": 0.5, "mean_regret": 0.1025, "edge": 0.5})


def test_the_table_by_hand():
    """Hard − geometric: 0.1 and 0.1, no spread. Conservative − geometric: 0 and −0.02: mean −0.01, half-width
    12.706 · 0.01414/√2 = 0.127."""
    table = evidence_of([row([0.6, 0.7], [0.5, 0.58], [0.5, 0.6], votes=3, raw=True)], "small")
    [cell] = table["cells"]
    assert dict(zip(AXES, cell, strict=False)) == {
        "reward_range": 2.0, "low_weight": 0.7, "votes": 3, "raw": True, **GOOD_JUDGE, "confidence": 0.3,
    }  # fmt: skip
    assert cell[-1] == [[100, 0, -10, 127, 3, 4, 5]] * 9
    assert table["command"] == "softpref bandit --figure labels --size small"
    assert command("default") == "softpref bandit --figure labels"


def test_writing_and_reading(tmp_path):
    table = evidence_of([row([0.6, 0.7], [0.5, 0.58], [0.5, 0.6])] * 2, "small")
    write_evidence(tmp_path / "evidence.json", table)
    assert read_evidence(tmp_path / "evidence.json") == json.loads(json.dumps(table))


def test_the_markdown_names_its_command():
    text = as_markdown([row([0.6, 0.7], [0.5, 0.58], [0.5, 0.6])], "small")
    assert "`softpref bandit --figure labels --size small`: 1 cells, each 2 worlds." in text
    assert "| 100 | sampled | 100%, 0.000 | 0%, 0.110 | 0%, 0.100 |" in text
    assert "| all cells | 1000 | sampled | -0.100 ± 0.000 | +0.010 ± 0.127 |" in text


# --- the shipped table --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped():
    return read_evidence(EVIDENCE)


def test_the_shipped_table_holds_the_default_map(shipped):
    size = SIZES["default"]
    assert shipped["command"] == command("default")
    assert [len(shipped["cells"]), shipped["pairs"], shipped["worlds"]] == [
        945,
        size.pairs,
        size.worlds - size.chosen_on,
    ]
    assert shipped["axes"] == [*AXES]
    assert shipped["figures"] == [[*figure] for figure in FIGURES]
    np.testing.assert_allclose(shipped["betas"], BETAS, rtol=5e-3)
    wanted = [[{**cell, **cell["judge"]}[axis] for axis in AXES[:-1]] for cell in map_cells(size)]
    assert [cell[: len(AXES) - 1] for cell in shipped["cells"]] == wanted


@pytest.mark.parametrize("place", [130, 611])
def test_cells_of_the_shipped_table_can_be_made_again(shipped, place):
    """Sampled rewards to a thousandth; modes and chosen betas may turn on the last bit, so they are not compared."""
    cell = map_cells(SIZES["default"])[place]
    again = evidence_of([{**cell, **compare(cell)}], "default")["cells"][0]
    ours = shipped["cells"][place]
    assert ours[: len(AXES)] == again[: len(AXES)]
    for (_, readout), numbers, remade in zip(FIGURES, ours[-1], again[-1], strict=True):
        if readout == "sampled":
            assert numbers[:4] == pytest.approx(remade[:4], abs=1)
