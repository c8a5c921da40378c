"""How far probabilities can be believed, and the one-number mend. NumPy in, NumPy out."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit

Floats = NDArray[np.float64]

TEMPERATURE_RANGE = (1e-4, 1e4)


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
    which = np.clip((p_hat * bins).astype(int), 0, bins - 1)
    gaps = np.bincount(which, weights=p_hat - p, minlength=bins)
    return float(np.abs(gaps).sum() / len(p_hat))


def fit_temperature(log_odds: ArrayLike, soft_label: ArrayLike) -> float:
    """The T > 0 that minimises the log score of ``s(log_odds / T)`` against the soft labels, within [1e-4, 1e4].

    Fit on one part, evaluate on another. The log score is convex in 1/T, so the bounded search finds the minimum.
    """
    z, p = np.asarray(log_odds, dtype=np.float64), np.asarray(soft_label, dtype=np.float64)
    bounds = tuple(np.log(TEMPERATURE_RANGE))
    found = minimize_scalar(lambda log_t: log_score(z / np.exp(log_t), p), bounds=bounds, method="bounded")
    return float(np.exp(found.x))


def at_temperature(log_odds: ArrayLike, temperature: float) -> Floats:
    """``s(log_odds / T)``."""
    p: Floats = expit(np.asarray(log_odds, dtype=np.float64) / temperature)
    return p
