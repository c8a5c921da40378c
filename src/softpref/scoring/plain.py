"""The plain path: two padded sequences per pair. Slow, simple, and what every faster path is tested against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from softpref.data.tokenization import TokenizedPair
from softpref.scoring.scores import PairScores, paired

if TYPE_CHECKING:
    from torch import Tensor, nn


def pair_logps(model: nn.Module, pairs: Sequence[TokenizedPair]) -> PairScores:
    """Log-probs and lengths of both sides of B pairs under one model. A ``Scorer``; see ``PairScores``."""
    sequences = [(pair.prompt, side) for pair in pairs for side in (pair.chosen, pair.rejected) if side]
    sums, lengths = response_logps(model, sequences)
    return paired(sums, lengths, pairs)


def response_logps(model: nn.Module, sequences: Sequence[tuple[list[int], list[int]]]) -> tuple[Tensor, Tensor]:
    """Sum of log π(response token | all before it) for N (prompt, response) id lists: (N,) nats, and (N,) lengths.

    The naive form, per sequence::

        logits = model(prompt + response).logits
        sum(log_softmax(logits[t - 1])[ids[t]] for t in response positions)

    The log-softmax and the sum are computed in fp32 whatever the model's dtype: summed in bf16 the error is about one
    nat at 600 tokens.
    """
    device = next(model.parameters()).device
    input_ids, attention, response = padded(sequences)
    input_ids, attention, response = input_ids.to(device), attention.to(device), response.to(device)
    logits = model(input_ids=input_ids, attention_mask=attention, use_cache=False).logits
    scored = response[:, 1:]
    picked = logits[:, :-1][scored]
    picked = picked.float() if picked.dtype in (torch.bfloat16, torch.float16) else picked  # (M, V)
    logps = picked.gather(1, input_ids[:, 1:][scored][:, None]).squeeze(1) - picked.logsumexp(1)
    sequence_of = torch.arange(len(sequences), device=device)[:, None].expand_as(scored)[scored]
    sums = logps.new_zeros(len(sequences)).index_add(0, sequence_of, logps)
    return sums, response.sum(1).to(sums.dtype)


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
