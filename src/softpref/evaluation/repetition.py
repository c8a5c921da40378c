"""How much a response repeats itself. Words are what white space separates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from softpref.records.figures import RepetitionFigures


def distinct(words: Sequence[str], n: int) -> float:
    """Different n-grams / all n-grams of one response (the distinct-n of Li et al. 2016); nan where it has none."""
    grams = list(zip(*(words[i:] for i in range(n)), strict=False))
    return len(set(grams)) / len(grams) if grams else float("nan")


def longest_repeat(words: Sequence[str]) -> int:
    """Words in the longest run that stands in the response twice; the two may overlap, so "a a a" repeats "a a".

    A run that repeats has shorter ones that do, so its length is found by halving.
    """
    low, high = 0, max(len(words) - 1, 0)
    while low < high:
        middle = (low + high + 1) // 2
        if _repeats(words, middle):
            low = middle
        else:
            high = middle - 1
    return low


def _repeats(words: Sequence[str], n: int) -> bool:
    grams = list(zip(*(words[i:] for i in range(n)), strict=False))
    return len(set(grams)) < len(grams)


def repetition(responses: Sequence[str]) -> RepetitionFigures:
    """Means over the responses of distinct 1-, 2- and 3-grams and of the longest repeat.

    Responses too short to have an n-gram are left out of its mean; None where all are.
    """
    texts = [response.split() for response in responses]
    one, two, three = (_mean_of_defined([distinct(words, n) for words in texts]) for n in (1, 2, 3))
    return RepetitionFigures(one, two, three, float(np.mean([longest_repeat(words) for words in texts])))


def _mean_of_defined(values: Sequence[float]) -> float | None:
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else None
