"""The distinct prompts and responses of a batch of pairs: what several pairs share needs to be computed only once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from softpref.data.tokenization import TokenizedPair

ABSENT = -1


class DistinctResponses(NamedTuple):
    """P distinct prompts, and the R distinct responses to them.

    Attributes:
        prompts: (P,) token ids, in the order in which the pairs name them first.
        responses: (P,) per prompt the token ids of its responses, each once.
        sides: (B,) per pair the places of its chosen and its rejected response among all R, counted prompt after prompt;
            ``ABSENT`` for a side that is not there.
    """

    prompts: list[list[int]]
    responses: list[list[list[int]]]
    sides: list[tuple[int, int]]

    def singles(self) -> list[TokenizedPair]:
        """Each of the R responses as a pair without a rejected side; its ``row`` is its place."""
        flat = [(prompt, ids) for prompt, several in zip(self.prompts, self.responses, strict=True) for ids in several]
        return [TokenizedPair(prompt, ids, [], None, 1.0, place) for place, (prompt, ids) in enumerate(flat)]


def distinct_responses(pairs: Sequence[TokenizedPair]) -> DistinctResponses:
    """What has to be computed for B pairs. A response counts as the same only after the same prompt.

    Three pairs of three responses to prompt [5], and one pair whose response [7] follows another prompt::

        >>> distinct_responses([([5], [7], [8]), ([5], [7], [9, 2]), ([5], [9, 2], [8]), ([6], [7], [])])
        prompts    [[5], [6]]
        responses  [[[7], [8], [9, 2]], [[7]]]
        sides      [(0, 1), (0, 2), (2, 1), (3, ABSENT)]
    """
    groups: dict[tuple[int, ...], dict[tuple[int, ...], int]] = {}
    local: list[tuple[tuple[int, ...], int, int]] = []
    for pair in pairs:
        prompt = tuple(pair.prompt)
        own = groups.setdefault(prompt, {})
        chosen, rejected = (own.setdefault(tuple(ids), len(own)) if ids else ABSENT for ids in (pair.chosen, pair.rejected))
        local.append((prompt, chosen, rejected))
    starts = dict(zip(groups, accumulate(map(len, groups.values()), initial=0), strict=False))
    sides = [(_place(starts[prompt], chosen), _place(starts[prompt], rejected)) for prompt, chosen, rejected in local]
    return DistinctResponses(list(map(list, groups)), [list(map(list, own)) for own in groups.values()], sides)


def _place(start: int, local: int) -> int:
    return ABSENT if local == ABSENT else start + local


def by_prompt(rows: Sequence[TokenizedPair]) -> list[list[TokenizedPair]]:
    """The rows in groups of one prompt each; groups, and rows within one, in the order given."""
    groups: dict[tuple[int, ...], list[TokenizedPair]] = {}
    for row in rows:
        groups.setdefault(tuple(row.prompt), []).append(row)
    return list(groups.values())
