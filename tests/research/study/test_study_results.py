"""Figures of a study from runs made by hand: two seeds, two prompts, two samples."""

import math

import numpy as np
import pytest

from softpref.demo.plan_world_judge import SCALE
from softpref.research.study.results import (
    against_sft,
    at_equal_kl,
    at_kl,
    classification,
    difference,
    frontier_of,
    gap_at_kl,
    methods_of,
    of_sft,
    standing,
)
from softpref.research.study.runs import Run


def judged(score, sft, p):
    return {"score": score, "sft_score": sft, "p": p}


def result(greedy, sampled, log_ratios, frontier=(), sft=0.5):
    """A cell's result; gold of the SFT model is ``sft`` throughout."""
    way = {"words": [4] * len(greedy), "gold": judged(greedy, [sft] * len(greedy), [0.9] * len(greedy))}
    drawn = {
        "words": [4] * len(sampled),
        "gold": judged(sampled, [sft] * len(sampled), [0.5, None, 0.8, 0.2]),
        "log_ratios": log_ratios,
    }
    margins = {"drafts": {"h": [1.0, -1.0, 0.0], "p": [0.9, 0.8, 0.5]}}
    return {"judged": {"greedy": way, "sampled": drawn}, "frontier": list(frontier), "margins": margins}


POINT = {"step": 15, "log_ratios": [1.0, 1.0, 1.0, 1.0], "score": [0.6, 0.6, 0.8, 0.8]}
FOUND = [
    (Run("plain", "gdpo", 0.3, 2), result([0.8, 1.0], [0.5, 0.5, 0.9, 0.9], [2.0] * 4, [POINT])),
    (Run("plain", "gdpo", 0.3, 1), result([0.6, 0.8], [0.7, 0.7, 0.7, 0.7], [3.0] * 4, [POINT])),
    (Run("plain", "dpo", 0.1, 1), result([0.5, 0.8], [0.6, 0.6, 0.6, 0.6], [1.5] * 4, [POINT])),
    (Run("plain", "dpo", 0.1, 2), result([0.7, 0.6], [0.5, 0.5, 0.5, 0.5], [4.0] * 4, [POINT])),
]
METHODS = methods_of(FOUND)["plain"]
GDPO, DPO = METHODS["gdpo"], METHODS["dpo"]


def test_runs_of_a_method_stand_in_the_order_of_their_seeds():
    assert GDPO.seeds == (1, 2)
    assert GDPO.scores("greedy").tolist() == [[0.6, 0.8], [0.8, 1.0]]


def test_a_difference_is_taken_within_each_seed():
    gap = difference(GDPO, DPO, "greedy")
    assert gap["value"] == pytest.approx(np.mean([0.1, 0.0, 0.1, 0.4]))
    assert (gap["seeds"], gap["seeds_above"]) == (2, 2)
    assert gap["low"] <= gap["value"] <= gap["high"]
    assert difference(DPO, GDPO, "greedy")["seeds_above"] == 0


def test_a_seed_that_only_one_method_has_is_left_out():
    alone = methods_of(FOUND[:3])["plain"]
    gap = difference(alone["gdpo"], alone["dpo"], "greedy")
    assert (gap["seeds"], gap["value"]) == (1, pytest.approx(0.05))


def test_win_rates_by_judge_and_by_truth():
    rates = against_sft(GDPO, "sampled")
    # 0.5, none, 0.8, 0.2 in both seeds
    assert rates["percentage"]["value"] == pytest.approx(0.5)
    assert rates["binary"]["value"] == pytest.approx(2 / 3)
    assert rates["tie_aware"]["value"] == pytest.approx(0.5)
    assert rates["coverage"] == 0.75
    gaps = [0.2] * 4 + [0.0, 0.0, 0.4, 0.4]
    assert rates["by_truth"]["value"] == pytest.approx(np.mean([1 / (1 + math.exp(-SCALE * g)) for g in gaps]))


def test_standing_and_the_sft_model():
    stands = standing(GDPO)
    assert stands["gold"]["greedy"]["value"] == pytest.approx(0.8)
    assert stands["kl"]["value"] == pytest.approx(2.5)
    assert stands["words"] == 4
    assert of_sft(GDPO)["sampled"]["value"] == 0.5


def test_the_frontier_begins_at_the_reference():
    start, middle, end = frontier_of(GDPO)
    assert (start["step"], start["kl"], start["gold"]["value"]) == (0, 0.0, 0.5)
    assert (middle["step"], middle["kl"], middle["gold"]["value"]) == (15, 1.0, pytest.approx(0.7))
    assert (end["step"], end["kl"], end["gold"]["value"]) == (None, 2.5, pytest.approx(0.7))


def test_gold_at_a_kl_is_interpolated_within_each_seed():
    # seed 1 passes 2 nats half-way from 1 to 3, seed 2 at its end
    found = at_kl(GDPO, 2.0)
    assert found == pytest.approx(np.array([[0.65, 0.65, 0.75, 0.75], [0.5, 0.5, 0.9, 0.9]]))
    assert at_kl(GDPO, 2.5) is None  # seed 2 never went so far


def test_methods_are_compared_at_a_kl_that_both_reach():
    levels = at_equal_kl(METHODS)
    assert {*levels["0.5"]} == {*levels["1"]} == {"gdpo", "dpo"}
    assert {*levels["2"]} == {"gdpo"}
    assert levels["0.5"]["dpo"]["value"] == pytest.approx((0.5 + 0.7) / 2)
    assert gap_at_kl(GDPO, DPO, 1.0)["value"] == pytest.approx(0)
    assert gap_at_kl(GDPO, DPO, 2.0) is None


def test_classification_by_hand():
    found = classification(GDPO, "drafts", beta=1.0)
    # of two decided pairs per seed one is right; the tie is left out
    assert found["accuracy"]["value"] == pytest.approx(0.5)
    s = 1 / (1 + math.exp(-1))
    assert found["brier"]["value"] == pytest.approx(((s - 0.9) ** 2 + (1 - s - 0.8) ** 2 + 0) / 3)
    assert found["pairs"] == 6
    # every other pair turned round, h is 1 and −1 of those whose first side is better, 1 and −1 of the others
    assert found["auc"]["value"] == pytest.approx(0.5)
