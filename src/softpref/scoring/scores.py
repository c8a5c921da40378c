"""What every way of scoring gives, and what it is: the seam between the trainer and the paths behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Protocol

import torch

from softpref.core.pair import PairLogps
from softpref.data.tokenization import TokenizedPair

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class PairScores:
    """Both sides of B pairs under one model, each of shape (B,).

    Log-probs are sums over response tokens in nats, in fp32 (fp64 for an fp64 model); lengths are in tokens. A side that is
    not there (SFT has no rejected one) has log-prob 0 and length 1.
    """

    chosen: Tensor
    rejected: Tensor
    chosen_length: Tensor
    rejected_length: Tensor

    def like(self, other: PairScores) -> PairScores:
        """The same numbers, of another's type and on its device."""
        return PairScores(*(getattr(self, f.name).to(getattr(other, f.name)) for f in fields(self)))

    def against(self, reference: PairScores | None) -> PairLogps:
        """The policy's scores beside the reference's, as the losses take them."""
        ref_chosen, ref_rejected = (None, None) if reference is None else (reference.chosen, reference.rejected)
        return PairLogps(self.chosen, self.rejected, ref_chosen, ref_rejected, self.chosen_length, self.rejected_length)


def paired(sums: Tensor, lengths: Tensor, pairs: Sequence[TokenizedPair]) -> PairScores:
    """Sums and lengths of the R responses that are there, chosen before rejected, as scores of B pairs."""
    present = torch.tensor([[bool(pair.chosen), bool(pair.rejected)] for pair in pairs], device=sums.device)
    both_sums = sums.new_zeros(present.shape).masked_scatter(present, sums)
    both_lengths = lengths.new_ones(present.shape).masked_scatter(present, lengths)
    return PairScores(both_sums[:, 0], both_sums[:, 1], both_lengths[:, 0], both_lengths[:, 1])


def of_sides(sums: Tensor, lengths: Tensor, sides: Sequence[tuple[int, int]]) -> PairScores:
    """Sums and lengths of R distinct responses as scores of B pairs, whose ``sides`` are places among the R.

    Several sides may be one response: its gradient is the sum of theirs.
    """
    # the last place is that of a side that is not there (ABSENT)
    sums, lengths = torch.cat([sums, sums.new_zeros(1)]), torch.cat([lengths, lengths.new_ones(1)])
    places = torch.tensor(sides, dtype=torch.long, device=sums.device).reshape(-1, 2)
    return PairScores(sums[places[:, 0]], sums[places[:, 1]], lengths[places[:, 0]], lengths[places[:, 1]])


def joined(scores: Sequence[PairScores]) -> PairScores:
    """The scores of several batches, one after another."""
    return PairScores(*(torch.cat([getattr(one, f.name) for one in scores]) for f in fields(PairScores)))


def reordered(scores: PairScores, places: Tensor) -> PairScores:
    """The scores with what stands at i moved to ``places[i]``; places are (B,), each once."""
    back = places.argsort().to(scores.chosen.device)
    return PairScores(*(getattr(scores, f.name)[back] for f in fields(PairScores)))


class Scorer(Protocol):
    """A way of scoring. All ways give the same numbers; they differ in speed and memory."""

    def __call__(self, model: nn.Module, pairs: Sequence[TokenizedPair]) -> PairScores:
        """Scores of these pairs under this model, with gradients where they are on."""
        ...
