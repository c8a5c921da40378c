"""The evidence: differences by hand, the table from the rows of a map, and that the shipped one is what the command makes."""

import json
import math

import numpy as np
import pytest

from softpref.advice.evidence import AXES, EVIDENCE, read_evidence, write_evidence
from softpref.research.bandit.evidence_table import (
    FIGURES,
    as_markdown,
    beats,
    beta_ratios,
    clear_wins,
    command,
    difference,
    evidence_of,
    judge_name,
    pooled_rewards,
    standings,
    votes_name,
)
from softpref.research.bandit.map import BETAS, GOOD_JUDGE, SIZES, compare, map_cells


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
        "reward_range": 2.0,
        "low_weight": 0.7,
        "votes": 3,
        "raw": True,
        **GOOD_JUDGE,
        "confidence": 0.3,
    }
    assert cell[-1] == [[100, 0, -10, 127, 3, 4, 5]] * 9
    assert table["command"] == "softpref bandit --figure labels --size small"
    assert command("default") == "softpref bandit --figure labels"


def test_writing_and_reading(tmp_path):
    table = evidence_of([row([0.6, 0.7], [0.5, 0.58], [0.5, 0.6])] * 2, "small")
    write_evidence(tmp_path / "evidence.json", table)
    assert read_evidence(tmp_path / "evidence.json") == json.loads(json.dumps(table))


def test_a_clear_win_by_hand():
    """By 0.1 with little spread: clear. By 0.008: not. By 0.1 with an interval that holds 0: not."""
    assert beats([0.60, 0.61, 0.62], [0.5, 0.51, 0.53])
    assert not beats([0.608, 0.608], [0.6, 0.6])
    assert not beats([0.9, 0.5], [0.6, 0.6])
    assert beats([0.6], [0.5])


def test_shares_of_clear_wins():
    """Hard first in one row, conservative second best nowhere clear, geometric and conservative alike in the other."""
    rows = [row([0.6, 0.6], [0.4, 0.4], [0.5, 0.5]), row([0.4, 0.4], [0.6, 0.6], [0.6, 0.6])]
    assert clear_wins(rows) == {"hard": 0.5, "conservative": 0.0, "geometric": 0.0}


def test_beta_ratios():
    """Places 3 and 5 of a grid of quarter decades: half a decade apart. One per budget."""
    assert beta_ratios([row([0.1], [0.1], [0.1], betas=(3, 4, 5))]) == pytest.approx([10**0.5] * 3)


def test_names():
    one = row([0.1], [0.1], [0.1])
    assert (votes_name(one), judge_name(one)) == ("p itself", "no fault")
    names = [votes_name({**one, "votes": n, "raw": raw}) for n, raw in ((1, True), (3, True), (3, False))]
    assert names == ["1 vote", "3 votes, raw mean", "3 votes"]
    assert judge_name({**one, "judge": {**GOOD_JUDGE, "flips": 0.1, "noise": 3.0}}) == "noise 3, flips 0.1"


def test_the_markdown_by_hand():
    """Geometric − hard: −0.1 and −0.1; geometric − conservative: 0 and 0.01, with
    a half-width of 12.706 · 0.00707/√2 = 0.064. Betas at places 3 and 5; 1/0.30049.
    """
    rows = [row([0.6, 0.7], [0.5, 0.59], [0.5, 0.6])]
    text = as_markdown(rows, "small")
    assert "`softpref bandit --figure labels --size small`: 1 cells, each 2 worlds." in text
    assert "| 100 | sampled | 100%, 0.000 | 0%, 0.105 | 0%, 0.100 |" in text
    assert "| all | 100% | 0% | 0% | -0.100 ± 0.000 | +0.005 ± 0.064 |" in text
    assert "| p itself, no fault | 100% | 0% | 0% |" in text
    assert "| 0.3 – 0.5 | 1 | 3.2 (3.2 – 3.2) | 3.3 |" in text
    single = row([0.5, 0.5], [0.5, 0.5], [0.5, 0.5], votes=1, raw=True)
    assert as_markdown([*rows, single], "small").split("\n\n")[2:] == text.split("\n\n")[2:]


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
