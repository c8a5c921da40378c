"""The table of eight losses (arXiv 2409.06691), written again in NumPy float64, and what the tests draw from.

Nothing here comes from softpref but the container of log-probs: each form is a function of h, p and b as the table has it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st

from softpref.core import PairLogps

ALPHA, GAMMA = 2.0, 0.1
EIGHT = ("dpo", "cdpo", "gdpo", "ipo", "cipo", "gipo", "ropo", "gropo")

many = settings(deadline=None, max_examples=50)


def log_s(x):
    return -np.logaddexp(0.0, -x)


def s(x):
    return np.exp(log_s(x))


def log_odds(rho):
    return np.log(rho / (1 - rho))


@dataclass(frozen=True)
class Row:
    """One row of the table: the loss, and w in ``∇L = −b·w·(∇log π(y1) − ∇log π(y2))``."""

    loss: Callable[..., np.ndarray]
    factor: Callable[..., np.ndarray]


TABLE = {
    "dpo": Row(lambda h, _p, b: -log_s(b * h), lambda h, _p, b: 1 - s(b * h)),
    "cdpo": Row(
        lambda h, p, b: -p * log_s(b * h) - (1 - p) * log_s(-b * h),
        lambda h, p, b: p - s(b * h),
    ),
    "gdpo": Row(
        lambda h, p, b: -log_s(b * (2 * p - 1) * h),
        lambda h, p, b: (2 * p - 1) * (1 - s(b * (2 * p - 1) * h)),
    ),
    "ipo": Row(
        lambda h, _p, b: (h - 1 / (2 * b)) ** 2,
        lambda h, _p, b: 1 / b**2 - (2 / b**2) * log_odds(s(b * h)),
    ),
    "cipo": Row(
        lambda h, p, b: (h - (2 * p - 1) / (2 * b)) ** 2,
        lambda h, p, b: (2 * p - 1) / b**2 - (2 / b**2) * log_odds(s(b * h)),
    ),
    "gipo": Row(
        lambda h, p, b: (2 * p - 1) ** 2 * (h - 1 / (2 * b)) ** 2,
        lambda h, p, b: (2 * p - 1) ** 2 * (1 / b**2 - (2 / b**2) * log_odds(s(b * h))),
    ),
    "ropo": Row(
        lambda h, _p, b: ALPHA * (1 - s(b * h)) - GAMMA * log_s(b * h),
        lambda h, _p, b: (GAMMA + ALPHA * s(b * h)) * (1 - s(b * h)),
    ),
    "gropo": Row(
        lambda h, p, b: ALPHA * (1 - s(b * (2 * p - 1) * h)) - GAMMA * log_s(b * (2 * p - 1) * h),
        lambda h, p, b: (2 * p - 1) * (GAMMA + ALPHA * s(b * (2 * p - 1) * h)) * (1 - s(b * (2 * p - 1) * h)),
    ),
}


def tensor(*values, dtype=torch.float64, grad=False):
    return torch.tensor(values, dtype=dtype, requires_grad=grad)


def pair_of(logps, dtype=torch.float64, grad=False):
    """B pairs from B rows (chosen, rejected, ref_chosen, ref_rejected); with ``grad`` all four are leaves."""
    columns = torch.tensor(logps, dtype=dtype).T
    return PairLogps(*(column.clone().requires_grad_(grad) for column in columns))


def pair_with_margin(h, dtype=torch.float64, grad=False):
    """B pairs whose margins are ``h``: (−50 + h, −50) under the policy, (−50, −50) under the reference."""
    h = torch.as_tensor(h, dtype=dtype).reshape(-1)
    chosen, rejected = (h - 50).detach(), torch.full_like(h, -50)
    return PairLogps(chosen.requires_grad_(grad), rejected.requires_grad_(grad), torch.full_like(h, -50), torch.full_like(h, -50))


def margins(logps):
    """h by the paper's definition, in NumPy: log π(y1) − log π_ref(y1) − (log π(y2) − log π_ref(y2))."""
    chosen, rejected, ref_chosen, ref_rejected = np.asarray(logps, dtype=np.float64).T
    return (chosen - ref_chosen) - (rejected - ref_rejected)


def beta_of(base, beta=0.3):
    """``{"beta": …}`` for a base loss that has one, else nothing."""
    return {"beta": beta} if "beta" in inspect.signature(base.function).parameters else {}


def rows_of_logps(lowest):
    """1 to 5 rows of four log-probs in [lowest, 0]."""
    logp = st.floats(lowest, 0, allow_subnormal=False)
    return st.lists(st.tuples(logp, logp, logp, logp), min_size=1, max_size=5)


def labels(low=0.0, high=1.0):
    return st.floats(low, high, allow_subnormal=False)


betas = st.floats(0.02, 3.0)
