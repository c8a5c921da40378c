"""The fast path proves itself on the first rows of a run, against the plain path; where it cannot, the plain path is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from softpref.data.batching import micro_batches, packed_tokens, padded_tokens
from softpref.data.tokenization import TokenizedPair
from softpref.errors import OptionError
from softpref.scoring.attention import CannotPackError
from softpref.scoring.plain import pair_logps
from softpref.scoring.scores import PairScores, Scorer, joined
from softpref.scoring.shared_prefix import PackedScorer

if TYPE_CHECKING:
    from torch import nn

# Nats per √token by which two ways of scoring a response may differ. Rounding errors of tokens add up like a random walk;
# a wrong mask or a head that is not understood is beyond these by orders of magnitude.
TOLERANCE = {torch.float64: 1e-6, torch.float32: 2e-3, torch.bfloat16: 0.2, torch.float16: 0.05}

SHARING = ("auto", "on", "off")


@dataclass(frozen=True)
class CheckedScorer:
    """The way of scoring that a run takes, and why.

    Attributes:
        scorer: the fast path, or the plain one.
        difference: largest difference of a response's log-prob between the two, in nats; None where there was no check.
        notice: one sentence for the user.
    """

    scorer: Scorer
    difference: float | None
    notice: str

    def micro_batches(self, rows: Sequence[TokenizedPair], max_tokens: int) -> list[list[TokenizedPair]]:
        """The rows split by the tokens that this way of scoring computes."""
        return micro_batches(rows, max_tokens, packed_tokens if self.packed else padded_tokens)

    @property
    def packed(self) -> bool:
        """Whether this is the fast path."""
        return isinstance(self.scorer, PackedScorer)


def checked_scorer(model: nn.Module, pairs: Sequence[TokenizedPair], prefix_sharing: str = "auto") -> CheckedScorer:
    """The fastest way of scoring that gives this model's own numbers on these pairs.

    Args:
        prefix_sharing: ``auto``; ``on``, where a model that cannot be scored so is an error; ``off``.

    Raises OptionError where the fast path is asked for and wrong or impossible.
    """
    if prefix_sharing == "off":
        return CheckedScorer(pair_logps, None, "every prompt is computed twice (prefix_sharing is off)")
    try:
        found = _agreeing(model, pairs)
    except torch.OutOfMemoryError:
        raise
    except (CannotPackError, TypeError, ValueError, RuntimeError) as error:
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        found = CheckedScorer(pair_logps, None, f"every prompt is computed twice, on the plain path: {why}")
    if prefix_sharing == "on" and not found.packed:
        raise OptionError(f"prefix_sharing is 'on', but {found.notice}; leave it at 'auto'")
    return found


def _agreeing(model: nn.Module, pairs: Sequence[TokenizedPair]) -> CheckedScorer:
    plain = one_by_one(model, pairs)
    worst = 0.0
    for scorer, means in (
        (PackedScorer(), "each prompt is computed once"),
        (PackedScorer(chunked_head=False), "each prompt is computed once, with the model's own head"),
    ):
        with torch.no_grad():
            nats, per_root_token = difference(scorer(model, pairs), plain)
        if per_root_token <= tolerance(model):
            return CheckedScorer(
                scorer,
                nats,
                f"{means}; on the first {len(pairs)} pairs log-probs differ from the plain path's by at most {nats:.2g} nats",
            )
        worst = max(worst, nats)
    return CheckedScorer(
        pair_logps,
        worst,
        f"every prompt is computed twice, on the plain path: sharing it changed log-probs by up to {worst:.2g} nats",
    )


@torch.no_grad()
def one_by_one(model: nn.Module, pairs: Sequence[TokenizedPair]) -> PairScores:
    """The plain path with one pair at a time, which needs the least memory."""
    return joined([pair_logps(model, [pair]) for pair in pairs])


def difference(ours: PairScores, theirs: PairScores) -> tuple[float, float]:
    """Largest difference of a response's log-prob, in nats and in nats per √token; infinite where one is not finite."""
    gaps = torch.stack([ours.chosen - theirs.chosen, ours.rejected - theirs.rejected]).abs()
    roots = torch.stack([theirs.chosen_length, theirs.rejected_length]).clamp_min(1).sqrt()
    gaps = torch.where(gaps.isfinite(), gaps, torch.inf)
    return float(gaps.max()), float((gaps / roots).max())


def tolerance(model: nn.Module) -> float:
    """Nats per √token that rounding may make of the same log-probs, in the precision that this model computes in now."""
    parameter = next(model.parameters())
    kind = parameter.device.type
    return TOLERANCE[torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else parameter.dtype]
