"""Base losses that read no reference: the policy's own log-probs, most of them per token (``reduction="mean"``).

Where the published loss has an NLL part, that is the method's ``sft_weight``, so that the pair's part can be averaged alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn.functional import logsigmoid

from softpref.core.bounded import bounded_exp, log1mexp

if TYPE_CHECKING:
    from torch import Tensor

    from softpref.core.pair import PairLogps


def simpo(pair: PairLogps, *, beta: float, gamma: float = 0.5, target_scale: Tensor | float = 1.0) -> Tensor:
    """``−log s(β·(log π̄(y1) − log π̄(y2)) − γ)``, (B,), log π̄ per token. Meng et al., SimPO, arXiv 2405.14734, eq. 6."""
    return -logsigmoid(beta * (pair.chosen - pair.rejected) - gamma * target_scale)


def cpo(pair: PairLogps, *, beta: float) -> Tensor:
    """``−log s(β·(log π(y1) − log π(y2)))``, (B,). Xu et al., CPO, arXiv 2401.08417, with the NLL apart."""
    return -logsigmoid(beta * (pair.chosen - pair.rejected))


def orpo(pair: PairLogps, *, beta: float) -> Tensor:
    """``−β·log s(o(y1) − o(y2)), o = log π̄ − log(1 − π̄)``, (B,). Hong et al., ORPO, arXiv 2403.07691, eqs. 6 and 7.

    π̄ is the geometric mean of the response's token probabilities; β is the paper's λ; the NLL is apart.
    """
    odds = pair.chosen - pair.rejected - log1mexp(pair.chosen) + log1mexp(pair.rejected)
    return -beta * logsigmoid(odds)


def alphapo(
    pair: PairLogps, *, beta: float, alpha: float = 0.25, gamma: float = 0.5, target_scale: Tensor | float = 1.0
) -> Tensor:
    """``−log s(β·(g(y1) − g(y2)) − γ), g = (1 − π̄^{−α})/α``, (B,). Gupta et al., AlphaPO, arXiv 2501.03884.

    π̄ as in ORPO. α = 0 would be SimPO.
    """
    reward_gap = (bounded_exp(-alpha * pair.rejected) - bounded_exp(-alpha * pair.chosen)) / alpha
    return -logsigmoid(beta * reward_gap - gamma * target_scale)
