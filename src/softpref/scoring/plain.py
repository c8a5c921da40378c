"""The plain path: one padded sequence for each response. Slow, simple, and what every faster path is tested against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from softpref.data.distinct import distinct_responses
from softpref.data.model_lengths import alike, reset_ropes
from softpref.data.tokenization import TokenizedPair
from softpref.scoring.scores import PairScores, of_sides, paired

if TYPE_CHECKING:
    from torch import Tensor, nn


Sequences: TypeAlias = "Sequence[tuple[list[int], list[int]]]"
# Lengths of N sequences → their places, in groups that are computed together.
Grouping: TypeAlias = "Callable[[nn.Module, Sequence[int]], list[list[int]]]"


def pair_logps(model: nn.Module, pairs: Sequence[TokenizedPair]) -> PairScores:
    """Log-probs and lengths of both sides of B pairs under one model. A ``Scorer``; see ``PairScores``.

    A response that several sides share is computed once.
    """
    return _distinct_logps(model, pairs, alike)


def lone_logps(model: nn.Module, pairs: Sequence[TokenizedPair]) -> PairScores:
    """A ``Scorer`` that computes every response by itself, so that nothing depends on other rows or on padding."""
    return _distinct_logps(model, pairs, alone)


def every_side_logps(model: nn.Module, pairs: Sequence[TokenizedPair]) -> PairScores:
    """A ``Scorer`` that computes every side of every pair, shared or not: for what counts the tokens that a model reads."""
    sides = [(pair.prompt, side) for pair in pairs for side in (pair.chosen, pair.rejected) if side]
    return paired(*response_logps(model, sides), pairs)


def _distinct_logps(model: nn.Module, pairs: Sequence[TokenizedPair], grouping: Grouping) -> PairScores:
    distinct = distinct_responses(pairs)
    sequences = [(single.prompt, single.chosen) for single in distinct.singles()]
    return of_sides(*response_logps(model, sequences, grouping), distinct.sides)


def alone(_: nn.Module, lengths: Sequence[int]) -> list[list[int]]:
    """Every sequence in a group of its own."""
    return [[place] for place in range(len(lengths))]


def response_logps(model: nn.Module, sequences: Sequences, grouping: Grouping = alike) -> tuple[Tensor, Tensor]:
    """Sum of log π(response token | all before it) for N (prompt, response) id lists: (N,) nats, and (N,) lengths.

    The naive form, per sequence::

        logits = model(prompt + response).logits
        sum(log_softmax(logits[t - 1])[ids[t]] for t in response positions)

    The log-softmax and the sum are computed in fp32 whatever the model's dtype: summed in bf16 the error is about one
    nat at 600 tokens. Sequences that have another rope each (``alike``) have a forward each.
    """
    groups = grouping(model, [len(prompt) + len(response) for prompt, response in sequences])
    reset_ropes(model)
    sums = []
    for i, group in enumerate(groups):
        with without_sync(model) if i + 1 < len(groups) else nullcontext():
            sums.append(_padded_sums(model, [sequences[place] for place in group]))
        if len(groups) > 1:
            reset_ropes(model)
    device = sums[0].device
    order = torch.tensor([place for group in groups for place in group], device=device).argsort()
    lengths = torch.tensor([len(response) for _, response in sequences], device=device, dtype=sums[0].dtype)
    return torch.cat(sums)[order], lengths


def without_sync(model: nn.Module) -> AbstractContextManager[Any]:
    """Of several forwards before one backward pass, data parallelism prepares the last alone."""
    # asked of the class: an adapter's wrapper would look into its base
    return model.no_sync() if hasattr(type(model), "no_sync") else nullcontext()  # type: ignore[operator]


def _padded_sums(model: nn.Module, sequences: Sequences) -> Tensor:
    """(N,) sums of log-probs in nats, of sequences padded to the longest."""
    device = next(model.parameters()).device
    input_ids, attention, response = (table.to(device) for table in padded(sequences))
    logits: Tensor = model(input_ids=input_ids, attention_mask=attention, use_cache=False).logits
    # a learned prompt stands before all ids, and has logits too
    logits = logits[:, -input_ids.shape[1] :]
    scored = response[:, 1:]
    picked = logits[:, :-1][scored]
    picked = picked.float() if picked.dtype in (torch.bfloat16, torch.float16) else picked  # (M, V)
    logps = picked.gather(1, input_ids[:, 1:][scored][:, None]).squeeze(1) - picked.logsumexp(1)
    sequence_of = torch.arange(len(sequences), device=device)[:, None].expand_as(scored)[scored]
    return logps.new_zeros(len(sequences)).index_add(0, sequence_of, logps)


def padded(sequences: Sequence[tuple[list[int], list[int]]]) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, attention mask and response mask, each (N, T), padded on the right.

    >>> padded([([5, 6], [7]), ([5], [8, 9, 2])])        # prompt ids, response ids
    ids       [[5, 6, 7, 0], [5, 8, 9, 2]]
    attention [[1, 1, 1, 0], [1, 1, 1, 1]]
    response  [[0, 0, 1, 0], [0, 1, 1, 1]]

    The id under padding is 0: no position attends to it and none is scored.
    """
    longest = max(len(prompt) + len(response) for prompt, response in sequences)
    ids = torch.zeros(len(sequences), longest, dtype=torch.long)
    attention, response_mask = torch.zeros_like(ids), torch.zeros(ids.shape, dtype=torch.bool)
    for i, (prompt, response) in enumerate(sequences):
        end = len(prompt) + len(response)
        ids[i, :end] = torch.tensor(prompt + response)
        attention[i, :end] = 1
        response_mask[i, len(prompt) : end] = True
    return ids, attention, response_mask
