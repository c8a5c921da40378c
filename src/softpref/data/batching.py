"""One rank's share of an update becomes micro-batches of about equal cost. How it is split changes nothing that is learned."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from softpref.data.distinct import by_prompt, distinct_responses
from softpref.data.tokenization import TokenizedPair

# Enough tokens for full speed; more cost memory and bring nothing.
CPU_TOKENS, DEVICE_TOKENS = 2048, 16384


def default_tokens(device: str) -> int:
    """Tokens that are computed at a time on a kind of device ("cpu", "cuda", …) where nobody says otherwise."""
    return CPU_TOKENS if device == "cpu" else DEVICE_TOKENS


class Load(NamedTuple):
    """What rows ask to be computed, each prompt and each response to it counted once.

    Attributes:
        tokens: of the prompts and responses.
        sequences: responses, each of which is one padded sequence.
        longest: tokens of the longest prompt and response.
    """

    tokens: int = 0
    sequences: int = 0
    longest: int = 0

    def beside(self, other: Load) -> Load:
        """Of these rows and others, of other prompts."""
        return Load(self.tokens + other.tokens, self.sequences + other.sequences, max(self.longest, other.longest))


def load_of(rows: Sequence[TokenizedPair]) -> Load:
    """The load of rows that are computed together."""
    load, distinct = Load(), distinct_responses(rows)
    for prompt, responses in zip(distinct.prompts, distinct.responses, strict=True):
        sizes = [len(ids) for ids in responses]
        load = load.beside(Load(len(prompt) + sum(sizes), len(sizes), len(prompt) + max(sizes, default=0)))
    return load


def packed_tokens(load: Load) -> int:
    """Tokens without padding, each prompt once."""
    return load.tokens


def padded_tokens(load: Load) -> int:
    """Tokens as padded sequences, one for each response."""
    return load.sequences * load.longest


def micro_batches(
    rows: Sequence[TokenizedPair], max_tokens: int, cost: Callable[[Load], int] = packed_tokens
) -> list[list[TokenizedPair]]:
    """Rows by falling length, cut where the next would exceed the budget; a row beyond it is alone.

    Rows that share a prompt stay together where they fit into one micro-batch, else they are split among as many as it takes.
    The longest come first: what does not fit into memory shows at once.

    Args:
        max_tokens: of one micro-batch.
        cost: tokens that are computed for a load.
    """
    batches: list[list[TokenizedPair]] = []
    last = Load()
    loads = [(load_of(part), part) for group in by_prompt(rows) for part in _parts(group, max_tokens, cost)]
    for load, part in sorted(loads, key=lambda loaded: -loaded[0].tokens):
        both = last.beside(load)
        if batches and cost(both) <= max_tokens:
            batches[-1] += part
            last = both
        else:
            batches.append(list(part))
            last = load
    return batches


def _parts(group: Sequence[TokenizedPair], max_tokens: int, cost: Callable[[Load], int]) -> Iterator[list[TokenizedPair]]:
    """Rows of one prompt as they are where they fit; else in parts that do, rows that share responses side by side."""
    if len(group) == 1 or cost(load_of(group)) <= max_tokens:
        yield list(group)
        return
    sides = distinct_responses(group).sides
    part: list[TokenizedPair] = []
    for place in sorted(range(len(group)), key=lambda place: (max(sides[place]), min(sides[place]))):
        if part and cost(load_of([*part, group[place]])) > max_tokens:
            yield part
            part = []
        part.append(group[place])
    yield part
