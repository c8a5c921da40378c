"""Base losses of the margin h alone: how far the policy's log-ratio of the chosen side lies above the rejected one's."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch.nn.functional import logsigmoid, relu

from softpref.core.bounded import bounded_exp

if TYPE_CHECKING:
    from torch import Tensor

    from softpref.core.pair import PairLogps


def dpo(pair: PairLogps, *, beta: float) -> Tensor:
    """``−log s(β·h)``, (B,). Rafailov et al., arXiv 2305.18290, eq. 7."""
    return -logsigmoid(beta * pair.margin)


def dpo_norm(pair: PairLogps, *, beta: float) -> Tensor:
    """``−log s(β·(c/|y1| − r/|y2|))``, (B,), lengths in tokens. Lambert et al., Tülu 3, arXiv 2411.15124, eq. 6.

    DPO of log-probs that are means over tokens already.
    """
    return dpo(pair, beta=beta)


def ipo(pair: PairLogps, *, beta: float, target_scale: Tensor | float = 1.0) -> Tensor:
    """``(h − 1/(2β))²``, (B,). Azar et al., arXiv 2310.12036, eq. 17, with β for τ.

    On sums of log-probs, as the paper restated here has it; TRL divides by the length first (``reduction="mean"``).
    """
    return (pair.margin - target_scale / (2 * beta)) ** 2


def conservative_ipo(pair: PairLogps, soft_label: Tensor, *, beta: float) -> Tensor:
    """The paper's cIPO, ``(h − (2p−1)/(2β))²``, (B,): the linear mixture of IPO less its constant ``p(1−p)/β²``."""
    return ipo(pair, beta=beta, target_scale=2 * soft_label - 1)


def ropo(pair: PairLogps, *, beta: float, alpha: float = 2.0, gamma: float = 0.1) -> Tensor:
    """``α·(1 − s(β·h)) − γ·log s(β·h)``, (B,). Liang et al., arXiv 2404.04102, with the constants of arXiv 2409.06691.

    ROPO's own paper has one parameter a: that is ``alpha = 4a²/(1+a)²`` and ``gamma = 4a/(1+a)²``.
    """
    scaled = beta * pair.margin
    return alpha * (-scaled).sigmoid() - gamma * logsigmoid(scaled)


def slic(pair: PairLogps, *, beta: float, delta: float = 1.0, target_scale: Tensor | float = 1.0) -> Tensor:
    """``max(0, δ − β·h)``, (B,). Zhao et al., arXiv 2305.10425, on log-ratios as in Liu et al., arXiv 2309.06657."""
    return relu(delta * target_scale - beta * pair.margin)


def robust(pair: PairLogps, *, beta: float, epsilon: float = 0.1) -> Tensor:
    """``[ε·log s(−β·h) − (1 − ε)·log s(β·h)] / (1 − 2ε)``, (B,). Chowdhury et al., rDPO, arXiv 2403.00409.

    ``epsilon`` is the rate at which labels are flipped: the loss is unbiased for DPO's on the labels before that.
    """
    scaled = beta * pair.margin
    return (epsilon * logsigmoid(-scaled) - (1 - epsilon) * logsigmoid(scaled)) / (1 - 2 * epsilon)


def exo(pair: PairLogps, *, beta: float, epsilon: float = 1e-3) -> Tensor:
    """``KL(q ‖ 1 − ε), q = s(β·h)``, (B,). Ji et al., EXO-pref, arXiv 2402.00856, eq. 16."""
    likely, unlikely = math.log1p(-epsilon), math.log(epsilon)
    return _reverse_kl(beta * pair.margin, likely, unlikely)


def conservative_exo(pair: PairLogps, soft_label: Tensor, *, beta: float, epsilon: float = 1e-3) -> Tensor:
    """EXO-rw for two responses, ``KL(q ‖ p)``, (B,), with p kept within [ε, 1 − ε]. Ji et al., arXiv 2402.00856.

    Not the linear mixture of EXO-pref: the label stands inside the logarithm.
    """
    # in double precision, since 1 − ε is 1 in bf16
    label = soft_label.double().clamp(epsilon, 1 - epsilon)
    log_p, log_not_p = (x.to(pair.chosen.dtype) for x in (label.log(), (-label).log1p()))
    return _reverse_kl(beta * pair.margin, log_p, log_not_p)


def _reverse_kl(logit: Tensor, log_p: Tensor | float, log_not_p: Tensor | float) -> Tensor:
    return logit.sigmoid() * (logsigmoid(logit) - log_p) + (-logit).sigmoid() * (logsigmoid(-logit) - log_not_p)


def discopop(pair: PairLogps, *, beta: float, tau: float = 0.05) -> Tensor:
    """``m·e^{−u} − (1 − m)·log s(u), u = β·h, m = s(u/τ)``, (B,). Lu et al., arXiv 2406.08414, eq. 5.

    m and the exponential are multiplied in log space, where neither overflows for τ ≤ 1.
    """
    scaled = beta * pair.margin
    logistic = -logsigmoid(scaled) * (-scaled / tau).sigmoid()
    return logistic + bounded_exp(logsigmoid(scaled / tau) - scaled)


def gpo_exponential(pair: PairLogps, *, beta: float) -> Tensor:
    """``e^{−β·h}``, (B,). Tang et al., GPO, arXiv 2402.05749. See ``bounded_exp``."""
    return bounded_exp(-beta * pair.margin)


def gpo_squared(pair: PairLogps, *, beta: float, target_scale: Tensor | float = 1.0) -> Tensor:
    """``(β·h − 1)²``, (B,). Tang et al., GPO, arXiv 2402.05749; IPO's up to β and a factor."""
    return (beta * pair.margin - target_scale) ** 2


def gpo_truncated(pair: PairLogps, *, beta: float, target_scale: Tensor | float = 1.0) -> Tensor:
    """``max(0, 1 − β·h)²``, (B,). Tang et al., GPO, arXiv 2402.05749 (truncated quadratic)."""
    return relu(target_scale - beta * pair.margin) ** 2


def gpo_savage(pair: PairLogps, *, beta: float) -> Tensor:
    """``s(−β·h)²``, (B,). Tang et al., GPO, arXiv 2402.05749. Bounded, and not convex."""
    return (-beta * pair.margin).sigmoid() ** 2
