"""How far probabilities can be believed, and the curves that mend them. NumPy in, NumPy out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, isotonic_regression, minimize, minimize_scalar
from scipy.special import expit, logit

from softpref.core.arrays import Floats

TEMPERATURE_RANGE = (1e-4, 1e4)
PLATT_BOUND = 1e4
KNOT_DECIMALS = 9
# |log-odds| ≤ 13.8: beyond what a judge's two answers tell apart, and within what squares and sums carry.
CLIP = 1e-6


def brier(predicted: ArrayLike, soft_label: ArrayLike) -> float:
    """Mean of ``(p̂ − p)²``. Against soft labels its floor is 0; against single votes it is the votes' own spread."""
    return float(np.mean((np.asarray(predicted, dtype=np.float64) - np.asarray(soft_label, dtype=np.float64)) ** 2))


def log_score(log_odds: ArrayLike, soft_label: ArrayLike) -> float:
    """Mean cross-entropy of ``s(log_odds)`` under the soft label, in nats; finite for any finite log-odds."""
    z, p = np.asarray(log_odds, dtype=np.float64), np.asarray(soft_label, dtype=np.float64)
    return float(np.mean(p * np.logaddexp(0, -z) + (1 - p) * np.logaddexp(0, z)))


def expected_calibration_error(predicted: ArrayLike, soft_label: ArrayLike, bins: int = 10) -> float:
    """ECE: over equal-width bins of p̂, the mean of ``|mean p̂ − mean p|`` weighted by count (Guo et al. 2017)."""
    p_hat, p = np.asarray(predicted, dtype=np.float64), np.asarray(soft_label, dtype=np.float64)
    gaps = np.bincount(bin_of(p_hat, bins), weights=p_hat - p, minlength=bins)
    return float(np.abs(gaps).sum() / len(p_hat))


def bin_of(predicted: ArrayLike, bins: int = 10) -> NDArray[np.intp]:
    """Which of the equal-width bins each p̂ (N,) falls into, an edge into the bin that it begins, 1 into the last."""
    which: NDArray[np.intp] = np.clip((np.asarray(predicted, dtype=np.float64) * bins).astype(np.intp), 0, bins - 1)
    return which


def fit_temperature(log_odds: ArrayLike, soft_label: ArrayLike) -> float:
    """The T > 0 that minimises the log score of ``s(log_odds / T)`` against the soft labels, within [1e-4, 1e4].

    Fit on one part, evaluate on another. The log score is convex in 1/T, so the bounded search finds the minimum.
    """
    z, p = np.asarray(log_odds, dtype=np.float64), np.asarray(soft_label, dtype=np.float64)
    bounds = tuple(np.log(TEMPERATURE_RANGE))
    found = minimize_scalar(lambda log_t: log_score(z / np.exp(log_t), p), bounds=bounds, method="bounded")
    return float(np.exp(found.x))


# --- calibrators: log-odds in, log-odds out -------------------------------------------------------------------------------
#
# The sides of a pair have no order of their own, so a calibrator should give 1 − p when they are exchanged: it is odd in the
# log-odds. Fitting on every pair *and* its exchanged twin makes it so; each symmetric fit below is that fit, done exactly.


def clipped_log_odds(p: ArrayLike, clip: float = CLIP) -> Floats:
    """``log p/(1 − p)`` with p first brought into [clip, 1 − clip]: a judge that says 0 or 1 has finite log-odds too."""
    if not 0 < clip < 0.5:
        raise ValueError(f"clip is {clip}; it must lie between 0 and 0.5, both left out")
    z: Floats = logit(np.clip(np.asarray(p, dtype=np.float64), clip, 1 - clip))
    return z


@dataclass(frozen=True)
class Temperature:
    """``s(z / T)`` (Guo et al. 2017): odd whatever it was fitted on, and keeps every pair's better side."""

    temperature: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"a temperature must be finite and above 0, not {self.temperature}")

    def __call__(self, log_odds: ArrayLike) -> Floats:
        """(N,) log-odds to (N,) calibrated log-odds."""
        return np.asarray(log_odds, dtype=np.float64) / self.temperature


@dataclass(frozen=True)
class Platt:
    """``s(a·z + b)`` (Platt 1999, without his smoothing of the targets). b is a preference for one side as such.

    Symmetric it is the temperature 1/a with one freedom more: a judge that is wrong more often than right gets a < 0.
    """

    slope: float
    intercept: float

    def __post_init__(self) -> None:
        if not np.isfinite([self.slope, self.intercept]).all():
            raise ValueError(f"slope and intercept must be finite, not {self.slope} and {self.intercept}")

    def __call__(self, log_odds: ArrayLike) -> Floats:
        """(N,) log-odds to (N,) calibrated log-odds."""
        z: Floats = self.slope * np.asarray(log_odds, dtype=np.float64) + self.intercept
        return z


@dataclass(frozen=True)
class Isotonic:
    """A rising curve through ``(knots, values)``, straight between them and flat outside (Zadrozny and Elkan 2002).

    ``knots``: (K,) rising log-odds. ``values``: (K,) probabilities inside (0, 1). A symmetric one holds the half for z ≥ 0,
    from (0, ½) on; the other half is its mirror image.
    """

    knots: Sequence[float]
    values: Sequence[float]
    symmetric: bool

    def __post_init__(self) -> None:
        knots, values = np.asarray(self.knots, dtype=np.float64), np.asarray(self.values, dtype=np.float64)
        if not (knots.ndim == 1 and knots.shape == values.shape and len(knots) > 0):
            raise ValueError("knots and values must be two lists of one length")
        if not (np.all(np.diff(knots) > 0) and np.all(np.diff(values) >= 0) and np.all((values > 0) & (values < 1))):
            raise ValueError("knots must rise, and values must not fall and lie inside (0, 1)")
        if self.symmetric and not (knots[0] == 0 and values[0] == 0.5):
            raise ValueError("a symmetric curve begins at (0, ½)")

    def __call__(self, log_odds: ArrayLike) -> Floats:
        """(N,) log-odds to (N,) calibrated log-odds."""
        z = np.asarray(log_odds, dtype=np.float64)
        side = np.sign(z) if self.symmetric else 1.0
        curve: Floats = logit(np.interp(side * z, self.knots, self.values))
        return side * curve


Calibrator: TypeAlias = Temperature | Platt | Isotonic


def fit_platt(log_odds: ArrayLike, soft_label: ArrayLike, symmetric: bool = True) -> Platt:
    """The slope and intercept with the least log score of ``s(a·z + b)``, both within ±1e4.

    ``symmetric`` is the fit on all pairs and their exchanged twins. That score is convex and even in b, so b = 0; and a is
    where its slope ``mean((s(a·z) − p)·z)``, which rises with a, passes through 0.
    """
    z, p = np.asarray(log_odds, dtype=np.float64), np.asarray(soft_label, dtype=np.float64)
    if not symmetric:
        return _platt_with_intercept(z, p)

    if not z.any():
        return Platt(1.0, 0.0)  # a judge without an opinion teaches no slope

    def slope_of_score(a: float) -> float:
        return float(np.mean((expit(a * z) - p) * z))

    if slope_of_score(PLATT_BOUND) <= 0:
        return Platt(PLATT_BOUND, 0.0)
    if slope_of_score(-PLATT_BOUND) >= 0:
        return Platt(-PLATT_BOUND, 0.0)
    return Platt(float(brentq(slope_of_score, -PLATT_BOUND, PLATT_BOUND, xtol=1e-12)), 0.0)


def _platt_with_intercept(z: Floats, p: Floats) -> Platt:
    def score_and_gradient(parameters: Floats) -> tuple[float, Floats]:
        a, b = parameters
        error = expit(a * z + b) - p
        return log_score(a * z + b, p), np.array([np.mean(error * z), np.mean(error)])

    found = minimize(
        score_and_gradient,
        x0=np.array([1.0, 0.0]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-PLATT_BOUND, PLATT_BOUND)] * 2,
        options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000},
    )
    return Platt(float(found.x[0]), float(found.x[1]))


def fit_isotonic(log_odds: ArrayLike, soft_label: ArrayLike, symmetric: bool = True) -> Isotonic:
    """The rising curve with the least squared error, its values kept inside [1/(n + 2), 1 − 1/(n + 2)] for n rows.

    No n rows prove a certainty (Laplace's rule of succession); without the bound one miss would cost an infinite log score.

    ``symmetric`` is the fit on all pairs and their exchanged twins. Such a curve obeys f(−z) = 1 − f(z), so every pair may
    be turned to z ≥ 0; rising through 0 then asks for f ≥ ½ there, and a least-squares rising curve with a floor is the one
    without it, raised to the floor.
    """
    z, p = np.asarray(log_odds, dtype=np.float64), np.asarray(soft_label, dtype=np.float64)
    bound = 1 / (len(z) + 2)
    if not symmetric:
        knots, values = _rising(z, p)
        return _isotonic(knots, np.clip(values, bound, 1 - bound), symmetric=False)
    away = np.round(z, KNOT_DECIMALS) != 0  # together with its twin, a pair at z = 0 says ½, which is there already
    if not away.any():
        return Isotonic((0.0,), (0.5,), symmetric=True)
    knots, values = _rising(np.abs(z[away]), np.where(z > 0, p, 1 - p)[away])
    values = np.clip(values, 0.5, 1 - bound)
    return _isotonic(np.append(0.0, knots), np.append(0.5, values), symmetric=True)


def _rising(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Distinct x in order, and the least-squares rising values there; rows of one x count together (pool adjacent violators)."""
    # p and 1 − p, read from either side, have log-odds that are opposite but for the last bits: they are one knot
    knots, which, count = np.unique(np.round(x, KNOT_DECIMALS), return_inverse=True, return_counts=True)
    means = np.bincount(which, weights=y) / count
    return knots, isotonic_regression(means, weights=count).x


def _isotonic(knots: Floats, values: Floats, symmetric: bool) -> Isotonic:
    """Only the ends of every flat stretch are kept: the points between them say nothing."""
    step = np.diff(values) > 0
    ends = np.append(True, step) | np.append(step, True)
    return Isotonic(tuple(knots[ends].tolist()), tuple(values[ends].tolist()), symmetric)


CALIBRATORS: dict[str, type[Calibrator]] = {"temperature": Temperature, "platt": Platt, "isotonic": Isotonic}
# As a method has them, on whatever labels.
_FREE_FITS: dict[str, Callable[[ArrayLike, ArrayLike, bool], Calibrator]] = {
    "temperature": lambda z, p, _: Temperature(fit_temperature(z, p)),  # odd either way
    "platt": fit_platt,
    "isotonic": fit_isotonic,
}


def fit_within_evidence(method: str, log_odds: ArrayLike, soft_label: ArrayLike, symmetric: bool) -> tuple[Calibrator, bool]:
    """A method's fit, and whether the labels alone would have set it no bound.

    A judge that is right on all n rows would be made certain: no slope is too steep. Its labels are then taken as
    1/(n + 2) from certainty, which is all that n rows prove (Platt 1999; Laplace's rule of succession), and the fit is that.
    """
    z, p = np.asarray(log_odds, dtype=np.float64), np.asarray(soft_label, dtype=np.float64)
    fitted = _FREE_FITS[method](z, p, symmetric)
    # one row on the wrong side costs log 2 at least, whatever the slope
    if log_score(fitted(z), p) >= np.log(2) / 2 / len(p):
        return fitted, False
    bound = 1 / (len(p) + 2)
    return _FREE_FITS[method](z, np.clip(p, bound, 1 - bound), symmetric), True


def _within_evidence(method: str) -> Callable[[ArrayLike, ArrayLike, bool], Calibrator]:
    return lambda z, p, symmetric: fit_within_evidence(method, z, p, symmetric)[0]


FITS: dict[str, Callable[[ArrayLike, ArrayLike, bool], Calibrator]] = {name: _within_evidence(name) for name in CALIBRATORS}
