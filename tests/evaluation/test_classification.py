"""Margins of the implicit reward, figures from margins, and intervals for pairs that share members."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from softpref.core.statistics import cluster_bootstrap, node_bootstrap
from softpref.data.pairs import PreferencePair, orient, swap_sides
from softpref.data.written import as_written
from softpref.demo.small_model import save, small_llama
from softpref.evaluation.classification import (
    calibration_figures,
    implicit_margins,
    majority_auc,
    margins,
    ranking_figures,
    side_logps,
)


def value_only(statistic, *rows):
    """A bootstrap of one draw, for the figures themselves."""
    return cluster_bootstrap(statistic, *rows, clusters=np.arange(len(rows[0])), resamples=1)


# --- margins --------------------------------------------------------------------------------------------------------------

PAIRS = [
    PreferencePair("make tea :", " boil the water , pour , wait , serve", " wait", 0.9),
    PreferencePair("make tea :", " warm the pot", " add leaves , pour water", 0.3),
    PreferencePair("for two ?", " yes", " no", 0.5),
]


@pytest.fixture
def models(word_tokenizer, tmp_path):
    """Two folders with different weights and one tokenizer."""
    sizes = {"hidden": 16, "layers": 1, "heads": 2, "context": 64}
    return [str(save(small_llama(word_tokenizer, **sizes, seed=seed), word_tokenizer, tmp_path / str(seed))) for seed in (1, 2)]


def test_margins_by_hand():
    """Policy (−3, −7), reference (−4, −5): log-ratios 1 and −2, so h = 3."""
    assert margins(np.array([[-3.0, -7.0]]), np.array([[-4.0, -5.0]])).tolist() == [3.0]


def test_margins_in_a_batch_are_those_of_each_pair_alone(models):
    """Rows are scored sorted by length and come back in their own order."""
    together = implicit_margins(*models, PAIRS)
    alone = [implicit_margins(*models, [pair])[0] for pair in PAIRS]
    assert together == pytest.approx(alone, abs=1e-5)
    assert len(set(np.round(together, 3))) == 3


def test_a_model_has_no_margin_against_itself(models):
    assert implicit_margins(models[0], models[0], PAIRS).tolist() == [0, 0, 0]


def test_margins_change_sign_with_the_sides(models):
    swapped = [swap_sides(pair) for pair in PAIRS]
    assert implicit_margins(*models, swapped) == pytest.approx(-implicit_margins(*models, PAIRS), abs=1e-5)


def test_no_pair_is_dropped_for_its_length(models):
    long = PreferencePair("make tea :", " wait" * 60, " pour", 0.9)
    assert side_logps(models[0], [long, *PAIRS]).shape == (4, 2)


def test_as_written_undoes_the_orientation():
    read = [orient(pair) for pair in PAIRS]
    assert [pair.soft_label for pair in read] == [0.9, 0.7, 0.5]
    assert [(p.chosen, p.rejected) for p in map(as_written, read)] == [(p.chosen, p.rejected) for p in PAIRS]
    assert [pair.soft_label for pair in map(as_written, read)] == pytest.approx([0.9, 0.3, 0.5])


# --- figures --------------------------------------------------------------------------------------------------------------


def test_ranking_by_hand():
    """Scores 2, 1, 0, −1 at p = 0.9, 0.4, 0.6, 0.5. The tie is left out; positives have scores 2 and 0, the negative 1.

    AUC: of the two comparisons 2 > 1 is right and 0 > 1 is wrong: ½. Accuracy: right, wrong, and half for the score 0: ½.
    """
    found = ranking_figures([2, 1, 0, -1], [0.9, 0.4, 0.6, 0.5], value_only)
    assert found["auc"].value == 0.5
    assert found["accuracy"].value == 0.5


def test_auc_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    p, score = rng.integers(0, 11, 300) / 10, rng.normal(size=300).round(1)
    decided = p != 0.5
    assert majority_auc(score, p) == pytest.approx(roc_auc_score(p[decided] > 0.5, score[decided]))


def test_calibration_by_hand():
    """Log-odds 0 and ln 3 are ½ and ¾; labels 1 and ½.

    Brier (¼ + 1⁄16)/2 = 5⁄32. Log score: ln 2 and −½ ln ¾ − ½ ln ¼. ECE: two bins with one pair each, (½ + ¼)/2 = ⅜.
    """
    found = calibration_figures([0, math.log(3)], [1, 0.5], value_only)
    assert found["brier"].value == pytest.approx(5 / 32)
    assert found["log_score"].value == pytest.approx((math.log(2) - (math.log(3 / 4) + math.log(1 / 4)) / 2) / 2)
    assert found["ece"].value == pytest.approx(3 / 8)


# --- the bootstrap over members -------------------------------------------------------------------------------------------


def count(x):
    return float(len(x))


def test_a_pair_counts_as_often_as_both_its_members():
    """Members a, b, c in pairs ab, bc. Three draws give m_a + m_b + m_c = 3, so m_a·m_b + m_b·m_c = m_b·(3 − m_b):
    0 (no pair: left out) or 2. Every draw that counts has two pairs.
    """
    found = node_bootstrap(count, [1, 2], first=["a", "b"], second=["b", "c"])
    assert (found.value, found.low, found.high) == (2, 2, 2)
    assert (found.n, found.clusters) == (2, 3)


def test_strata_keep_their_size():
    """Two sides of two arguments and one pair each: inside a side m₁·m₂ is 1 or 0, so at most two pairs.

    Without strata four draws from four arguments may give one pair twice over, m = (2, 2, 0, 0): 4 rows.
    """
    pairs = {"first": ["a", "c"], "second": ["b", "d"]}
    draws: list[float] = []

    def noted(x):
        draws.append(count(x))
        return draws[-1]

    node_bootstrap(noted, [1, 2], **pairs, strata=[0, 1])
    assert set(draws) == {1, 2}
    draws.clear()
    node_bootstrap(noted, [1, 2], **pairs)
    assert max(draws) == 4


def test_a_member_in_two_strata_is_refused():
    with pytest.raises(ValueError, match="two strata"):
        node_bootstrap(count, [1, 2], first=["a", "a"], second=["b", "c"], strata=[0, 1])


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="no rows"):
        node_bootstrap(count, [], first=[], second=[])


def test_the_interval_knows_that_pairs_share_members():
    """Pair ij has the value x_i + x_j, all pairs of 40 members: their mean is 2·x̄, of standard error 2·s/√40.

    Drawing members finds that; drawing 780 pairs as if they were independent finds an interval less than half as wide.
    """
    x = np.random.default_rng(3).normal(size=40)
    first, second = np.array(list(itertools.combinations(range(40), 2))).T
    values = x[first] + x[second]
    right = 2 * 1.96 * 2 * x.std(ddof=1) / math.sqrt(40)
    nodes = node_bootstrap(np.mean, values, first=first, second=second)
    pairs = cluster_bootstrap(np.mean, values, clusters=np.arange(len(values)))
    assert nodes.high - nodes.low == pytest.approx(right, rel=0.1)
    assert pairs.high - pairs.low < right / 2


def test_the_same_seed_gives_the_same_interval():
    rows, members = np.arange(10.0), {"first": np.arange(10), "second": np.arange(1, 11)}
    assert node_bootstrap(np.mean, rows, **members) == node_bootstrap(np.mean, rows, **members)
    assert node_bootstrap(np.mean, rows, **members) != node_bootstrap(np.mean, rows, **members, seed=1)
