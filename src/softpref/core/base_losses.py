"""The table of base losses. Each is one small pure function of a pair and its own arguments; none knows of lengths.

To add one: write the function in the module of its kind, put it into ``LOSSES``, and its line into ``docs/losses.md``. Its
docstring begins with the formula in double backquotes and the source: ``softpref losses`` shows both. Its keyword arguments
become the ``loss_args`` that users may set, but for those in ``FILLED_IN``. Whether a loss has a geometric form is not
declared but computed: see ``treatments.equals_teach_nothing``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from softpref.core.divergence_losses import chi_po, fdpo_alpha, fdpo_forward_kl, fdpo_js
from softpref.core.label_losses import conservative_dpo_d, conservative_dpo_rk, dpo_d, dpo_rk, odpo, reward_distillation
from softpref.core.margin_losses import (
    conservative_exo,
    conservative_ipo,
    discopop,
    dpo,
    dpo_norm,
    exo,
    gpo_exponential,
    gpo_savage,
    gpo_squared,
    gpo_truncated,
    ipo,
    robust,
    ropo,
    slic,
)
from softpref.core.reference_free_losses import alphapo, cpo, orpo, simpo
from softpref.core.side_losses import (
    apo_down,
    apo_zero,
    bco,
    cal_dpo,
    conservative_sppo,
    dpo_shift,
    dpop,
    nca,
    sft,
    sppo,
)

if TYPE_CHECKING:
    from torch import Tensor

# Keyword arguments of a base loss that the method fills in, (B,), and no user sets:
# target_scale  what a fixed target is multiplied by, 1 unless a treatment shrinks the margin
# anchor        the pair before it is averaged, for a part that anchors the policy and is no comparison
# soft_label    p, for a loss that reads it itself and so has no treatment
# tie           P(tie)
FILLED_IN = frozenset({"target_scale", "anchor", "soft_label", "tie"})


@dataclass(frozen=True)
class BaseLoss:
    """A base loss and what it needs.

    Attributes:
        function: the loss, (B,), of a pair.
        reduction: how log-probs are reduced before it by default: ``sum`` or ``mean`` over response tokens.
        needs_reference, needs_rejected: whether it reads a reference, and the rejected side.
        conservative: a closed form that stands in for the linear mixture where a paper has published one.
        sft_weight: how much NLL of the chosen side per token the published loss has beside the function.
        beta: the published or usual beta, for a run that names none.
        ranges: bounds of arguments, by name: the lowest value that may be, and the lowest above it that may not.
    """

    function: Callable[..., Tensor]
    reduction: str = "sum"
    needs_reference: bool = True
    needs_rejected: bool = True
    conservative: Callable[..., Tensor] | None = None
    sft_weight: float = 0.0
    beta: float = 0.1
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def parameters(self) -> frozenset[str]:
        """The keyword arguments of the function, with those that are filled in."""
        return _parameters(self.function)

    @property
    def reads_label(self) -> bool:
        """Whether p stands inside the loss, so that no treatment has a part."""
        return "soft_label" in self.parameters

    @property
    def reads_tie(self) -> bool:
        """Whether it needs P(tie) of every pair."""
        return "tie" in self.parameters


@cache
def _parameters(function: Callable[..., Tensor]) -> frozenset[str]:
    parameters = inspect.signature(function).parameters.values()
    return frozenset(p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)


_ABOVE_0 = (1e-12, float("inf"))

LOSSES: dict[str, BaseLoss] = {
    # of the margin
    "dpo": BaseLoss(dpo),
    "dpo_norm": BaseLoss(dpo_norm, reduction="mean"),
    "ipo": BaseLoss(ipo, conservative=conservative_ipo),
    "ropo": BaseLoss(ropo),
    "slic": BaseLoss(slic),
    "robust": BaseLoss(robust, ranges={"epsilon": (0.0, 0.5)}),
    "exo": BaseLoss(exo, conservative=conservative_exo, ranges={"epsilon": (1e-12, 0.5)}),
    "discopop": BaseLoss(discopop, ranges={"tau": _ABOVE_0}),
    "gpo_exponential": BaseLoss(gpo_exponential),
    "gpo_squared": BaseLoss(gpo_squared),
    "gpo_truncated": BaseLoss(gpo_truncated),
    "gpo_savage": BaseLoss(gpo_savage),
    # under another divergence
    "fdpo_forward_kl": BaseLoss(fdpo_forward_kl),
    "fdpo_js": BaseLoss(fdpo_js),
    "fdpo_alpha": BaseLoss(fdpo_alpha, ranges={"alpha": (1e-12, 1.0)}),
    "chi_po": BaseLoss(chi_po),
    # of each side
    "nca": BaseLoss(nca),
    "bco": BaseLoss(bco),
    "sppo": BaseLoss(sppo, conservative=conservative_sppo),
    "apo_zero": BaseLoss(apo_zero),
    "apo_down": BaseLoss(apo_down),
    "cal_dpo": BaseLoss(cal_dpo),
    "dpo_shift": BaseLoss(dpo_shift),
    "dpop": BaseLoss(dpop, ranges={"penalty": (0.0, float("inf"))}),
    # without a reference
    "simpo": BaseLoss(simpo, reduction="mean", needs_reference=False, beta=2.0),
    "alphapo": BaseLoss(alphapo, reduction="mean", needs_reference=False, beta=2.5, ranges={"alpha": _ABOVE_0}),
    "cpo": BaseLoss(cpo, needs_reference=False, sft_weight=1.0),
    "orpo": BaseLoss(orpo, reduction="mean", needs_reference=False, sft_weight=1.0),
    "sft": BaseLoss(sft, reduction="mean", needs_reference=False, needs_rejected=False),
    # of the label, or of ties
    "odpo": BaseLoss(odpo, ranges={"clip": (1e-12, 0.5)}),
    "reward_distillation": BaseLoss(reward_distillation, ranges={"clip": (1e-12, 0.5)}),
    "dpo_rk": BaseLoss(dpo_rk, conservative=conservative_dpo_rk, ranges={"nu": (1.0 + 1e-6, float("inf"))}),
    "dpo_d": BaseLoss(dpo_d, conservative=conservative_dpo_d, ranges={"nu": _ABOVE_0}),
}
