"""Temperature, Platt and isotonic: by hand, against scikit-learn, and the law that exchanging the sides gives 1 − p."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from paper_table import labels, many, s
from softpref.core.calibration import (
    CALIBRATORS,
    CLIP,
    FITS,
    Isotonic,
    Platt,
    Temperature,
    bin_of,
    brier,
    clipped_log_odds,
    fit_isotonic,
    fit_platt,
    fit_temperature,
    fit_within_evidence,
    log_score,
)

rows = st.lists(st.tuples(st.floats(-8, 8), labels()), min_size=2, max_size=30)


def simulated(n, seed, slope=0.4, intercept=0.0):
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 3, n)
    return z, (rng.random(n) < s(slope * z + intercept)).astype(float)


def twins(z, y):
    """Every pair and the same pair with its sides exchanged."""
    return np.concatenate([z, -z]), np.concatenate([y, 1 - y])


# --- log-odds of what a judge says


def test_clipped_log_odds_by_hand():
    """log 3 of ¾; 0 and 1 count as 10⁻⁶ and 1 − 10⁻⁶: ∓log 999 999 = ∓13.815510."""
    assert_allclose(clipped_log_odds([0.75, 0.5]), [math.log(3), 0], rtol=1e-14)
    assert_allclose(clipped_log_odds([0.0, 1.0]), [-13.8155096, 13.8155096], atol=1e-7)
    assert_allclose(clipped_log_odds([0.001, 0.9], clip=0.2), [-math.log(4), math.log(4)], rtol=1e-12)
    assert CLIP == 1e-6


@pytest.mark.parametrize("clip", [0, 0.5, -1, 1, math.nan])
def test_a_clip_that_clips_nothing_or_everything(clip):
    with pytest.raises(ValueError, match=r"between 0 and 0\.5"):
        clipped_log_odds([0.5], clip)


def test_bins_begin_at_their_edge():
    assert_array_equal(bin_of([0.0, 0.0999, 0.1, 0.55, 1.0]), [0, 0, 1, 5, 9])


# --- the law of exchanged sides


@many
@given(rows, st.lists(st.floats(-10, 10), min_size=1, max_size=9), st.sampled_from(sorted(FITS)))
def test_exchanging_the_sides_gives_one_minus_p(data, new, method):
    z, y = np.array(data).T
    calibrator = FITS[method](z, y, True)
    assert_allclose(s(calibrator(-np.array(new))), 1 - s(calibrator(np.array(new))), rtol=0, atol=1e-15)
    assert calibrator(np.array([0.0]))[0] == 0


@many
@given(rows, st.data(), st.sampled_from(sorted(FITS)))
def test_the_fit_does_not_care_which_side_stands_first(data, draw, method):
    """Some pairs exchanged before the fit: the same calibrator."""
    z, y = np.array(data).T
    sign = np.array(draw.draw(st.lists(st.sampled_from([-1, 1]), min_size=len(z), max_size=len(z))))
    at = np.linspace(-9, 9, 13)
    exchanged = FITS[method](sign * z, np.where(sign > 0, y, 1 - y), True)
    assert_allclose(s(exchanged(at)), s(FITS[method](z, y, True)(at)), atol=1e-5)


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_without_symmetry_the_law_is_broken(method):
    """All gold says "the first": at z = 0 a fit on one orientation follows, and one on both says ½."""
    z, y = np.array([-1.0, -0.5, 0.5, 1.0, 2.0]), np.array([0.0, 1, 1, 1, 1])
    assert s(FITS[method](z, y, False)(np.zeros(1)))[0] > 0.6
    assert s(FITS[method](z, y, True)(np.zeros(1)))[0] == 0.5


# --- Platt


@pytest.mark.parametrize("seed", range(3))
def test_platt_is_scikit_learns_logistic_regression(seed):
    z, y = simulated(300, seed, intercept=0.7)
    peer = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(z[:, None], y)
    ours = fit_platt(z, y, symmetric=False)
    assert (ours.slope, ours.intercept) == (
        pytest.approx(peer.coef_[0, 0], abs=1e-5),
        pytest.approx(peer.intercept_[0], abs=1e-5),
    )


@pytest.mark.parametrize("seed", range(3))
def test_symmetric_platt_is_scikit_learns_fit_on_the_twins(seed):
    """Its intercept comes out at 0 of itself."""
    z, y = simulated(200, seed, intercept=0.7)
    both, gold = twins(z, y)
    peer = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(both[:, None], gold)
    assert peer.intercept_[0] == pytest.approx(0, abs=1e-6)
    ours = fit_platt(z, y)
    assert (ours.slope, ours.intercept) == (pytest.approx(peer.coef_[0, 0], abs=1e-6), 0.0)


def test_platt_by_hand():
    """Log-odds ±2 that are right three times in four: s(2a) = ¾, so a = log 3 / 2 = 0.5493."""
    z, y = np.array([2.0, 2, 2, -2]), np.array([1.0, 1, 0, 0])
    assert fit_platt(z, y).slope == pytest.approx(math.log(3) / 2, rel=1e-9)


def test_platt_finds_a_side_preference():
    """20 000 rows with a = 0.5 and b = 0.8; on both orientations b is gone."""
    z, y = simulated(20_000, 5, slope=0.5, intercept=0.8)
    found = fit_platt(z, y, symmetric=False)
    assert (found.slope, found.intercept) == (pytest.approx(0.5, abs=0.03), pytest.approx(0.8, abs=0.06))
    assert fit_platt(z, y).intercept == 0


def test_symmetric_platt_is_one_over_the_temperature():
    z, y = simulated(500, 3)
    assert 1 / fit_platt(z, y).slope == pytest.approx(fit_temperature(z, y), rel=1e-4)


def test_platt_turns_round_a_judge_that_is_wrong_more_often_than_right():
    z, y = simulated(5000, 4)
    assert fit_platt(-z, y).slope == pytest.approx(-fit_platt(z, y).slope, rel=1e-9)


def test_platt_of_judges_without_a_finite_best():
    """Always right and always wrong end at the bound; no opinion is left as it is."""
    z = np.array([2.0, -3.0, 1.0])
    assert fit_platt(z, [1, 0, 1]).slope == 1e4
    assert fit_platt(z, [0, 1, 0]).slope == -1e4
    assert fit_platt(np.zeros(3), [0, 1, 0]) == Platt(1.0, 0.0)


# --- isotonic


def test_isotonic_by_hand():
    """Gold 0 1 0 1 1 on rising log-odds: the pair 1 0 is pooled to ½. n = 5 bounds the ends at 1/7 and 6/7.

    Between the knots at 3 and 4 the curve is straight: half-way (½ + 6/7)/2 = 19/28.
    """
    curve = fit_isotonic([1, 2, 3, 4, 5], [0, 1, 0, 1, 1], symmetric=False)
    assert_allclose(curve.knots, [1, 2, 3, 4, 5])
    assert_allclose(curve.values, [1 / 7, 1 / 2, 1 / 2, 6 / 7, 6 / 7])
    assert_allclose(s(curve(np.array([-9, 1, 2.5, 3.5, 99]))), [1 / 7, 1 / 7, 1 / 2, 19 / 28, 6 / 7])


def test_symmetric_isotonic_by_hand():
    """Turned to z ≥ 0: at 1 right and wrong, at 2 right twice (one from each side). n = 4 bounds at 5/6. f(1) = ½, f(2) = 5/6."""
    curve = fit_isotonic([1, -1, 2, -2], [1, 1, 1, 0])
    assert (curve.knots, curve.values) == ((0, 1, 2), pytest.approx((0.5, 0.5, 5 / 6)))
    assert_allclose(s(curve(np.array([-2, -1.5, -1, 0, 1.5]))), [1 / 6, 1 / 3, 1 / 2, 1 / 2, 2 / 3])


def test_a_judge_that_is_always_wrong_says_nothing_under_symmetric_isotonic():
    curve = fit_isotonic([1.0, -2, 3], [0, 1, 0])
    assert_allclose(s(curve(np.linspace(-5, 5, 7))), 0.5)


def test_isotonic_of_a_judge_without_an_opinion():
    assert fit_isotonic([0.0, 0.0], [1, 0]) == Isotonic((0.0,), (0.5,), symmetric=True)


@many
@given(rows)
def test_isotonic_is_scikit_learns(data):
    z, y = np.array(data).T
    z = np.round(z, 6)
    bound = 1 / (len(z) + 2)
    peer = IsotonicRegression(y_min=bound, y_max=1 - bound, out_of_bounds="clip").fit(z, y)
    at = np.linspace(-9, 9, 31)
    assert_allclose(s(fit_isotonic(z, y, symmetric=False)(at)), peer.predict(at), atol=1e-7)


@many
@given(rows)
def test_symmetric_isotonic_is_scikit_learns_fit_on_the_twins(data):
    """Exactly the least squares on both orientations, at every row; between rows both are straight."""
    z, y = np.array(data).T
    z = np.round(z, 6)
    bound = 1 / (len(z) + 2)
    both, gold = twins(z, y)
    peer = IsotonicRegression(y_min=bound, y_max=1 - bound).fit(both, gold)
    assert_allclose(s(fit_isotonic(z, y)(both)), peer.predict(both), atol=1e-7)


@many
@given(rows, st.booleans())
def test_isotonic_rises_and_no_n_rows_prove_a_certainty(data, symmetric):
    z, y = np.array(data).T
    p = s(fit_isotonic(z, y, symmetric)(np.linspace(-12, 12, 61)))
    assert np.all(np.diff(p) >= -1e-12)
    assert p.min() >= 1 / (len(z) + 2) - 1e-12
    assert p.max() <= 1 - 1 / (len(z) + 2) + 1e-12


def test_log_odds_that_differ_in_the_last_bit_are_one_knot():
    """0.125 and 1 − 0.875, as reading makes it: one right, one wrong."""
    z = clipped_log_odds([0.875, 0.1250000000000001, 0.875])
    curve = fit_isotonic(z, [1, 1, 1])
    assert len(curve.knots) == 2
    assert curve.values[-1] == pytest.approx(2 / 3)


# --- all three


@pytest.mark.parametrize("method", sorted(FITS))
def test_over_confidence_is_mended_on_new_rows(method):
    """20 000 rows of a judge with true temperature 2.5, and as many new ones: the score is near that of the truth."""
    z, y = simulated(20_000, 11)
    new, gold = simulated(20_000, 12)
    after = FITS[method](z, y, True)(new)
    assert log_score(after, gold) < log_score(new, gold) - 0.05
    assert log_score(after, gold) == pytest.approx(log_score(0.4 * new, gold), abs=0.002)
    assert brier(s(after), gold) < brier(s(new), gold)


@many
@given(rows, st.sampled_from(sorted(FITS)))
def test_on_its_own_rows_a_fit_does_not_harm(data, method):
    """Temperature and Platt have the least log score, isotonic the least squares among rising curves (within its bounds)."""
    z, y = np.array(data).T
    after = FITS[method](z, y, True)(z)
    if method == "isotonic":
        bound = 1 / (len(z) + 2)
        assert brier(s(after), y) <= brier(np.clip(s(z), bound, 1 - bound), y) + 1e-9
    else:
        assert log_score(after, y) <= log_score(z, y) + 1e-6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Temperature(0.0), "above 0"),
        (lambda: Temperature(math.inf), "finite"),
        (lambda: Platt(math.nan, 0.0), "finite"),
        (lambda: Isotonic((0.0, 1.0), (0.5,), True), "one length"),
        (lambda: Isotonic((), (), False), "one length"),
        (lambda: Isotonic((0.0, 0.0), (0.5, 0.6), True), "rise"),
        (lambda: Isotonic((0.0, 1.0), (0.6, 0.5), False), "not fall"),
        (lambda: Isotonic((0.0, 1.0), (0.5, 1.0), True), r"inside \(0, 1\)"),
        (lambda: Isotonic((1.0, 2.0), (0.5, 0.6), True), "begins at"),
    ],
)
def test_parameters_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_every_method_has_its_fit_and_its_class():
    z, y = simulated(50, 1)
    assert set(FITS) == set(CALIBRATORS) == {"temperature", "platt", "isotonic"}
    for name, fit in FITS.items():
        assert type(fit(z, y, True)) is CALIBRATORS[name]


# ------------------------------------------------------------------------------------------------------ a judge without a miss


@pytest.mark.parametrize("method", ["temperature", "platt"])
def test_no_number_of_rows_proves_a_certainty(method):
    """One |z| and n rows, all right: with labels 1/(n + 2) from certain the best p is 1 − 1/(n + 2), exactly."""
    for n in (4, 40):
        z = np.tile([1.5, -1.5], n // 2)
        fitted, separated = fit_within_evidence(method, z, (z > 0).astype(float), True)
        assert separated
        assert s(fitted(np.array([1.5])))[0] == pytest.approx(1 - 1 / (n + 2), abs=1e-5)


@pytest.mark.parametrize("method", ["temperature", "platt"])
def test_one_miss_is_bound_enough(method):
    """39 of 40 right at one |z|: p = 39/40, what the labels themselves say."""
    z = np.tile([1.5, -1.5], 20)
    y = (z > 0).astype(float)
    y[0] = 0.0
    fitted, separated = fit_within_evidence(method, z, y, True)
    assert not separated
    assert s(fitted(np.array([1.5])))[0] == pytest.approx(39 / 40, abs=1e-5)
