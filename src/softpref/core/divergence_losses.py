"""DPO under another divergence than the reverse KL: a function of each side's log-ratio in place of the log-ratio itself.

``−log s(β·(g(c) − g(r)))`` with ``g(z) = f′(e^z)`` (Wang et al., f-DPO, arXiv 2309.16240). An exponential goes on
as its tangent where it would overflow (``bounded_exp``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch.nn.functional import logsigmoid

from softpref.core.bounded import bounded_exp

if TYPE_CHECKING:
    from torch import Tensor

    from softpref.core.pair import PairLogps


def fdpo_forward_kl(pair: PairLogps, *, beta: float) -> Tensor:
    """``−log s(β·(e^{−r} − e^{−c}))``, (B,). Wang et al., f-DPO, arXiv 2309.16240 (forward KL)."""
    return _linked(pair, beta, lambda z: -bounded_exp(-z))


def fdpo_js(pair: PairLogps, *, beta: float) -> Tensor:
    """``−log s(β·(log s(c) − log s(r)))``, (B,). Wang et al., f-DPO, arXiv 2309.16240 (Jensen-Shannon)."""
    return _linked(pair, beta, logsigmoid)


def fdpo_alpha(pair: PairLogps, *, beta: float, alpha: float = 0.5) -> Tensor:
    """``−log s(β·(e^{(α−1)c} − e^{(α−1)r})/(α − 1))``, (B,). Wang et al., f-DPO, arXiv 2309.16240, in TRL's α.

    The paper's α is 1 − this one. α = 1 would be DPO.
    """
    power = alpha - 1
    return _linked(pair, beta, lambda z: bounded_exp(power * z) / power)


def chi_po(pair: PairLogps, *, beta: float) -> Tensor:
    """``−log s(β·(c + e^c − r − e^r))``, (B,). Huang et al., χPO, arXiv 2407.13399.

    The tangent of ``bounded_exp`` is there in place of the paper's clipping, whose bound is of the true reward.
    """
    return _linked(pair, beta, lambda z: z + bounded_exp(z))


def _linked(pair: PairLogps, beta: float, link: Callable[[Tensor], Tensor]) -> Tensor:
    return -logsigmoid(beta * (link(pair.chosen_logratio) - link(pair.rejected_logratio)))
