"""Base losses that read p themselves, or the probability of a tie: the label stands inside the loss.

``soft_label`` and ``tie``, (B,), are given by the method that calls them; a treatment has no part where p is read already.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import logsigmoid

if TYPE_CHECKING:
    from torch import Tensor

    from softpref.core.pair import PairLogps


def odpo(pair: PairLogps, *, beta: float, soft_label: Tensor, alpha: float = 1.0, clip: float = 0.01) -> Tensor:
    """``−log s(β·h − α·logit p)``, (B,). Amini et al., ODPO, arXiv 2402.10571, with the offset in log-odds.

    Between rewards a and b that p was made of, logit p is a − b. ``clip`` keeps p within [clip, 1 − clip].
    """
    return -logsigmoid(beta * pair.margin - alpha * soft_label.clamp(clip, 1 - clip).logit())


def reward_distillation(pair: PairLogps, *, beta: float, soft_label: Tensor, eta: float = 1.0, clip: float = 0.01) -> Tensor:
    """``(β·h − η·logit p)²``, (B,). Fisch et al., arXiv 2405.19316; REBEL, 2404.16767; RPO's square, 2406.11704.

    ``clip`` keeps p within [clip, 1 − clip].
    """
    return (beta * pair.margin - eta * soft_label.clamp(clip, 1 - clip).logit()) ** 2


def dpo_rk(pair: PairLogps, *, beta: float, tie: Tensor, nu: float = 3.0) -> Tensor:
    """``−(1 − t)·log P(win) − t·log P(tie), P(win) = s(β·h − log ν), P(tie) = (ν² − 1)·s(β·h − log ν)·s(−β·h − log ν)``, (B,).

    t is the ``tie``. Chen et al., DPO-RK, arXiv 2409.17431, §3, after Rao and Kupper.
    """
    logit = beta * pair.margin
    return (1 - tie) * _rk_win(logit, nu) + tie * _rk_tie(logit, nu)


def conservative_dpo_rk(pair: PairLogps, soft_label: Tensor, *, beta: float, tie: Tensor, nu: float = 3.0) -> Tensor:
    """The mixture over win, loss and tie, (B,), with a tie counted as half of each in p."""
    logit = beta * pair.margin
    return _over_outcomes(soft_label, tie, _rk_win(logit, nu), _rk_win(-logit, nu), _rk_tie(logit, nu))


def _rk_win(logit: Tensor, nu: float) -> Tensor:
    return -logsigmoid(logit - math.log(nu))


def _rk_tie(logit: Tensor, nu: float) -> Tensor:
    return _rk_win(logit, nu) + _rk_win(-logit, nu) - math.log(nu**2 - 1)


def dpo_d(pair: PairLogps, *, beta: float, tie: Tensor, nu: float = 1.0) -> Tensor:
    """``−(1 − t)·log P(win) − t·log P(tie), P(win) = 1/(1 + e^{−β·h} + 2ν·e^{−β·h/2}), P(tie) = 2ν·e^{−β·h/2}·P(win)``, (B,).

    t is the ``tie``. Chen et al., DPO-D, arXiv 2409.17431, §3, after Davidson.
    """
    logit = beta * pair.margin
    return (1 - tie) * _davidson_win(logit, nu) + tie * _davidson_tie(logit, nu)


def conservative_dpo_d(pair: PairLogps, soft_label: Tensor, *, beta: float, tie: Tensor, nu: float = 1.0) -> Tensor:
    """The mixture over win, loss and tie, (B,), with a tie counted as half of each in p."""
    logit = beta * pair.margin
    return _over_outcomes(soft_label, tie, _davidson_win(logit, nu), _davidson_win(-logit, nu), _davidson_tie(logit, nu))


def _davidson_win(logit: Tensor, nu: float) -> Tensor:
    terms = torch.stack([torch.zeros_like(logit), -logit, math.log(2 * nu) - logit / 2])
    return terms.logsumexp(0)


def _davidson_tie(logit: Tensor, nu: float) -> Tensor:
    return _davidson_win(logit, nu) + logit / 2 - math.log(2 * nu)


def _over_outcomes(soft_label: Tensor, tie: Tensor, win: Tensor, loss: Tensor, equal: Tensor) -> Tensor:
    # of a label that was made of other things too, a tie may be no more probable than p leaves room for
    tie = torch.minimum(tie, 2 * torch.minimum(soft_label, 1 - soft_label))
    return (soft_label - tie / 2) * win + (1 - soft_label - tie / 2) * loss + tie * equal
