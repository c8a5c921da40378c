"""A way of scoring proves itself on the first rows of a run, against every response alone, and again on longer rows.

The ways are tried from the fastest on. Windows, chunks and ropes show only in rows that are long enough, so that what agrees
on short rows is checked again where rows pass a length that the configuration names, and where they are twice as long as any
before: the longest of them together with a short one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from softpref.data.batching import micro_batches, packed_tokens, padded_tokens
from softpref.data.model_lengths import one_rope_length, shows_more, thresholds
from softpref.data.tokenization import TokenizedPair
from softpref.errors import OptionError, first_line
from softpref.scoring.attention import CannotPackError, causal_lm
from softpref.scoring.plain import lone_logps, pair_logps
from softpref.scoring.scores import PairScores, Scorer, joined
from softpref.scoring.shared_prefix import PackedScorer

if TYPE_CHECKING:
    from torch import nn

# Nats per √token by which two ways of scoring a response may differ. Rounding errors of tokens add up like a random walk;
# a wrong mask or a head that is not understood is beyond these by orders of magnitude.
TOLERANCE = {torch.float64: 1e-6, torch.float32: 2e-3, torch.bfloat16: 0.2, torch.float16: 0.05}

SHARING = ("auto", "on", "off")


# The ways of scoring, fastest first, and what a run says of each.
WAYS: tuple[tuple[Scorer, str], ...] = (
    (PackedScorer(), "each prompt is computed once"),
    (PackedScorer(chunked_head=False), "each prompt is computed once, with the model's own head"),
    (pair_logps, "every prompt is computed twice, on the plain path"),
    (lone_logps, "every response is computed by itself"),
)


@dataclass(frozen=True)
class CheckedScorer:
    """The way of scoring that a run takes, and why.

    Attributes:
        scorer: the fast path, the plain one, or each response alone.
        difference: largest difference of a response's log-prob between the fast path and responses alone, in nats; None
            where there was no check.
        notice: one sentence for the user.
        checks: False for a way that is taken unchecked, as it was asked for.
        longest: tokens of the longest sequence that was checked.
        company: a short pair, with which longer ones are checked.
        together: tokens up to which rows may be computed together, where the model's rope depends on the longest one.
    """

    scorer: Scorer
    difference: float | None
    notice: str
    checks: bool = True
    longest: int = 0
    company: TokenizedPair | None = None
    together: int | None = None

    def micro_batches(self, rows: Sequence[TokenizedPair], max_tokens: int) -> list[list[TokenizedPair]]:
        """The rows split by the tokens that this way of scoring computes; each batch is computed in one way."""
        packed = [row for row in rows if self.packs([row])]
        padded = [row for row in rows if not self.packs([row])]
        return [*micro_batches(padded, max_tokens, padded_tokens), *micro_batches(packed, max_tokens, packed_tokens)]

    @property
    def packed(self) -> bool:
        """Whether this is the fast path."""
        return isinstance(self.scorer, PackedScorer)

    def packs(self, rows: Sequence[TokenizedPair]) -> bool:
        """Whether these rows are computed on the fast path."""
        return self.packed and (self.together is None or max(map(longest_sequence, rows), default=0) <= self.together)

    def checked_on(self, model: nn.Module, pairs: Sequence[TokenizedPair], prefix_sharing: str = "auto") -> CheckedScorer:
        """This way of scoring where it holds for these pairs too, else the next one that does.

        Raises OptionError where the fast path is asked for and wrong.
        """
        own = [pair for pair in pairs if not self.packed or self.packs([pair])]
        long = max(own, key=longest_sequence, default=None)
        if long is None or not self.checks or not shows_more(longest_sequence(long), self.longest, thresholds(model)):
            return self
        start = [scorer for scorer, _ in WAYS].index(self.scorer)
        both = [long, *_siblings(long, own), *([] if self.company is None else [self.company])]
        again = _first_agreeing(model, both, f"on a row of {longest_sequence(long)} tokens", start)
        if again.scorer == self.scorer:
            return replace(self, longest=longest_sequence(long), company=self.company or long)
        return _asked_for(replace(again, company=self.company), prefix_sharing)


def _siblings(pair: TokenizedPair, pairs: Sequence[TokenizedPair]) -> list[TokenizedPair]:
    """One pair of the same prompt with a response that this one lacks, where there is one: a prompt of more than two."""
    own = (pair.chosen, pair.rejected)
    others = (one for one in pairs if one.prompt == pair.prompt and not (one.chosen in own and one.rejected in own))
    return [one for one in [next(others, None)] if one is not None]


def longest_sequence(pair: TokenizedPair) -> int:
    """Tokens of the prompt and the longer response."""
    return len(pair.prompt) + max(len(pair.chosen), len(pair.rejected))


def checked_scorer(model: nn.Module, pairs: Sequence[TokenizedPair], prefix_sharing: str = "auto") -> CheckedScorer:
    """The fastest way of scoring that gives this model's own numbers on these pairs.

    Args:
        prefix_sharing: ``auto``; ``on``, where a model that cannot be scored so is an error; ``off``.

    Raises OptionError where the fast path is asked for and wrong or impossible.
    """
    if prefix_sharing == "off":
        return plain_scorer("prefix_sharing is off")
    found = _first_agreeing(model, pairs, f"on the first {len(pairs)} pairs")
    return _asked_for(found, prefix_sharing)


def plain_scorer(why: str, scorer: Scorer = pair_logps) -> CheckedScorer:
    """The plain path, unchecked."""
    return CheckedScorer(scorer, None, f"every prompt is computed twice ({why})", checks=False)


def _asked_for(found: CheckedScorer, prefix_sharing: str) -> CheckedScorer:
    if prefix_sharing == "on" and not found.packed:
        raise OptionError(f"prefix_sharing is 'on', but {found.notice}; leave it at 'auto'")
    return found


def _first_agreeing(model: nn.Module, pairs: Sequence[TokenizedPair], place: str, start: int = 0) -> CheckedScorer:
    """The first of the ways, from ``start`` on, that gives the log-probs of every response alone."""
    together = one_rope_length(model)
    # rows of another rope are computed on the plain path, and would show nothing of the fast one
    pairs = [pair for pair in pairs if together is None or longest_sequence(pair) <= together] or pairs
    right, failure = one_by_one(model, pairs), _Failure()
    for scorer, means in WAYS[start:-1]:
        nats = failure.of(model, pairs, scorer, right)
        if nats is not None:
            packs = isinstance(scorer, PackedScorer)
            why = f"; {place} log-probs differ from the plain path's by at most {nats:.2g} nats" if packs else failure.reason
            return _found(pairs, together, scorer, nats if packs else failure.nats, f"{means}{why}")
    scorer, means = WAYS[-1]
    why = f"; in company, {place}, log-probs changed by {failure.nats or 0:.2g} nats"
    return _found(pairs, together, scorer, failure.nats, f"{means}{why}")


def _found(
    pairs: Sequence[TokenizedPair], together: int | None, scorer: Scorer, nats: float | None, notice: str
) -> CheckedScorer:
    short = min(pairs, key=longest_sequence)
    longest = max(map(longest_sequence, pairs))
    checked = CheckedScorer(scorer, nats, notice, longest=longest, company=short, together=together)
    # where no row was on the fast path, the first that is has to be checked
    return replace(checked, longest=0, company=None) if checked.packed and not checked.packs([short]) else checked


@dataclass
class _Failure:
    """Why ways of scoring failed so far: an error, or the nats by which they were off."""

    nats: float | None = None
    reason: str = ""

    def of(self, model: nn.Module, pairs: Sequence[TokenizedPair], scorer: Scorer, right: PairScores) -> float | None:
        """Nats by which this way differs, if that is rounding; else None, and why is noted."""
        try:
            with torch.no_grad():
                nats, per_root_token = difference(scorer(model, pairs), right)
        except torch.OutOfMemoryError:
            raise
        except (CannotPackError, TypeError, ValueError, RuntimeError) as error:
            if not isinstance(scorer, PackedScorer):
                raise
            self.reason = ": " + first_line(error)
            return None
        if per_root_token <= tolerance(model):
            return nats
        self.nats = max(self.nats or 0.0, nats)
        self.reason = f": sharing it changed log-probs by up to {self.nats:.2g} nats"
        return None


@torch.no_grad()
def one_by_one(model: nn.Module, pairs: Sequence[TokenizedPair]) -> PairScores:
    """Every response by itself, which is right whatever the model does with length, and needs the least memory."""
    return joined([lone_logps(model, [pair]) for pair in pairs])


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
    quantization = getattr(getattr(causal_lm(model), "config", None), "quantization_config", None)
    if quantization is not None:
        # weights in 4 bits are computed with in a dtype of their own, all others in half precision
        compute = getattr(quantization, "bnb_4bit_compute_dtype", None) if getattr(quantization, "load_in_4bit", False) else None
        return TOLERANCE.get(compute or torch.bfloat16, TOLERANCE[torch.bfloat16])
    return TOLERANCE[torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else parameter.dtype]
