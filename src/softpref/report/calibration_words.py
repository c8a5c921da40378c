"""A fitted calibration in words, for a terminal and for a page."""

from __future__ import annotations

from softpref.core.calibration import Calibrator, Isotonic, Temperature

SCORES = {"brier": "Brier score", "log_score": "log score, nats", "ece": "ECE, 10 bins"}
PARTS = ("before", "after", "difference")


def parameters(fitted: Calibrator) -> str:
    """What was fitted: ``T = 1.970``, ``12 knots, p from 0.110 to 0.890``, ``slope 0.508, intercept +0.100``."""
    if isinstance(fitted, Temperature):
        return f"T = {fitted.temperature:.3f}"
    if isinstance(fitted, Isotonic):
        lowest = 1 - fitted.values[-1] if fitted.symmetric else fitted.values[0]
        return f"{len(fitted.knots)} knots, p from {lowest:.3f} to {fitted.values[-1]:.3f}"
    return f"slope {fitted.slope:.3f}, intercept {fitted.intercept:+.3f}"
