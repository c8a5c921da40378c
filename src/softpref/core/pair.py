"""A pair of responses as the losses see it: four numbers per row, and the one operation of the paper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

REDUCTIONS = ("sum", "mean")


@dataclass(frozen=True, eq=False)
class PairLogps:
    """Log-probabilities of the two responses of B pairs, under the policy and under the reference.

    All fields are tensors of shape (B,). Log-probs are in nats, summed over the response's tokens; lengths are in
    tokens. The reference may be None where a loss needs none; the lengths may be None where nothing is normalised.

    Raises ValueError when shapes differ, or when only one of the two references or of the two lengths is given.
    """

    chosen: Tensor
    rejected: Tensor
    ref_chosen: Tensor | None = None
    ref_rejected: Tensor | None = None
    chosen_length: Tensor | None = None
    rejected_length: Tensor | None = None

    def __post_init__(self) -> None:
        for left, right in (("ref_chosen", "ref_rejected"), ("chosen_length", "rejected_length")):
            if (getattr(self, left) is None) != (getattr(self, right) is None):
                raise ValueError(f"{left} and {right} go together: give both or neither")
        for name, value in vars(self).items():
            if value is not None and value.shape != self.chosen.shape:
                raise ValueError(f"{name} has shape {tuple(value.shape)}, chosen has {tuple(self.chosen.shape)}")

    @property
    def chosen_logratio(self) -> Tensor:
        """log π(y1|x) − log π_ref(y1|x), (B,) in nats. Without a reference: log π(y1|x)."""
        return self.chosen if self.ref_chosen is None else self.chosen - self.ref_chosen

    @property
    def rejected_logratio(self) -> Tensor:
        """log π(y2|x) − log π_ref(y2|x), (B,) in nats. Without a reference: log π(y2|x)."""
        return self.rejected if self.ref_rejected is None else self.rejected - self.ref_rejected

    @property
    def margin(self) -> Tensor:
        """The paper's h, (B,) in nats: difference of the two log-ratios, without beta in it."""
        return self.chosen_logratio - self.rejected_logratio


def _map_sides(pair: PairLogps, mix: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> PairLogps:
    chosen, rejected = mix(pair.chosen, pair.rejected)
    if pair.ref_chosen is None or pair.ref_rejected is None:
        return PairLogps(chosen, rejected)
    return PairLogps(chosen, rejected, *mix(pair.ref_chosen, pair.ref_rejected))


def swap(pair: PairLogps) -> PairLogps:
    """The same pair with its sides exchanged, lengths too."""
    return PairLogps(pair.rejected, pair.chosen, pair.ref_rejected, pair.ref_chosen, pair.rejected_length, pair.chosen_length)


def geometric_average(pair: PairLogps, soft_label: Tensor) -> PairLogps:
    """The paper's operation: the two sides' likelihoods mixed by weighted geometric averages.

    ``π̄(y_w) ∝ π(y1)^p · π(y2)^(1−p)`` and ``π̄(y_l) ∝ π(y1)^(1−p) · π(y2)^p``, for the policy and the reference alike,
    the normalisers taken as constant and dropped (arXiv 2409.06691, §3.1). In log space, with ``p = soft_label`` of
    shape (B,) in [0, 1]::

        chosen'   = p · chosen + (1 − p) · rejected
        rejected' = (1 − p) · chosen + p · rejected

    A pair of equals (p = ½) has two equal sides afterwards; a sure one (p = 1) is unchanged. The margin is multiplied
    by 2p − 1. Lengths do not survive: normalise first (``reduce``), then average.
    """
    p, q = soft_label, 1 - soft_label
    return _map_sides(pair, lambda chosen, rejected: (p * chosen + q * rejected, q * chosen + p * rejected))


def reduce(pair: PairLogps, reduction: str) -> PairLogps:
    """Sums as they are, or means over response tokens. The lengths are used up: a base loss never sees them.

    Raises ValueError for a reduction other than ``sum`` or ``mean``, or for ``mean`` without lengths.
    """
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}; it can be 'sum' or 'mean'")
    if reduction == "sum":
        return _map_sides(pair, lambda chosen, rejected: (chosen, rejected))
    if pair.chosen_length is None or pair.rejected_length is None:
        raise ValueError("reduction='mean' divides by the number of response tokens: give chosen_length and rejected_length")
    lengths = pair.chosen_length, pair.rejected_length
    return _map_sides(pair, lambda chosen, rejected: (chosen / lengths[0], rejected / lengths[1]))
