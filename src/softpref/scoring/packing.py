"""Prompts and their responses as one row of tokens without padding, each prompt once where it is shared.

A row is a run of *spans*. A span continues what it names as its prefix, and sees that and itself, causally::

    share_prompt=True     [prompt a a a][b b b]                 the second span continues the prompt inside the first
    share_prompt=False    [prompt a a a][prompt b b b]          two spans without a prefix

The last token of a response predicts nothing, so it is not computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from torch import Tensor


class Group(NamedTuple):
    """Token ids of one prompt and the responses to it."""

    prompt: Sequence[int]
    responses: Sequence[Sequence[int]]


class Span(NamedTuple):
    """Tokens ``start:end`` of a row, which continue its tokens ``prefix_start:prefix_end``."""

    start: int
    end: int
    prefix_start: int
    prefix_end: int

    @property
    def prefix(self) -> int:
        """Tokens of the prefix."""
        return self.prefix_end - self.prefix_start


@dataclass(frozen=True, eq=False)
class PackedRow:
    """T tokens, and the M of them that predict a response token, of R responses in all.

    Attributes:
        ids: (1, T) token ids.
        positions: (1, T) position ids; they restart with every span's prefix, or at 0.
        spans: who sees whom; together they are the whole row, in order.
        predictors: (M,) columns whose next token is scored. The end of a shared prompt occurs once per response.
        targets: (M,) ids of the tokens that are scored.
        response_of: (M,) which response each of them belongs to.
        lengths: (R,) tokens of every response, in the order of the groups.
    """

    ids: Tensor
    positions: Tensor
    spans: tuple[Span, ...]
    predictors: Tensor
    targets: Tensor
    response_of: Tensor
    lengths: Tensor


def pack(groups: Sequence[Group], share_prompt: bool = True) -> PackedRow:
    """One row of all groups. The first token of a response to an empty prompt follows nothing and is not scored.

    >>> row = pack([Group([5, 6], [[7, 8, 2], [9, 2]])])
    ids         5 6 7 8 9        5, 6 are the prompt; 7 8 and 9 begin the responses, whose ends (2) predict nothing
    positions   0 1 2 3 2
    spans       (0, 4) and (4, 5) after (0, 2)
    predictors  1 2 3 | 1 4      targets 7 8 2 | 9 2
    """
    ids: list[int] = []
    positions: list[int] = []
    spans: list[Span] = []
    predictors: list[int] = []
    targets: list[int] = []
    lengths: list[int] = []
    scored: list[int] = []
    for group in groups:
        for piece in _pieces(group, len(ids), share_prompt):
            ids += piece.ids
            positions += range(piece.span.prefix, piece.span.prefix + len(piece.ids))
            if piece.ids:
                spans.append(piece.span)
            predictors += piece.predictors
            targets += piece.targets
            scored.append(len(piece.targets))
            lengths.append(piece.length)
    response_of = torch.repeat_interleave(torch.arange(len(scored)), torch.tensor(scored, dtype=torch.long))
    return PackedRow(
        torch.tensor([ids], dtype=torch.long),
        torch.tensor([positions], dtype=torch.long),
        tuple(spans),
        torch.tensor(predictors, dtype=torch.long),
        torch.tensor(targets, dtype=torch.long),
        response_of,
        torch.tensor(lengths, dtype=torch.long),
    )


class _Piece(NamedTuple):
    ids: list[int]
    span: Span
    predictors: list[int]
    targets: list[int]
    length: int


def _pieces(group: Group, start: int, share_prompt: bool) -> Iterator[_Piece]:
    """What each response of a group adds to a row that is ``start`` tokens long."""
    prompt = list(group.prompt)
    first = start
    for i, response in enumerate(map(list, group.responses)):
        continues = share_prompt and i > 0
        computed = response[:-1] if continues else prompt + response[:-1]
        prompt_start = first if share_prompt else start
        prefix_end = prompt_start + len(prompt) if continues else prompt_start
        own = start if continues else start + len(prompt)
        predictors = list(range(own, own + len(response[:-1])))
        if prompt and response:
            predictors.insert(0, prompt_start + len(prompt) - 1)
        targets = response if prompt else response[1:]
        yield _Piece(computed, Span(start, start + len(computed), prompt_start, prefix_end), predictors, targets, len(response))
        start += len(computed)
