"""A base loss under a label treatment with everything that was chosen for it: what a trainer calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from softpref.core.base_losses import LOSSES, BaseLoss
from softpref.core.names import OWN
from softpref.core.pair import PairLogps, geometric_average, reduce, swap

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Extras:
    """What may be added to any loss. At its defaults it does nothing.

    Attributes:
        sft_weight: weight of the NLL of the chosen side, per token and as it stands; None means what the loss was published with.
        length_penalty: α of R-DPO (Park et al., arXiv 2403.19159, eq. 9): α·(|y1| − |y2|) is added to β·h, in tokens.
        flip_rate: how often a label points the wrong way: p becomes (1 − ε)·p + ε·(1 − p).
        policy_weighting: each pair's loss, but for the NLL, times both responses' mean token probability under the policy,
            without gradient (WPO, Zhou et al., arXiv 2406.11827, eq. 2, without its alignment of the weights).
        reference_free: as if the reference gave every response the same probability.
    """

    sft_weight: float | None = None
    length_penalty: float = 0.0
    flip_rate: float = 0.0
    policy_weighting: bool = False
    reference_free: bool = False


@dataclass(frozen=True)
class Method:
    """A base loss by name, the treatment of its label, and the arguments it runs with. Made by ``resolve``."""

    name: str
    treatment: str
    arguments: Mapping[str, Any]
    reduction: str
    scale_target: bool = True
    extras: Extras = Extras()

    @property
    def base(self) -> BaseLoss:
        """The entry in ``LOSSES``."""
        return LOSSES[self.name]

    @property
    def options(self) -> dict[str, Any]:
        """The arguments, and what of ``extras`` is set: what a record of a run holds."""
        return {**self.arguments, **{name: value for name, value in vars(self.extras).items() if value}}

    @property
    def needs_reference(self) -> bool:
        """Whether a pair must come with the reference's log-probs."""
        return self.base.needs_reference and not self.extras.reference_free

    @property
    def needs_rejected(self) -> bool:
        """Whether it compares two responses."""
        return self.base.needs_rejected

    @property
    def needs_tie(self) -> bool:
        """Whether it needs P(tie) of every pair."""
        return self.base.reads_tie

    @property
    def sft_weight(self) -> float:
        """Weight of the NLL of the chosen side."""
        return self.base.sft_weight if self.extras.sft_weight is None else self.extras.sft_weight

    def __call__(self, pair: PairLogps, soft_label: Tensor | None = None, tie: Tensor | None = None) -> Tensor:
        """Loss per pair, (B,), unweighted. ``soft_label`` and ``tie`` of shape (B,); the label None only with ``hard``.

        Raises ValueError where one of them, a reference or a length is needed and missing, or has another shape.
        """
        if self.extras.reference_free:
            pair = replace(pair, ref_chosen=None, ref_rejected=None)
        elif self.base.needs_reference and pair.ref_chosen is None:
            raise ValueError(f"{self.name} compares the policy with a reference: give ref_chosen and ref_rejected")
        loss = self._compared(pair, self._label(pair, soft_label), self._tie(pair, tie))
        if self.extras.policy_weighting:
            loss = loss * _policy_weight(pair)
        return loss + self.sft_weight * _nll(pair) if self.sft_weight else loss

    def _label(self, pair: PairLogps, soft_label: Tensor | None) -> Tensor | None:
        if self.treatment == "hard":
            return None
        if soft_label is None:
            other = "" if self.treatment == OWN else "; without one, use 'hard'"
            raise ValueError(f"label_treatment {self.treatment!r} of {self.name} needs a soft_label{other}")
        label, rate = _like(pair, "soft_label", soft_label), self.extras.flip_rate
        return (1 - rate) * label + rate * (1 - label) if rate else label

    def _tie(self, pair: PairLogps, tie: Tensor | None) -> Tensor | None:
        if not self.needs_tie:
            return None
        if tie is None:
            raise ValueError(f"{self.name} needs the probability of a tie of every pair")
        return _like(pair, "tie", tie)

    def _compared(self, whole: PairLogps, label: Tensor | None, tie: Tensor | None) -> Tensor:
        """The pair's part: reduced, then treated."""
        pair = reduce(self._penalised(whole), self.reduction)
        filled = {"tie": tie, "anchor": reduce(whole, self.reduction), "soft_label": label}
        given = {**self.arguments, **{name: value for name, value in filled.items() if name in self.base.parameters}}
        if label is None or self.treatment == OWN:
            return self.base.function(pair, **given)
        return (self._conservative if self.treatment == "conservative" else self._geometric)(pair, label, given)

    def _penalised(self, pair: PairLogps) -> PairLogps:
        """R-DPO's penalty, which is in units of β·h, in those of a log-ratio."""
        if not self.extras.length_penalty:
            return pair
        lengths = _lengths(pair, "length_penalty")
        per_token = self.extras.length_penalty / self.arguments["beta"]
        chosen, rejected = (side + per_token * n for side, n in zip((pair.chosen, pair.rejected), lengths, strict=True))
        return replace(pair, chosen=chosen, rejected=rejected)

    def _conservative(self, pair: PairLogps, soft_label: Tensor, given: Mapping[str, Any]) -> Tensor:
        if self.base.conservative is not None:
            return self.base.conservative(pair, soft_label, **given)
        base = self.base.function
        other = {**given, "anchor": swap(given["anchor"])} if "anchor" in given else given
        return soft_label * base(pair, **given) + (1 - soft_label) * base(swap(pair), **other)

    def _geometric(self, pair: PairLogps, soft_label: Tensor, given: Mapping[str, Any]) -> Tensor:
        scale = {}
        if self.scale_target and "target_scale" in self.base.parameters:
            scale["target_scale"] = (2 * soft_label - 1).abs()
        return self.base.function(geometric_average(pair, soft_label), **given, **scale)


def _like(pair: PairLogps, name: str, value: Tensor) -> Tensor:
    if value.shape != pair.chosen.shape:
        raise ValueError(f"{name} has shape {tuple(value.shape)}, chosen has {tuple(pair.chosen.shape)}")
    return value.to(pair.chosen.dtype)


def _lengths(pair: PairLogps, option: str) -> tuple[Tensor, Tensor]:
    if pair.chosen_length is None or pair.rejected_length is None:
        raise ValueError(f"{option} reads the number of response tokens: give chosen_length and rejected_length")
    return pair.chosen_length, pair.rejected_length


def _nll(pair: PairLogps) -> Tensor:
    return -pair.chosen / _lengths(pair, "sft_weight")[0]


def _policy_weight(pair: PairLogps) -> Tensor:
    chosen, rejected = _lengths(pair, "policy_weighting")
    return (pair.chosen / chosen + pair.rejected / rejected).detach().exp()
