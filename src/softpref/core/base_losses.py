"""The base losses. Each is one small pure function of a pair and its own arguments; none knows of labels or lengths.

To add one: write the function, put it into ``LOSSES``. Its keyword arguments become the ``loss_args`` that users may set.
``beta`` is taken by name where a loss has one. ``target_scale``, where a loss has a target that its margin is compared
to, lets a treatment that shrinks the margin shrink the target with it. Whether a loss has a geometric form is not
declared but computed: see ``treatments.equals_teach_nothing``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch.nn.functional import logsigmoid, relu

if TYPE_CHECKING:
    from torch import Tensor

    from softpref.core.pair import PairLogps


def dpo(pair: PairLogps, *, beta: float) -> Tensor:
    """``−log s(β·h)``, (B,). Rafailov et al., arXiv 2305.18290, eq. 7."""
    return -logsigmoid(beta * pair.margin)


def ipo(pair: PairLogps, *, beta: float, target_scale: Tensor | float = 1.0) -> Tensor:
    """``(h − 1/(2β))²``, (B,). Azar et al., arXiv 2310.12036, eq. 17, with β for τ.

    On sums of log-probs, as the paper restated here has it; TRL divides by the length first (``reduction="mean"``).
    """
    return (pair.margin - target_scale / (2 * beta)) ** 2


def ropo(pair: PairLogps, *, beta: float, alpha: float = 2.0, gamma: float = 0.1) -> Tensor:
    """``α·(1 − s(β·h)) + γ·L_DPO``, (B,), with the constants of arXiv 2409.06691.

    ROPO's own paper (Liang et al., arXiv 2404.04102) has one parameter a: that is ``alpha = 4a²/(1+a)²`` and
    ``gamma = 4a/(1+a)²``.
    """
    scaled = beta * pair.margin
    return alpha * (-scaled).sigmoid() - gamma * logsigmoid(scaled)


def slic(pair: PairLogps, *, beta: float, delta: float = 1.0, target_scale: Tensor | float = 1.0) -> Tensor:
    """``max(0, δ − β·h)``, (B,). Zhao et al., arXiv 2305.10425, on log-ratios as in Liu et al., arXiv 2309.06657."""
    return relu(delta * target_scale - beta * pair.margin)


def sft(pair: PairLogps) -> Tensor:
    """``−log π(y1|x)``, (B,): supervised fine-tuning on the chosen side. The rejected side has no part in it."""
    return -pair.chosen


def conservative_ipo(pair: PairLogps, soft_label: Tensor, *, beta: float) -> Tensor:
    """The paper's cIPO, ``(h − (2p−1)/(2β))²``, (B,): the linear mixture of IPO less its constant ``p(1−p)/β²``."""
    return ipo(pair, beta=beta, target_scale=2 * soft_label - 1)


@dataclass(frozen=True)
class BaseLoss:
    """A base loss and what it needs: how log-probs are reduced by default, and whether it reads a reference.

    ``conservative`` is a closed form that stands in for the linear mixture where a paper has published one.
    """

    function: Callable[..., Tensor]
    reduction: str = "sum"
    needs_reference: bool = True
    needs_rejected: bool = True
    conservative: Callable[..., Tensor] | None = None


LOSSES: dict[str, BaseLoss] = {
    "dpo": BaseLoss(dpo),
    "ipo": BaseLoss(ipo, conservative=conservative_ipo),
    "ropo": BaseLoss(ropo),
    "slic": BaseLoss(slic),
    "sft": BaseLoss(sft, reduction="mean", needs_reference=False, needs_rejected=False),
}
