"""Any number of pairs under one model, outside training: checked as a run is, in micro-batches, in the order given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from softpref.data.batching import default_tokens, micro_batches
from softpref.data.distinct import distinct_responses
from softpref.data.model_lengths import position_limit
from softpref.data.tokenization import TokenizedPair
from softpref.errors import InputError
from softpref.scoring.scores import PairScores, joined, of_sides, reordered
from softpref.scoring.self_check import checked_scorer, longest_sequence

if TYPE_CHECKING:
    from torch import nn


@torch.no_grad()
def score_all(model: nn.Module, pairs: Sequence[TokenizedPair], max_tokens: int | None = None) -> PairScores:
    """Scores of N pairs, without gradients, by the fastest way that gives this model's own numbers on the first of them.

    Each distinct response is computed once, however many pairs share it.

    Args:
        max_tokens: computed at a time; what suits the model's device if not given.

    Raises InputError for pairs that are longer than the model's table of positions.
    """
    if not pairs:
        return PairScores(*torch.zeros(4, 0))
    refuse_too_long(model, pairs)
    budget = max_tokens or default_tokens(next(model.parameters()).device.type)
    checked = checked_scorer(model, _first(pairs, budget)).checked_on(model, pairs)
    distinct = distinct_responses(pairs)
    batches = checked.micro_batches(distinct.singles(), budget)
    scores = joined([checked.scorer(model, batch) for batch in batches])
    scores = reordered(scores, torch.tensor([single.row for batch in batches for single in batch]))
    return of_sides(scores.chosen, scores.chosen_length, distinct.sides)


def _first(pairs: Sequence[TokenizedPair], max_tokens: int) -> list[TokenizedPair]:
    """The first pair, with those that share its prompt as far as they are computed together."""
    same = [pair for pair in pairs if pair.prompt == pairs[0].prompt]
    return next(batch for batch in micro_batches(same, max_tokens) if pairs[0] in batch)


def refuse_too_long(model: nn.Module, pairs: Sequence[TokenizedPair]) -> None:
    """Raises InputError for pairs that are longer than the model's table of positions."""
    limit = position_limit(model)
    long = [] if limit is None else [pair for pair in pairs if longest_sequence(pair) > limit]
    if long:
        rows = ", ".join(str(pair.row) for pair in long[:5])
        raise InputError(
            f"rows {rows}{', …' if len(long) > 5 else ''}: up to {max(map(longest_sequence, long)):,} tokens, and "
            f"{type(model).__name__} has positions for {limit:,}; shorten them or leave them out"
        )
