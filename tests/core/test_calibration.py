"""How far probabilities can be believed: scores by hand, and the temperature that mends them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.special import expit

from paper_table import labels, log_s, many, s
from softpref.core.calibration import Temperature, brier, expected_calibration_error, fit_temperature, log_score


def cross_entropy(log_odds, soft_label):
    return float(np.mean(-soft_label * log_s(log_odds) - (1 - soft_label) * log_s(-log_odds)))


def test_brier_by_hand():
    """(0.9 − 1)², (0.6 − 0.5)², (0.2 − 0)²: (0.01 + 0.01 + 0.04)/3 = 0.02."""
    assert brier([0.9, 0.6, 0.2], [1, 0.5, 0]) == pytest.approx(0.02, rel=1e-14)


def test_log_score_by_hand():
    """s(log 3) = ¾. Against 1: −log ¾ = 0.28768207; against ½: −½·log ¾ − ½·log ¼ = 0.83698822; their mean 0.56233514."""
    assert log_score(math.log(3), 1) == pytest.approx(0.28768207, abs=1e-8)
    assert log_score(math.log(3), 0.5) == pytest.approx(0.83698822, abs=1e-8)
    assert log_score([math.log(3)] * 2, [1, 0.5]) == pytest.approx(0.56233514, abs=1e-8)


@pytest.mark.parametrize(
    ("log_odds", "soft_label", "expected"), [(1e4, 0, 1e4), (1e4, 1, 0), (-1e4, 0.25, 2500), (0, 0.3, math.log(2))]
)
def test_log_score_stays_finite_far_out(log_odds, soft_label, expected):
    """−log s(−10 000) = 10 000; ¼ of it at p = ¼; log 2 for a judge without an opinion."""
    assert log_score(log_odds, soft_label) == pytest.approx(expected, rel=1e-14)


@many
@given(st.lists(labels(0.01, 0.99), min_size=1, max_size=6), st.floats(-3, 3))
def test_both_scores_are_proper(p, shift):
    """No other forecast of p does better than p itself; Brier's floor is 0, the log score's the entropy."""
    p = np.array(p)
    log_odds = np.log(p / (1 - p))
    assert brier(p, p) == 0
    assert log_score(log_odds, p) <= log_score(log_odds + shift, p) + 1e-12
    assert log_score(log_odds, p) == pytest.approx(np.mean(-p * np.log(p) - (1 - p) * np.log(1 - p)), rel=1e-9)


# --- expected calibration error


@pytest.mark.parametrize(
    ("predicted", "soft_label", "bins", "expected"),
    [
        ([0.1, 0.3, 0.6, 0.8], [0, 0, 1, 0], 2, 0.2),
        ([0.92, 0.98], [1, 1], 10, 0.05),
        ([0.92, 0.98], [0.9, 1.0], 10, 0.0),
        ([1.0, 0.95], [0.9, 0.95], 10, 0.05),
        ([0.0, 1.0], [0.0, 1.0], 10, 0.0),
    ],
)
def test_ece_by_hand(predicted, soft_label, bins, expected):
    """Two bins: |0.2 − 0| and |0.7 − 0.5|, half each: 0.2. One bin: |0.95 − 1|. Errors that cancel within a bin.

    p̂ = 1 belongs to the last bin with 0.95: |0.975 − 0.925| = 0.05. Perfect: 0.
    """
    assert expected_calibration_error(predicted, soft_label, bins) == pytest.approx(expected, abs=1e-14)


def test_ece_weighs_bins_by_their_rows():
    """Three rows off by 0.1 in one bin and one row off by 0.5 in another: ¾·0.1 + ¼·0.5 = 0.2."""
    assert expected_calibration_error([0.75] * 3 + [0.25], [0.65] * 3 + [0.75]) == pytest.approx(0.2, abs=1e-14)


@many
@given(st.lists(st.tuples(labels(), labels()), min_size=1, max_size=30), st.integers(1, 15))
def test_ece_is_the_naive_sum_over_bins(rows, bins):
    predicted, soft_label = np.array(rows).T
    bin_of = np.minimum(np.floor(predicted * bins), bins - 1)
    naive = sum(
        (bin_of == b).mean() * abs(predicted[bin_of == b].mean() - soft_label[bin_of == b].mean()) for b in np.unique(bin_of)
    )
    assert expected_calibration_error(predicted, soft_label, bins) == pytest.approx(naive, abs=1e-12)


# --- temperature


@many
@given(st.floats(0.05, 20), st.lists(st.floats(-8, 8).filter(lambda z: abs(z) > 0.1), min_size=3, max_size=20))
def test_a_known_temperature_is_recovered_from_soft_labels(temperature, log_odds):
    """With p = s(z/T) the cross-entropy is least exactly at T; T·|z| is kept where p has digits left."""
    z = np.array(log_odds) * temperature
    assert fit_temperature(z, s(z / temperature)) == pytest.approx(temperature, rel=1e-3)


def test_a_known_temperature_is_recovered_from_votes():
    """20 000 single votes at T = 2.5: within 5%, about three standard errors."""
    rng = np.random.default_rng(21)
    z = rng.normal(0, 4, 20_000)
    votes = rng.random(20_000) < s(z / 2.5)
    assert fit_temperature(z, votes) == pytest.approx(2.5, rel=0.05)


@pytest.mark.parametrize("seed", range(4))
def test_the_fit_equals_a_grid_search(seed):
    """Noisy labels, 60 rows, log T on a grid of step 0.001 within ±5."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 3, 60)
    p = s(z / rng.uniform(0.3, 4) + rng.normal(0, 1, 60))
    grid = np.exp(np.arange(-5, 5, 0.001))
    best = min(grid, key=lambda temperature: cross_entropy(z / temperature, p))
    ours = fit_temperature(z, p)
    assert ours == pytest.approx(best, rel=1e-3)
    assert cross_entropy(z / ours, p) <= cross_entropy(z / best, p) + 1e-12


def test_a_judge_that_is_always_wrong_is_heated_until_it_says_nothing():
    """The bound is 10⁴: within it, no temperature makes the wrong side right."""
    z = np.array([2.0, -3.0, 1.0])
    temperature = fit_temperature(z, [0, 1, 0])
    assert temperature > 1e3
    assert_allclose(expit(Temperature(temperature)(z)), 0.5, atol=1e-3)


def test_a_judge_that_is_always_right_is_cooled_until_it_is_sure():
    z = np.array([2.0, -3.0, 1.0])
    assert_allclose(expit(Temperature(fit_temperature(z, [1, 0, 1]))(z)), [1, 0, 1], atol=1e-6)


def test_a_temperature_by_hand():
    """s(2·log 3/2) = ¾, s(2·log 3/1) = 9/10, and −2·log 3 turns the second round."""
    z = 2 * math.log(3)
    assert expit(Temperature(2.0)(z)) == pytest.approx(0.75, rel=1e-14)
    assert_allclose(expit(Temperature(1.0)([z, -z])), [0.9, 0.1], rtol=1e-14)
