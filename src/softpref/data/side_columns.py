"""Which columns of a file hold the two sides, or more responses, and which hold a number about each side."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

SIDES = (("chosen", "rejected"), ("response_1", "response_2"))
_STEMS = ("response", "answer", "completion", "output", "candidate", "reply", "generation", "summary", "text")
_ENDS = (("1", "2"), ("a", "b"), ("0", "1"), ("left", "right"), ("first", "second"))
LISTS = ("responses", "completions", "answers", "candidates", "generations", "outputs")
_METRICS = ("rating", "score", "reward", "grade")


@dataclass(frozen=True)
class SideColumns:
    """The two columns of the sides by the file's names, and by ours: chosen and rejected, or response_1 and response_2."""

    names: tuple[str, str]
    ours: tuple[str, str]

    @property
    def ranked(self) -> bool:
        """Whether the names themselves say which side is better."""
        return self.ours == SIDES[0]


def side_columns(columns: Iterable[str]) -> list[SideColumns]:
    """Every pair of columns that may be the sides: ours, or if there are none, answer_a and answer_b and their like."""
    present = set(columns)
    by_shape = {_shape(column): column for column in present}
    from_0 = ("response", "0") in by_shape and "response_2" not in present
    ours = [SideColumns(sides, sides) for sides in SIDES if present & set(sides) and not (from_0 and sides == SIDES[1])]
    if ours:
        return ours
    return [
        SideColumns((by_shape[stem, ends[0]], by_shape[stem, ends[1]]), SIDES[1])
        for stem in _STEMS
        for ends in _ENDS
        if (stem, ends[0]) in by_shape and (stem, ends[1]) in by_shape and (ends[0] == "0" or (stem, "0") not in by_shape)
    ][:1]


def numbered_responses(columns: Iterable[str]) -> list[str]:
    """Columns response_1, response_2, response_3, …: three or more, in order; none where there are fewer."""
    for stem in _STEMS:
        found = {end: column for column in columns if (shape := _shape(column))[0] == stem and (end := shape[1])}
        for alphabet in ("123456789", "abcdefgh", "012345678"):
            named = [found[end] for end in alphabet if end in found]
            if len(named) > 2 and len(named) == len(found) and alphabet[0] in found:
                return named
    return []


def _shape(column: str) -> tuple[str, str]:
    """``response_a``, ``responseA`` and ``Response A`` as their parts; no stem where it has no such shape.

    >>> _shape("answer-B")
    ('answer', 'b')
    """
    shape = re.fullmatch(r"([a-z]+?)[ _.-]?([0-9a-h]|left|right|first|second)", column.strip().casefold())
    return (shape[1], shape[2]) if shape and shape[1] in _STEMS else ("", column)


def number_columns(columns: Iterable[str], sides: SideColumns) -> list[tuple[str, str]]:
    """Pairs of columns with a rating, score, reward or grade of either side: rating_1 and rating_2, say."""
    by_word = {_word(column): column for column in columns}
    found = []
    for metric in _METRICS:
        for first, second in _words_of(sides):
            for pattern in ("{metric}_{side}", "{side}_{metric}", "{metric}_of_{side}", "{metric}{side}"):
                pair = [by_word.get(pattern.format(metric=metric, side=side)) for side in (first, second)]
                if pair[0] is not None and pair[1] is not None:
                    found.append((pair[0], pair[1]))
    return list(dict.fromkeys(found))


def _words_of(sides: SideColumns) -> list[tuple[str, str]]:
    names = _word(sides.names[0]), _word(sides.names[1])
    ends = _shape(sides.names[0])[1], _shape(sides.names[1])[1]
    return list(dict.fromkeys([names, ends if ends in _ENDS else names]))


def _word(column: str) -> str:
    return re.sub(r"[ .-]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column)).casefold()
