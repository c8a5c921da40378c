"""The win rate at equal length: against scikit-learn, where it must be right, and how often its interval covers."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from softpref.core.statistics import cluster_bootstrap
from softpref.evaluation.length_control import PRIOR_SD, fit_lengths, length_controlled_win_rate


def bootstrap(n, resamples=200):
    return partial(cluster_bootstrap, clusters=np.arange(n), resamples=resamples)


def soft_outcomes(rng, n, at_zero, slope):
    """Lengths that are mostly longer, and p whose log-odds follow them, with the noise of single pairs."""
    d = rng.normal(8, 10, n).round()
    return d, expit(logit(at_zero) + slope * d + rng.normal(0, 0.5, n))


def by_scikit_learn(d, p):
    """Shares as weighted classes: a pair is p of a win and 1 − p of a loss. C is the prior's variance."""
    x = (d / d.std())[:, None]
    model = LogisticRegression(C=PRIOR_SD**2, solver="newton-cholesky", tol=1e-10)
    model.fit(np.concatenate([x, x]), np.repeat([1, 0], len(d)), sample_weight=np.concatenate([p, 1 - p]))
    return [model.intercept_[0], model.coef_[0, 0]]


@pytest.mark.parametrize("hard", [False, True], ids=["soft", "hard"])
def test_the_fit_is_scikit_learns(hard):
    rng = np.random.default_rng(0)
    for _ in range(5):
        d, p = soft_outcomes(rng, 80, 0.6, 0.05)
        p = (p > 0.5).astype(float) if hard else p
        assert fit_lengths(d, p) == pytest.approx(by_scikit_learn(d, p), abs=1e-3)


def test_two_kinds_of_pairs_by_hand():
    """Differences of ±1, won 0.8 of the time when longer and 0.4 when shorter: θ is the mean of the two log-odds.

    logit 0.8 = 1.386 and logit 0.4 = −0.405, so θ = 0.490 and the rate at equal length is 0.620: not the 0.70 of three longer
    pairs to one shorter. The prior on φ (0.9 / 10) moves it in the fourth place.
    """
    d = np.array([1.0] * 300 + [-1.0] * 100)
    p = np.where(d > 0, 0.8, 0.4)
    scaled = d / d.std()
    theta = fit_lengths(d, p)
    assert scaled[0] == -scaled[-1]
    assert expit(theta[0]) == pytest.approx(0.620, abs=1e-3)
    assert p.mean() == pytest.approx(0.70)


def test_a_judge_of_length_alone_is_seen_through():
    """Equal models, one of them wordier: the percentage is 0.6 and more, the win rate at equal length ½."""
    d, p = soft_outcomes(np.random.default_rng(1), 400, 0.5, 0.08)
    found = length_controlled_win_rate(d, p, bootstrap(400))
    assert p.mean() > 0.6
    assert found.low < 0.5 < found.high
    assert found.value == pytest.approx(0.5, abs=0.03)


def test_without_a_length_effect_nothing_is_taken_out():
    rng = np.random.default_rng(2)
    d, p = rng.normal(8, 10, 300), np.full(300, 0.7)
    assert length_controlled_win_rate(d, p, bootstrap(300)).value == pytest.approx(0.7, abs=1e-6)


def test_the_unit_of_length_does_not_matter():
    d, p = soft_outcomes(np.random.default_rng(3), 60, 0.6, 0.05)
    words, letters = (length_controlled_win_rate(k * d, p, bootstrap(60)) for k in (1, 5))
    assert words.value == pytest.approx(letters.value, abs=1e-4)


def test_the_sides_may_be_exchanged():
    d, p = soft_outcomes(np.random.default_rng(4), 60, 0.6, 0.05)
    ours, theirs = length_controlled_win_rate(d, p, bootstrap(60)), length_controlled_win_rate(-d, 1 - p, bootstrap(60))
    assert ours.value == pytest.approx(1 - theirs.value, abs=1e-4)


@pytest.mark.parametrize(
    ("d", "p", "value"),
    [
        (np.arange(1.0, 21), np.ones(20), 1.0),
        (np.array([-2.0, -1, 1, 2] * 5), np.array([0.0, 0, 1, 1] * 5), 0.5),
        (np.zeros(10), np.full(10, 0.3), 0.3),
    ],
    ids=["all won", "the longer always wins", "all alike"],
)
def test_extremes_have_an_answer(d, p, value):
    assert length_controlled_win_rate(d, p, bootstrap(len(d), 50)).value == pytest.approx(value, abs=1e-3)


def test_the_interval_covers():
    """100 data sets of 60 prompts; a coverage of 0.95 has s.e. 0.022. The truth is the mean of s(logit 0.6 + noise): the fit
    of a curve through noisy log-odds lies a little nearer ½ than 0.6, and is found once on 200,000 pairs."""
    rng = np.random.default_rng(5)
    d, p = soft_outcomes(rng, 200_000, 0.6, 0.05)
    truth = expit(fit_lengths(d, p)[0])
    assert truth == pytest.approx(0.6, abs=0.01)
    hits = 0
    for run in range(100):
        d, p = soft_outcomes(rng, 60, 0.6, 0.05)
        draw = partial(cluster_bootstrap, clusters=np.arange(60), resamples=60, seed=run)
        found = length_controlled_win_rate(d, p, draw)
        hits += found.low <= truth <= found.high
    assert 0.86 <= hits / 100 <= 0.99
