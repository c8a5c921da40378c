"""What a value says of two sides: which is better, that neither is, or by how much one is. Pure functions of one value."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from softpref.data.read_options import ReadOptions

FIRST, SECOND, TIE, BOTH_BAD = "first", "second", "tie", "both_bad"
# P(first side preferred) of a verdict. Two bad answers are equals as much as two good ones.
P_OF = {FIRST: 1.0, SECOND: 0.0, TIE: 0.5, BOTH_BAD: 0.5}
# fmt: off
_TIES = frozenset({
    "tie", "tied", "draw", "equal", "equals", "equally_good", "same", "the_same", "both", "both_good", "neither",
    "no_preference", "similar", "about_the_same",
})
_BOTH_BAD = frozenset({
    "both_bad", "bothbad", "tie_bothbad", "tie_both_bad", "both_are_bad", "equally_bad", "neither_good", "neither_is_good",
})
# fmt: on
_BEFORE_A_SIDE = ("model", "response", "answer", "assistant", "option", "candidate", "output", "completion", "system", "text")
_PAIRED = (("1", "2"), ("a", "b"), ("first", "second"), ("chosen", "rejected"), ("left", "right"), ("0", "1"))
# Steps of how much better, of three; HelpSteer and MultiPref have them.
STEPS = 3
_DEGREES = {
    **dict.fromkeys(("slightly", "marginally", "somewhat", "bit", "little", "weakly"), 1),
    **dict.fromkeys(("moderately", "better", "worse", "prefer", "preferred"), 2),
    **dict.fromkeys(("much", "significantly", "clearly", "strongly", "far", "definitely", "substantially"), 3),
}
_FILLERS = frozenset({"is", "are", "a", "the", "prefers", "i", "than", "very"}) | set(_DEGREES)
_SYMBOLS = re.compile(r"\s*(\w+)\s*(>{1,3}|<{1,3}|==?|~)\s*(\w+)\s*\Z")


def word_of(value: Any) -> str:
    """A value as one word: lower case, underscores between its parts, whole numbers without a point.

    >>> [word_of(value) for value in ("Tie (bothbad)", "A-is-better", 1.0, " Response 2")]
    ['tie_bothbad', 'a_is_better', '1', 'response_2']
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = re.sub(r"[^\w.+-]+|(?<=\w)-(?=\w)", "_", str(value).strip().casefold()).strip("_")
    return text[:-2] if re.fullmatch(r"-?\d+\.0", text) else text


@dataclass(frozen=True)
class SideNames:
    """The words by which values name the two sides of one file, each all in lower case."""

    words: Mapping[str, str]

    def verdict(self, value: Any) -> str | None:
        """FIRST, SECOND, TIE or BOTH_BAD; None where the value names none of them."""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return None
        return self.words.get(word_of(value))

    def verdicts(self, values: Iterable[Any]) -> set[str] | None:
        """The verdicts of all values; None where one of them names no side, or only numbers do and their meaning is open."""
        found = {self.verdict(value) for value in values}
        return None if None in found else {one for one in found if one is not None}


def side_names(first: str, second: str, options: ReadOptions) -> SideNames:
    """Names for sides with these columns: the user's own, or those that can mean only one side.

    1 and 2, and A and B, name the sides of any pair of columns but chosen and rejected, which are no places; 0 and 1 only where
    the columns are called so: elsewhere 1 may be the second place or a yes.
    """
    if options.winner_first is not None and options.winner_second is not None:
        given = {FIRST: options.winner_first, SECOND: options.winner_second}
        given |= {TIE: options.winner_tie} if options.winner_tie is not None else {}
        given |= {BOTH_BAD: options.winner_both_bad} if options.winner_both_bad is not None else {}
        return SideNames({word_of(value): verdict for verdict, value in given.items()})
    own = word_of(first), word_of(second)
    ends = _end(own[0]), _end(own[1])
    pairs = [pair for pair in _PAIRED if pair == ends or pair[0] not in ("chosen", "0")]
    if ends == ("0", "1"):
        pairs = [pair for pair in pairs if pair[0] != "1"]
    if ends == ("chosen", "rejected"):
        pairs = [("chosen", "rejected")]
    words = {**dict.fromkeys(_TIES, TIE), **dict.fromkeys(_BOTH_BAD, BOTH_BAD), own[0]: FIRST, own[1]: SECOND}
    for pair in pairs:
        for name, side in zip(pair, (FIRST, SECOND), strict=True):
            words[name] = side
            words |= dict.fromkeys([f"{before}{gap}{name}" for before in _BEFORE_A_SIDE for gap in ("_", "")], side)
    return SideNames(words)


def _end(column: str) -> str:
    return next((name for pair in _PAIRED for name in pair if re.search(rf"(?:\A|_|[a-z](?=\d)){name}\Z", column)), column)


def degree_of(value: Any, names: SideNames) -> tuple[str | None, int] | None:
    """The side that a phrase calls better, and by how many of three steps; None where it is no such phrase.

    The side is None where the phrase names none ("slightly better"), and TIE or BOTH_BAD with 0 steps where both are alike.
    """
    if not isinstance(value, str):
        return None
    if symbols := _SYMBOLS.match(value):
        return _compared(symbols[1], symbols[2], symbols[3], names)
    verdict = names.verdict(value)
    if verdict in (TIE, BOTH_BAD):
        return verdict, 0
    parts = re.sub(r"(?<![^_])a_(?=bit|little)", "", word_of(value)).split("_")
    parts = parts[: parts.index("than")] if "than" in parts else parts
    steps = [_DEGREES[part] for part in parts if part in _DEGREES]
    if not steps:
        return None
    plain = ("better", "worse", "prefer", "preferred")
    step = next((_DEGREES[part] for part in parts if part in _DEGREES and part not in plain), 2)
    side = _named("_".join(part for part in parts if part not in _FILLERS or part == "a" == parts[0]), names)
    if side == "":
        return None
    return (_other(side) if "worse" in parts else side), step


def _named(rest: str, names: SideNames) -> str | None:
    """The side that the rest of a phrase names, None where there is no rest, and '' where it names no side."""
    if not rest:
        return None
    side = names.verdict(rest)
    return side if side in (FIRST, SECOND) else ""


def _compared(left: str, sign: str, right: str, names: SideNames) -> tuple[str | None, int] | None:
    sides = names.verdict(left), names.verdict(right)
    if set(sides) != {FIRST, SECOND}:
        return None
    if sign[0] in "=~":
        return TIE, 0
    return (sides[0] if sign[0] == ">" else sides[1]), min(STEPS, len(sign) + 1) if len(sign) > 1 else 1


def _other(side: str | None) -> str | None:
    return {FIRST: SECOND, SECOND: FIRST}.get(side or "", side)


def number_of(value: Any) -> float | None:
    """A number, from a number or its text; None where it is neither. A boolean is 0 or 1."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


_YES_NO = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}


def number_or_yes(value: Any) -> float | None:
    """A number as ``number_of`` gives it, or the 0 or 1 of a yes or no in words, as CSV writes a boolean."""
    return _YES_NO.get(word_of(value), number_of(value)) if isinstance(value, str) else number_of(value)


SMALL, DISTINCT = 10, 21


def looks_like_verdict(values: Collection[Any], names: SideNames) -> bool:
    """Whether values could be somebody's verdict on a pair: they name sides, are numbers of a small range, or lists of such."""
    if not values:
        return False
    if all(isinstance(value, list) and value for value in values):
        return looks_like_verdict([one for value in values for one in value], names)
    if all(isinstance(value, dict) and value for value in values):
        return looks_like_verdict([one for value in values for one in value.values()], names)
    if all(names.verdict(value) is not None or degree_of(value, names) is not None for value in values):
        return True
    numbers = [number_or_yes(value) for value in values]
    return all(x is not None and abs(x) <= SMALL and (2 * x == int(2 * x) or 0 <= x <= 1) for x in numbers) and (
        len(set(numbers)) <= DISTINCT
    )
