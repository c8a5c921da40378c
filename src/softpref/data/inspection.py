"""What a data set looks like before anything is spent on it."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from softpref.data.pairs import PairSet, PreferencePair, text_of, word_count

LABEL_BINS = 20
LENGTH_QUANTILES = (0.0, 0.5, 0.9, 1.0)
# A length this many times the median is shown as odd.
FAR_FROM_MEDIAN = 10


def label_summary(pairs: Sequence[PreferencePair]) -> dict[str, Any]:
    """Histogram of p in equal bins over [0, 1] (the last includes 1), mean |2p − 1|, and exact ties."""
    labels = [pair.soft_label for pair in pairs if pair.soft_label is not None]
    histogram = [0] * LABEL_BINS
    for p in labels:
        histogram[min(int(p * LABEL_BINS), LABEL_BINS - 1)] += 1
    return {
        "histogram": histogram,
        "effective_weight": statistics.fmean(abs(2 * p - 1) for p in labels) if labels else None,
        "ties": sum(p == 0.5 for p in labels),
    }


@dataclass(frozen=True)
class Odd:
    """Something in the data that is allowed and worth a look: how many rows, and the first of them."""

    what: str
    count: int
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Inspection:
    """A data set described: sizes, labels, lengths in words, and what is odd."""

    name: str
    pairs: int
    prompts: int
    labels: dict[str, Any]
    lengths: dict[str, tuple[float, ...]]
    longer_is_chosen: float | None
    odd: tuple[Odd, ...]


def inspect_pairs(pairs: PairSet) -> Inspection:
    """Describe a data set. ``lengths`` are quantiles 0, 0.5, 0.9 and 1 in words; nothing is tokenised."""
    words = {side: [word_count(getattr(pair, side)) for pair in pairs] for side in ("prompt", "chosen", "rejected")}
    decided = [
        (len_chosen > len_rejected, len_chosen != len_rejected)
        for pair, len_chosen, len_rejected in zip(pairs, words["chosen"], words["rejected"], strict=True)
        if pair.soft_label != 0.5
    ]
    unequal = [longer for longer, differ in decided if differ]
    return Inspection(
        name=pairs.name,
        pairs=len(pairs),
        prompts=len({text_of(pair.prompt) for pair in pairs}),
        labels=label_summary(pairs),
        lengths={side: _quantiles(counts) for side, counts in words.items() if counts},
        longer_is_chosen=statistics.fmean(unequal) if unequal else None,
        odd=tuple(odd for odd in _odd(pairs, words) if odd.count),
    )


def _odd(pairs: Sequence[PreferencePair], words: dict[str, list[int]]) -> list[Odd]:
    seen = Counter(_texts(pair) for pair in pairs)
    reversed_twins = {(prompt, b, a) for prompt, a, b in seen} & set(seen)
    responses = [n for side in ("chosen", "rejected") for n in words[side]]
    limit = FAR_FROM_MEDIAN * max(1.0, statistics.median(responses)) if responses else 0
    longest = [max(a, b) for a, b in zip(words["chosen"], words["rejected"], strict=True)]
    return [
        _collect("empty prompt", pairs, [not text_of(pair.prompt).strip() for pair in pairs]),
        _collect("empty response", pairs, [not all(map(str.strip, _texts(pair)[1:])) for pair in pairs]),
        _collect("the same pair more than once", pairs, [seen[_texts(pair)] > 1 for pair in pairs]),
        _collect("the same pair with both preferences", pairs, [_texts(pair) in reversed_twins for pair in pairs]),
        _collect("weight 0: teaches nothing", pairs, [pair.weight == 0 for pair in pairs]),
        _collect(f"a response over {FAR_FROM_MEDIAN} times the median length", pairs, [n > limit for n in longest]),
        _collect("the replacement character \ufffd (text was decoded wrongly)", pairs, [_garbled(pair) for pair in pairs]),
    ]


def _collect(what: str, pairs: Sequence[PreferencePair], flags: list[bool]) -> Odd:
    rows = [pair.row for pair, flag in zip(pairs, flags, strict=True) if flag]
    return Odd(what, len(rows), tuple(rows[:5]))


def _texts(pair: PreferencePair) -> tuple[str, str, str]:
    return text_of(pair.prompt), text_of(pair.chosen), text_of(pair.rejected)


def _garbled(pair: PreferencePair) -> bool:
    return any("\ufffd" in text for text in _texts(pair))


def _quantiles(counts: list[int]) -> tuple[float, ...]:
    ordered = sorted(counts)
    return tuple(float(ordered[round(q * (len(ordered) - 1))]) for q in LENGTH_QUANTILES)
