"""The bandit: its data, its laws, and the default reading against the paper's claim."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy.special import expit

from softpref.core.treatments import resolve
from softpref.errors import OptionError
from softpref.research.bandit.bandit import (
    ACTIONS,
    BanditSettings,
    World,
    comparisons_for,
    divergence,
    draw_counts,
    effect_holds,
    figures,
    learn,
    policy_of,
    run_bandit,
)
from softpref.research.bandit.gradient_flow import Comparisons, times_between, train

WORLD = World(reward_range=1.0, low_weight=0.7, width=8.0)


def test_the_data_are_a_mixture_of_two_peaks():
    """0.7 around 20 and 0.3 around 70; peaks 50 apart with s.d. 8 hardly meet, and each stands for its share."""
    policy = WORLD.data_policy
    assert policy.sum() == pytest.approx(1)
    assert policy[:45].sum() == pytest.approx(0.7, abs=0.002)
    assert [int(policy[:45].argmax()), 45 + int(policy[45:].argmax())] == [20, 70]
    np.testing.assert_allclose(policy[12] / policy[20], np.exp(-0.5), rtol=1e-4)


def test_the_reward_is_linear_over_its_range():
    np.testing.assert_allclose(World(3.0, 0.7, 8.0).reward, 3 * np.arange(100) / 99)


def test_counts_are_the_draws_without_equals():
    better, worse, count = draw_counts(WORLD, 500_000, np.random.default_rng(0))
    assert (better > worse).all()
    assert len(count) == ACTIONS * (ACTIONS - 1) // 2
    policy = WORLD.data_policy
    expected = 500_000 * 2 * policy[better] * policy[worse]
    assert abs(count.sum() - expected.sum()) < 5 * np.sqrt(expected.sum())
    assert np.abs((count - expected) / np.sqrt(expected + 1)).max() < 6


def test_counts_are_rows():
    """The table of counts trains exactly as the rows do from which it was counted."""
    rng = np.random.default_rng(3)
    rows = rng.choice(ACTIONS, (2, 400), p=WORLD.data_policy)
    rows = rows[:, rows[0] != rows[1]]
    better, worse = rows.max(axis=0), rows.min(axis=0)
    pairs, count = np.unique(np.stack([better, worse]), axis=1, return_counts=True)
    paths = []
    for first, second, weight in ((better, worse, np.ones(len(better))), (*pairs, count.astype(float))):
        p = expit(WORLD.reward[first] - WORLD.reward[second])
        table = Comparisons(first[None], second[None], p[None], weight[None])
        paths.append(train(table, resolve("gdpo", beta=1.0), times_between(0.1, 100), ACTIONS))
    np.testing.assert_allclose(*paths, rtol=1e-9, atol=1e-12)


def test_policies_by_hand():
    """Data ½, ½, 0 and f = log 3, 0, 9: 3/4, 1/4, and what is never drawn stays so. KL = ¾ log 1.5 + ¼ log ½."""
    data = np.array([0.5, 0.5, 0.0])
    policy = policy_of(data, np.array([np.log(3), 0, 9]))
    np.testing.assert_allclose(policy, [0.75, 0.25, 0])
    assert divergence(policy, data) == pytest.approx(0.75 * np.log(1.5) + 0.25 * np.log(0.5))
    assert divergence(data, data) == 0


def test_figures_by_hand():
    policy = np.zeros(ACTIONS)
    policy[[33, 66]] = 0.25, 0.75
    found = figures(policy, World(2.0, 0.7, 8.0))
    # rewards 2/3 and 4/3: 1/6 + 1 = 7/6, of a range of 2
    assert found["expected_reward"] == pytest.approx(7 / 6)
    assert found["share_of_range"] == pytest.approx(7 / 12)
    assert found["mode"] == 66
    assert found["mass_in_good_region"] == pytest.approx(0.75)


# --- the claim ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bandit")
    found, policies = run_bandit(BanditSettings(), folder)
    return found, policies, json.loads((folder / "bandit.json").read_text())


def test_the_papers_effect_is_there_by_default(default):
    found, _, _ = default
    modes = {name: row["mode"] for name, row in found["methods"].items()}
    assert abs(modes["cdpo"] - 20) <= 3
    assert modes["dpo"] >= 65
    assert modes["gdpo"] >= 65
    assert effect_holds(modes)


def test_what_is_written(default):
    found, policies, written = default
    assert written == json.loads(json.dumps(found))
    assert {"mode", "expected_reward"} <= set(written["methods"]["cdpo"])
    assert written["settings"] == json.loads(json.dumps(asdict(BanditSettings())))
    assert written["methods"]["gdpo"]["mode"] == int(policies["gdpo"].argmax())


def test_what_cdpo_gets_right(default):
    """It is the best policy at its distance from the data: with true labels its minimum is the reward itself."""
    _, policies, written = default
    optimum = policy_of(WORLD.data_policy, WORLD.reward)
    np.testing.assert_allclose(policies["cdpo"], optimum, atol=2e-4)
    assert written["methods"]["cdpo"]["mode"] == written["kl_regularised_optimum"]["mode"] == 21


def test_where_cdpo_stays_is_known():
    """Its mode is the poor one while low/(1 − low) > exp(range · 50/99): for 0.7 up to a range of 1.678."""
    edge = np.log(0.7 / 0.3) * 99 / 50
    assert edge == pytest.approx(1.678, abs=1e-3)
    for reward_range, near in ((edge - 0.1, 20), (edge + 0.1, 70)):
        world = World(reward_range, 0.7, 8.0)
        assert abs(policy_of(world.data_policy, world.reward).argmax() - near) < 4


# --- laws ---------------------------------------------------------------------------------------------------------------

FEW = BanditSettings(draws=20_000, training_time=1000.0)


def at_the_end(settings):
    return {name: path[0] for name, path in learn(settings, [settings.training_time]).items()}


def test_thresholded_dpo_does_not_see_the_reward_range():
    flat, steep = (at_the_end(replace(FEW, reward_range=r, methods=("dpo", "ropo"))) for r in (0.5, 5.0))
    for name in flat:
        np.testing.assert_array_equal(flat[name], steep[name])


def test_sure_labels_make_all_three_the_same():
    sure = replace(comparisons_for("gdpo", FEW), soft_label=np.ones((1, 4950)))
    paths = [train(sure, resolve(name, beta=1.0), times_between(0.1, 1000), ACTIONS) for name in FEW.methods]
    np.testing.assert_allclose(paths[1], paths[0], rtol=1e-9)
    np.testing.assert_allclose(paths[2], paths[0], rtol=1e-9)


def test_sampled_labels_make_dpo_cdpo_in_expectation():
    """With as many wins as expected, hard labels have cDPO's gradient: the same path."""
    settings = replace(FEW, labels="sampled")
    soft = comparisons_for("cdpo", settings)
    won = Comparisons(soft.first, soft.second, np.ones_like(soft.weight), soft.weight * soft.soft_label)
    lost = Comparisons(soft.second, soft.first, np.ones_like(soft.weight), soft.weight * (1 - soft.soft_label))
    both = Comparisons(*(np.concatenate(v, axis=1) for v in zip(vars(won).values(), vars(lost).values(), strict=True)))
    times = times_between(0.1, 1000)
    hard, conservative = (train(rows, resolve(name, beta=1.0), times, ACTIONS) for name, rows in (("dpo", both), ("cdpo", soft)))
    np.testing.assert_allclose(hard, conservative, rtol=1e-6, atol=1e-9)


def test_sampled_labels_are_as_many_as_the_draws():
    thresholded = comparisons_for("dpo", FEW)
    sampled = comparisons_for("dpo", replace(FEW, labels="sampled"))
    assert sampled.weight.sum() == thresholded.weight.sum()
    share = sampled.weight[0, :4950].sum() / sampled.weight.sum()
    assert share == pytest.approx((thresholded.weight * thresholded.soft_label).sum() / sampled.weight.sum(), abs=0.02)
    soft = replace(FEW, labels="sampled")
    np.testing.assert_array_equal(comparisons_for("gdpo", soft).soft_label, comparisons_for("gdpo", FEW).soft_label)


def test_one_path_serves_several_times():
    both = learn(replace(FEW, methods=("gdpo",)), [100.0, 1000.0])["gdpo"]
    for place, time in enumerate((100.0, 1000.0)):
        [alone] = learn(replace(FEW, methods=("gdpo",)), [time])["gdpo"]
        np.testing.assert_allclose(both[place], alone, atol=1e-4)


def test_it_is_seeded():
    one, again, other = (at_the_end(replace(FEW, seed=seed))["gdpo"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"labels": "threshold"}, "did you mean 'thresholded'"),
        ({"reward_range": 0.0}, "reward_range is 0.0; it must lie above 0"),
        ({"low_weight": 1.0}, "below 1"),
        ({"width": float("nan")}, "width is nan"),
        ({"draws": 0}, "draws is 0"),
        ({"training_time": 0.01}, "training_time"),
        ({"methods": ("gdp",)}, "did you mean 'gdpo'"),
        ({"methods": ("slic",)}, "methods holds 'slic'"),
    ],
)
def test_wrong_settings_are_named(wrong, says):
    with pytest.raises(OptionError, match=says):
        BanditSettings(**wrong)
