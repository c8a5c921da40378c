"""The map's parts by hand: labels as judges and votes make them, betas read off one path, rewards at a KL."""

import json

import numpy as np
import pytest
from scipy.special import expit

from softpref.advice.evidence import READOUTS, TREATMENTS
from softpref.core.treatments import resolve
from softpref.research.bandit import map as bandit_map
from softpref.research.bandit.bandit import ACTIONS, World
from softpref.research.bandit.gradient_flow import train
from softpref.research.bandit.map import (
    BETAS,
    BUDGETS,
    GOOD_JUDGE,
    SIZES,
    TIMES,
    WIDTH,
    Size,
    best_within,
    compare,
    label_worlds,
    map_cells,
    one_error_at_a_time,
    run_map,
)

WORLD = World(4.0, 0.7, WIDTH)


def cell(votes=None, raw=False, pairs=4000, **judge):
    return {
        "votes": votes,
        "raw": raw,
        "pairs": pairs,
        "worlds": 2,
        "chosen_on": 1,
        "judge": {**GOOD_JUDGE, **judge},
        "reward_range": 4.0,
        "low_weight": 0.7,
    }


def labels(**settings):
    return label_worlds(WORLD, cell(**settings))


def margins(rows, world=WORLD):
    return world.reward[rows.first] - world.reward[rows.second]


# --- labels -------------------------------------------------------------------------------------------------------------


def test_a_judge_without_fault_gives_bradley_terry():
    rows = labels()
    np.testing.assert_allclose(rows.soft_label, expit(margins(rows)), rtol=1e-12)
    assert (rows.soft_label >= 0.5).all()
    assert rows.first.shape == (2, 4000)


def test_sharpness_multiplies_the_log_odds():
    rows = labels(sharpness=3.0)
    np.testing.assert_allclose(rows.soft_label, expit(3 * margins(rows)), rtol=1e-12)


def test_a_bias_is_worth_its_share_of_the_range():
    """0.25 of a range of 4: half of the actions look better by 1, so log-odds are off by −1, 0 or 1."""
    rows, good = labels(bias=0.25), labels()
    off = np.log(rows.soft_label / (1 - rows.soft_label)) - margins(rows)
    assert {*np.round(off.ravel(), 6) + 0.0} == {-1.0, 0.0, 1.0}
    assert np.sort(np.c_[rows.first[0], rows.second[0]]).tolist() == np.sort(np.c_[good.first[0], good.second[0]]).tolist()


def test_noise_turns_the_unsure_labels_round():
    rows = labels(noise=1.0)
    wrong, size = margins(rows) < 0, np.abs(margins(rows))
    off = np.log(rows.soft_label / (1 - rows.soft_label)) - margins(rows)
    # folding the labels to p ≥ ½ makes the mean of what was added positive, and leaves its size: E ε² = 1
    assert np.mean(off**2) == pytest.approx(1, abs=0.05)
    assert wrong[size < 0.5].mean() > 0.25 > 0.03 > wrong[size > 2].mean()


def test_flips_turn_labels_round_at_their_rate():
    rows = labels(flips=0.3)
    unequal = margins(rows) != 0
    assert (margins(rows)[unequal] < 0).mean() == pytest.approx(0.3, abs=0.02)
    np.testing.assert_allclose(rows.soft_label, expit(np.abs(margins(rows))), rtol=1e-12)


def test_votes_are_their_mean_or_go_through_a_prior():
    raw, fitted = labels(votes=3, raw=True), labels(votes=3)
    assert {*np.round(raw.soft_label.ravel(), 9)} == {round(2 / 3, 9), 1.0}
    assert len({*np.round(fitted.soft_label[0], 9)}) == 2
    assert fitted.soft_label.mean() < raw.soft_label.mean()
    np.testing.assert_array_equal(raw.first, fitted.first)
    assert (labels(votes=1, raw=True).soft_label == 1).all()
    many = labels(votes=5000, raw=True, pairs=300)
    np.testing.assert_allclose(many.soft_label, expit(np.abs(margins(many))), atol=0.04)


def test_worlds_draw_the_same_pairs_in_every_cell():
    drawn = [
        np.sort(np.stack([rows.first, rows.second]), axis=0)
        for rows in (labels(), labels(noise=3.0), labels(flips=0.2), labels(votes=10), labels(bias=0.5))
    ]
    for other in drawn[1:]:
        np.testing.assert_array_equal(drawn[0], other)
    assert (drawn[0][:, 0] != drawn[0][:, 1]).any()


# --- betas and readouts -------------------------------------------------------------------------------------------------


def test_every_beta_has_its_time_on_the_path():
    for budget in BUDGETS:
        wanted = np.square(BETAS) * budget
        nearest = TIMES[np.abs(np.log(TIMES[:, None] / wanted)).argmin(axis=0)]
        np.testing.assert_allclose(nearest, wanted, rtol=1e-9)


def test_a_beta_read_off_is_a_beta_trained(monkeypatch):
    """f_β(t) = g(β²t)/β: rewards of one beta, from the shared path and from training with it."""
    place = 6
    rows = labels(pairs=300)
    [*_, last] = bandit_map._readings(rows, "gdpo", WORLD)
    times = TIMES / BETAS[place] ** 2
    f = train(rows, resolve("gdpo", beta=BETAS[place]), times[times <= BUDGETS[-1] * 1.001], ACTIONS)[:, -1]
    policy = WORLD.data_policy * np.exp(f)
    policy /= policy.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(last.sampled[place], policy @ np.linspace(0, 1, ACTIONS), rtol=1e-6)


def test_rewards_at_a_kl_by_hand():
    """KL 0, 0.5, 2, 0.8. The limit 1 is crossed a third of the way from 0.5 to 2, and five sixths from 2 to 0.8.

    Rewards 0, 3, 9, 1 are 3 + 6/3 = 5 and 9 − 8·5/6 = 2.33 there; rewards 0, 1, 9, 5 are 3.67 and 9 − 4·5/6 = 5.67.
    """
    kl, reward = np.array([0.0, 0.5, 2.0, 0.8]), np.array([0.0, 3.0, 9.0, 1.0])
    assert best_within(kl, reward, 1.0) == pytest.approx((5.0, 4 / 3))
    assert best_within(kl, np.array([0.0, 1.0, 9.0, 5.0]), 1.0) == pytest.approx((17 / 3, 2 + 5 / 6))
    assert best_within(kl, reward, 3.0) == (9.0, 2.0)
    assert best_within(kl[:2], reward[:2], 1.0) == (3.0, 1.0)


def test_of_equal_betas_the_nearest_to_the_data_is_chosen():
    reading = bandit_map._Reading(
        greedy=np.array([[0.7, 0.1], [0.7, 0.2], [0.2, 0.9]]),
        sampled=np.zeros((3, 2)),
        kl=np.array([[2.0], [1.0], [0.0]]) * [1, 1],
    )
    assert bandit_map._chosen(reading, "greedy", 1) == {"rewards": [0.2], "beta": 1}


# --- cells --------------------------------------------------------------------------------------------------------------


def test_single_votes_leave_nothing_to_choose():
    """Labels of 0 and 1: the three treatments are one loss."""
    figures = compare(cell(votes=1, raw=True, pairs=200))["figures"]
    for at_budget in figures.values():
        for readout in at_budget.values():
            assert readout["hard"] == readout["conservative"] == readout["geometric"]


def test_what_a_cell_holds():
    found = compare({**cell(pairs=200), "worlds": 5, "chosen_on": 2})
    assert set(found["figures"]) == {"100", "1000", "10000"}
    for at_budget in found["figures"].values():
        assert set(at_budget) == {*READOUTS}
        for readout in at_budget.values():
            assert set(readout) == {*TREATMENTS}
            for one in readout.values():
                assert len(one["rewards"]) == 3
                assert all(0 <= reward <= 1 for reward in one["rewards"])
                assert 0 <= one["beta"] < len(BETAS)
    rows = label_worlds(WORLD, {**cell(pairs=200), "worlds": 5})
    assert found["confidence"] == pytest.approx(np.mean(2 * rows.soft_label[2:] - 1))


def test_hard_does_not_see_how_sure_the_judge_is():
    for sharpness in (0.5, 3.0):
        found, good = (compare(cell(pairs=200, sharpness=s))["figures"]["1000"] for s in (sharpness, 1.0))
        for readout in READOUTS:
            assert found[readout]["hard"] == good[readout]["hard"]
        assert found["sampled"]["geometric"] != good["sampled"]["geometric"]


def test_a_size_has_a_cell_for_every_combination():
    for size in SIZES.values():
        cells = map_cells(size)
        assert len({json.dumps(cell, sort_keys=True, default=str) for cell in cells}) == len(cells)
    small = [len(map_cells(SIZES[name])) for name in ("small", "default", "large")]
    assert small == sorted(small)


def test_one_error_at_a_time():
    assert one_error_at_a_time(flips=(0.1, 0.2)) == (
        GOOD_JUDGE,
        {**GOOD_JUDGE, "flips": 0.1},
        {**GOOD_JUDGE, "flips": 0.2},
    )


def test_a_map_is_resumed(tmp_path, monkeypatch):
    tiny = Size((2.0,), ((None, False),), (0.7,), one_error_at_a_time(flips=(0.3,)), pairs=100, worlds=2, chosen_on=1)
    monkeypatch.setitem(SIZES, "small", tiny)
    rows = run_map("small", tmp_path, workers=1)
    assert [row["judge"]["flips"] for row in rows] == [0.0, 0.3]
    monkeypatch.setattr(bandit_map, "compare", None)
    assert run_map("small", tmp_path, workers=1) == rows
