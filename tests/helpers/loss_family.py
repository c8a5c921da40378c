"""Every base loss written a second time, in NumPy float64 from the papers, and what each must have.

Nothing here comes from softpref but the container of log-probs. ``Side`` values are sums; where a paper divides by the
length, so does the form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from softpref.core import LOSSES, PairLogps, preference_loss


def log_s(x):
    return -np.logaddexp(0.0, -np.asarray(x, dtype=np.float64))


def s(x):
    return np.exp(log_s(x))


@dataclass(frozen=True)
class Numbers:
    """Sums of log-probs of both sides under policy and reference, lengths, p and P(tie); arrays of one shape."""

    yw: np.ndarray
    yl: np.ndarray
    ref_w: np.ndarray
    ref_l: np.ndarray
    nw: np.ndarray
    nl: np.ndarray
    p: np.ndarray
    t: np.ndarray

    @property
    def c(self):
        return self.yw - self.ref_w

    @property
    def r(self):
        return self.yl - self.ref_l

    @property
    def h(self):
        return self.c - self.r

    def swapped(self):
        return Numbers(self.yl, self.yw, self.ref_l, self.ref_w, self.nl, self.nw, 1 - self.p, self.t)

    def averaged(self):
        """The paper's operation on sums; lengths are those of a sum."""
        p, q = self.p, 1 - self.p
        ones = np.ones_like(self.yw)
        mixed = [(p * a + q * b, q * a + p * b) for a, b in ((self.yw, self.yl), (self.ref_w, self.ref_l))]
        return Numbers(mixed[0][0], mixed[0][1], mixed[1][0], mixed[1][1], ones, ones, self.p, self.t)

    def per_token(self):
        ones = np.ones_like(self.yw)
        return Numbers(
            self.yw / self.nw, self.yl / self.nl, self.ref_w / self.nw, self.ref_l / self.nl, ones, ones, self.p, self.t
        )


def kl(q, p):
    """Of two coins."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(q > 0, q * np.log(q / p), 0) + np.where(q < 1, (1 - q) * np.log((1 - q) / (1 - p)), 0)


def logit(p):
    p = np.clip(p, 0.01, 0.99)
    return np.log(p / (1 - p))


def odds(mean):
    """log(π̄/(1 − π̄)) of a mean log-prob."""
    return mean - np.log(-np.expm1(mean))


def alpha_reward(mean, a=0.25):
    return (1 - np.exp(mean) ** -a) / a


def rk(d, t, nu=3.0):
    """Rao and Kupper by their probabilities: strengths e^{d/2} and e^{−d/2}."""
    a, b = np.exp(d / 2), np.exp(-d / 2)
    win, tie = a / (a + nu * b), (nu**2 - 1) * a * b / ((a + nu * b) * (b + nu * a))
    return -(1 - t) * np.log(win) - t * np.log(tie)


def davidson(d, t, nu=1.0):
    a, b = np.exp(d / 2), np.exp(-d / 2)
    total = a + b + 2 * nu * np.sqrt(a * b)
    return -(1 - t) * np.log(a / total) - t * np.log(2 * nu * np.sqrt(a * b) / total)


def discopop(u, tau=0.05):
    m = s(u / tau)
    with np.errstate(over="ignore", invalid="ignore"):
        exponential = np.where(m > 0, m * np.exp(-u), 0)
    return (1 - m) * -log_s(u) + exponential


def nll(x):
    return -x.yw / x.nw


# name -> hard loss of Numbers and b, as the paper prints it
HARD: dict[str, Callable[..., np.ndarray]] = {
    "dpo": lambda x, b: -log_s(b * x.h),
    "dpo_norm": lambda x, b: -log_s(b * (x.c / x.nw - x.r / x.nl)),
    "ipo": lambda x, b: (x.h - 1 / (2 * b)) ** 2,
    "ropo": lambda x, b: 2 * (1 - s(b * x.h)) - 0.1 * log_s(b * x.h),
    "slic": lambda x, b: np.maximum(0, 1 - b * x.h),
    "robust": lambda x, b: (-0.9 * log_s(b * x.h) + 0.1 * log_s(-b * x.h)) / 0.8,
    "exo": lambda x, b: kl(s(b * x.h), 0.999),
    "discopop": lambda x, b: discopop(b * x.h),
    "gpo_exponential": lambda x, b: np.exp(-b * x.h),
    "gpo_squared": lambda x, b: (b * x.h - 1) ** 2,
    "gpo_truncated": lambda x, b: np.maximum(0, 1 - b * x.h) ** 2,
    "gpo_savage": lambda x, b: (1 / (1 + np.exp(b * x.h))) ** 2,
    "fdpo_forward_kl": lambda x, b: -log_s(b * ((1 - np.exp(-x.c)) - (1 - np.exp(-x.r)))),
    "fdpo_js": lambda x, b: (
        -log_s(b * (np.log(2 * np.exp(x.c) / (1 + np.exp(x.c))) - np.log(2 * np.exp(x.r) / (1 + np.exp(x.r)))))
    ),
    "fdpo_alpha": lambda x, b: -log_s(b * ((np.exp(-0.5 * x.c) - 1) / -0.5 - (np.exp(-0.5 * x.r) - 1) / -0.5)),
    "chi_po": lambda x, b: -log_s(b * ((x.c + np.exp(x.c)) - (x.r + np.exp(x.r)))),
    "nca": lambda x, b: -log_s(b * x.c) - 0.5 * log_s(-b * x.c) - 0.5 * log_s(-b * x.r),
    "bco": lambda x, b: -log_s(b * x.c) - log_s(-b * x.r),
    "sppo": lambda x, b: (x.c - 1 / b * 0.5) ** 2 + (x.r + 1 / b * 0.5) ** 2,
    "apo_zero": lambda x, b: 1 - s(b * x.c) + s(b * x.r),
    "apo_down": lambda x, b: s(b * x.c) + 1 - s(b * (x.c - x.r)),
    "cal_dpo": lambda x, b: -log_s(x.h) + (x.c - 1 / (2 * b)) ** 2 + (x.r + 1 / (2 * b)) ** 2,
    "dpo_shift": lambda x, b: -log_s(b * x.c - 0.95 * b * x.r),
    "dpop": lambda x, b: -log_s(b * (x.h - 50 * np.maximum(0, x.ref_w - x.yw))),
    "simpo": lambda x, b: -log_s(b * (x.yw / x.nw - x.yl / x.nl) - 0.5),
    "alphapo": lambda x, b: -log_s(b * (alpha_reward(x.yw / x.nw) - alpha_reward(x.yl / x.nl)) - 0.5),
    "cpo": lambda x, b: -log_s(b * (x.yw - x.yl)) + nll(x),
    "orpo": lambda x, b: nll(x) - b * log_s(odds(x.yw / x.nw) - odds(x.yl / x.nl)),
    "sft": lambda x, _b: nll(x),
    "odpo": lambda x, b: -log_s(b * x.h - logit(x.p)),
    "reward_distillation": lambda x, b: (b * x.h - logit(x.p)) ** 2,
    "dpo_rk": lambda x, b: rk(b * x.h, x.t),
    "dpo_d": lambda x, b: davidson(b * x.h, x.t),
}

# name -> soft loss as a paper has published it, where that is not the plain mixture of HARD
CONSERVATIVE: dict[str, Callable[..., np.ndarray]] = {
    "ipo": lambda x, b: (x.h - (2 * x.p - 1) / (2 * b)) ** 2,
    "exo": lambda x, b: kl(s(b * x.h), np.clip(x.p, 1e-3, 1 - 1e-3)),
    "sppo": lambda x, b: (x.c - (x.p - 0.5) / b) ** 2 + (x.r - (0.5 - x.p) / b) ** 2,
    "cpo": lambda x, b: -x.p * log_s(b * (x.yw - x.yl)) - (1 - x.p) * log_s(b * (x.yl - x.yw)) + nll(x),
    "orpo": lambda x, b: (
        nll(x)
        - b * x.p * log_s(odds(x.yw / x.nw) - odds(x.yl / x.nl))
        - b * (1 - x.p) * log_s(odds(x.yl / x.nl) - odds(x.yw / x.nw))
    ),
    "dpo_rk": lambda x, b: (x.p - x.t / 2) * rk(b * x.h, 0) + (1 - x.p - x.t / 2) * rk(-b * x.h, 0) + x.t * rk(b * x.h, 1),
    "dpo_d": lambda x, b: (
        (x.p - x.t / 2) * davidson(b * x.h, 0) + (1 - x.p - x.t / 2) * davidson(-b * x.h, 0) + x.t * davidson(b * x.h, 1)
    ),
}

# name -> geometric loss where targets or parts beside the pair's need a word of their own; G is 2p − 1
GEOMETRIC: dict[str, Callable[..., np.ndarray]] = {
    "ipo": lambda x, b: ((2 * x.p - 1) * x.h - abs(2 * x.p - 1) / (2 * b)) ** 2,
    "slic": lambda x, b: np.maximum(0, abs(2 * x.p - 1) - b * (2 * x.p - 1) * x.h),
    "gpo_squared": lambda x, b: (b * (2 * x.p - 1) * x.h - abs(2 * x.p - 1)) ** 2,
    "gpo_truncated": lambda x, b: np.maximum(0, abs(2 * x.p - 1) - b * (2 * x.p - 1) * x.h) ** 2,
    "dpop": lambda x, b: -log_s(b * ((2 * x.p - 1) * x.h - 50 * np.maximum(0, -x.c))),
    "simpo": lambda x, b: -log_s(b * (2 * x.p - 1) * (x.yw / x.nw - x.yl / x.nl) - 0.5 * abs(2 * x.p - 1)),
    "alphapo": lambda x, b: (
        -log_s(
            b * (alpha_reward(x.per_token().averaged().yw) - alpha_reward(x.per_token().averaged().yl)) - 0.5 * abs(2 * x.p - 1)
        )
    ),
    "cpo": lambda x, b: -log_s(b * (2 * x.p - 1) * (x.yw - x.yl)) + nll(x),
    "orpo": lambda x, b: nll(x) - b * log_s(odds(x.per_token().averaged().yw) - odds(x.per_token().averaged().yl)),
}
# What each loss has: h hard, c conservative, g geometric, o reads p itself.
TREATED = {
    **dict.fromkeys(("dpo", "dpo_norm", "ipo", "ropo", "slic", "robust", "exo", "discopop"), "hcg"),
    **dict.fromkeys(("gpo_exponential", "gpo_squared", "gpo_truncated", "gpo_savage"), "hcg"),
    **dict.fromkeys(("fdpo_forward_kl", "fdpo_js", "fdpo_alpha", "chi_po"), "hcg"),
    **dict.fromkeys(("nca", "bco", "sppo", "apo_down", "cal_dpo", "dpo_shift"), "hc"),
    **dict.fromkeys(("apo_zero", "dpop"), "hcg"),
    **dict.fromkeys(("simpo", "alphapo", "cpo", "orpo"), "hcg"),
    "sft": "h",
    **dict.fromkeys(("odpo", "reward_distillation"), "o"),
    **dict.fromkeys(("dpo_rk", "dpo_d"), "hcg"),
}
TREATMENT = {"h": "hard", "c": "conservative", "g": "geometric", "o": "own"}
METHODS = [(name, TREATMENT[letter]) for name, letters in TREATED.items() for letter in letters]
# Losses of which a part anchors the policy, and is no comparison: a tie leaves that part.
ANCHORED = ("dpop", "cpo", "orpo")


def form(name, treatment):
    """The float64 form of one method."""
    hard = HARD[name]
    if treatment in ("hard", "own"):
        return hard
    if treatment == "conservative":
        mixture = lambda x, b: x.p * hard(x, b) + (1 - x.p) * hard(x.swapped(), b)  # noqa: E731
        return CONSERVATIVE.get(name, mixture)
    if name == "dpo_norm":
        return lambda x, b: hard(x.per_token().averaged(), b)
    return GEOMETRIC.get(name, lambda x, b: hard(x.averaged(), b))


def treatment_option(treatment):
    """What a caller writes: nothing where a loss reads p itself."""
    return None if treatment == "own" else treatment


def pair_from(x, dtype=torch.float64, grad=False):
    """The same numbers as softpref's container; with ``grad`` the four log-probs are leaves."""
    fields = (x.yw, x.yl, x.ref_w, x.ref_l, x.nw, x.nl)
    tensors = [torch.tensor(np.asarray(field), dtype=dtype) for field in fields]
    return PairLogps(*(tensor.requires_grad_(grad and i < 4) for i, tensor in enumerate(tensors)))


def has_beta(name):
    return "beta" in LOSSES[name].parameters


def ours(name, treatment, x, b, dtype=torch.float64, grad=False, **options):
    """softpref's loss on the same numbers, (B,), and the pair it was computed from."""
    pair = pair_from(x, dtype, grad)
    beta = {"beta": b} if has_beta(name) else {}
    label = None if treatment == "hard" else torch.tensor(np.asarray(x.p), dtype=dtype)
    tie = torch.tensor(np.asarray(x.t), dtype=dtype) if name in ("dpo_rk", "dpo_d") else None
    loss = preference_loss(name, pair, label, treatment=treatment_option(treatment), tie=tie, **beta, **options)
    return loss, pair
