"""Base losses that look at each side by itself: c = log π − log π_ref of the chosen side, r the same of the rejected one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn.functional import logsigmoid, relu

if TYPE_CHECKING:
    from torch import Tensor

    from softpref.core.pair import PairLogps


def sft(pair: PairLogps) -> Tensor:
    """``−log π(y1|x)``, (B,): supervised fine-tuning on the chosen side. The rejected side has no part in it."""
    return -pair.chosen


def nca(pair: PairLogps, *, beta: float) -> Tensor:
    """``−log s(β·c) − ½·log s(−β·c) − ½·log s(−β·r)``, (B,). Chen et al., NCA, arXiv 2402.05369.

    Its linear mixture over a soft label is the paper's own form for two scored responses.
    """
    chosen, rejected = beta * pair.chosen_logratio, beta * pair.rejected_logratio
    return -logsigmoid(chosen) - 0.5 * logsigmoid(-chosen) - 0.5 * logsigmoid(-rejected)


def bco(pair: PairLogps, *, beta: float, delta: float = 0.0) -> Tensor:
    """``−log s(β·c − δ) − log s(δ − β·r)``, (B,). Jung et al., BCO, arXiv 2404.04656, with a fixed reward shift δ."""
    return -logsigmoid(beta * pair.chosen_logratio - delta) - logsigmoid(delta - beta * pair.rejected_logratio)


def sppo(pair: PairLogps, *, beta: float) -> Tensor:
    """``(c − 1/(2β))² + (r + 1/(2β))²``, (B,). Wu et al., SPPO, arXiv 2405.00675, eq. 4.7, with 1/β for η and P in {0, 1}."""
    return _squares_to(pair, 0.5 / beta)


def conservative_sppo(pair: PairLogps, soft_label: Tensor, *, beta: float) -> Tensor:
    """SPPO as published, ``(c − (p − ½)/β)² + (r − (½ − p)/β)²``, (B,): the mixture less its constant ``2p(1−p)/β²``.

    Wu et al., arXiv 2405.00675, eq. 4.7.
    """
    return _squares_to(pair, (soft_label - 0.5) / beta)


def _squares_to(pair: PairLogps, target: Tensor | float) -> Tensor:
    return (pair.chosen_logratio - target) ** 2 + (pair.rejected_logratio + target) ** 2


def apo_zero(pair: PairLogps, *, beta: float) -> Tensor:
    """``1 − s(β·c) + s(β·r)``, (B,). D'Oosterlinck et al., arXiv 2408.06266, eq. 7: for chosen answers above the model's."""
    return (-beta * pair.chosen_logratio).sigmoid() + (beta * pair.rejected_logratio).sigmoid()


def apo_down(pair: PairLogps, *, beta: float) -> Tensor:
    """``s(β·c) + 1 − s(β·h)``, (B,). D'Oosterlinck et al., arXiv 2408.06266, eq. 8: for chosen answers below the model's."""
    return (beta * pair.chosen_logratio).sigmoid() + (-beta * pair.margin).sigmoid()


def cal_dpo(pair: PairLogps, *, beta: float) -> Tensor:
    """``−log s(h) + (c − 1/(2β))² + (r + 1/(2β))²``, (B,). Xiao et al., Cal-DPO, arXiv 2412.14516."""
    return _squares_to(pair, 0.5 / beta) - logsigmoid(pair.margin)


def dpo_shift(pair: PairLogps, *, beta: float, factor: float = 0.95) -> Tensor:
    """``−log s(β·c − factor·β·r)``, (B,). Yang et al., DPO-Shift, arXiv 2502.07599."""
    return -logsigmoid(beta * (pair.chosen_logratio - factor * pair.rejected_logratio))


def dpop(pair: PairLogps, *, beta: float, penalty: float = 50.0, anchor: PairLogps | None = None) -> Tensor:
    """``−log s(β·(h − penalty·max(0, −c)))``, (B,). Pal et al., DPO-Positive, arXiv 2402.13228, eq. 3.

    The penalty is of the chosen side as it is: ``anchor`` is the pair before a treatment averages it, ``pair`` if None.
    """
    drop = relu(-(anchor or pair).chosen_logratio)
    return -logsigmoid(beta * (pair.margin - penalty * drop))
