"""How strongly a pair is pushed, against its margin: Figure 1 left of arXiv 2409.06691.

``∇L = −β · w · (∇log π(y1) − ∇log π(y2))`` defines the factor w, so ``w = −(dL/dh)/β``. It is taken here from the loss that
trains, by automatic differentiation, and once more from the closed forms that follow from the paper's losses.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import expit

from softpref.core.arrays import Floats
from softpref.core.treatments import resolve
from softpref.research.bandit.gradient_flow import derivative

METHODS = ("dpo", "cdpo", "gdpo", "ipo", "cipo", "gipo", "ropo", "gropo")
SHOWN_LABELS = (0.95, 0.55)
SHOWN_MARGINS = (-10.0, 10.0)


def by_autograd(method: str, h: ArrayLike, soft_label: float, beta: float) -> Floats:
    """The factor w of a published method at margins h (N,), from ``softpref.core.preference_loss``."""
    margins = torch.tensor(np.asarray(h, dtype=np.float64))
    slope = derivative(resolve(method, beta=beta), margins, torch.full_like(margins, soft_label))
    w: Floats = -slope.numpy() / beta
    return w


def closed_form(method: str, h: ArrayLike, soft_label: float, beta: float) -> Floats:
    """The same factor as a formula. ρ = s(βh), ρ' = s(β(2p−1)h); α = 2.0 and γ = 0.1 are ROPO's constants in the paper.

    The IPO rows have ``2h/β``, which is ``2/β² · log(ρ/(1−ρ))``; the paper prints ``2/β`` there, right at β = 1 alone.
    """
    return CLOSED_FORMS[method](np.asarray(h, dtype=np.float64), 2 * soft_label - 1, beta)


def _dpo(h: Floats, _: float, b: float) -> Floats:
    w: Floats = expit(-b * h)
    return w


def _cdpo(h: Floats, c: float, b: float) -> Floats:
    w: Floats = (1 + c) / 2 - expit(b * h)
    return w


def _ipo(h: Floats, _: float, b: float) -> Floats:
    return 1 / b**2 - 2 * h / b


def _cipo(h: Floats, c: float, b: float) -> Floats:
    return c / b**2 - 2 * h / b


def _ropo(h: Floats, _: float, b: float) -> Floats:
    w: Floats = (0.1 + 2.0 * expit(b * h)) * expit(-b * h)
    return w


# each of h, c = 2p − 1 and β
CLOSED_FORMS: dict[str, Callable[[Floats, float, float], Floats]] = {
    "dpo": _dpo,
    "cdpo": _cdpo,
    "gdpo": lambda h, c, b: c * _dpo(c * h, c, b),
    "ipo": _ipo,
    "cipo": _cipo,
    "gipo": lambda h, c, b: c**2 * _ipo(h, c, b),
    "ropo": _ropo,
    "gropo": lambda h, c, b: c * _ropo(c * h, c, b),
}
