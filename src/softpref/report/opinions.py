"""Who said what of a pair: named judges or people, and votes without names, from the columns that hold them.

An opinion is P(the file's first side is preferred). It may stand as that number; as counts ``[first, second]`` or
``[first, neither, second]``; or, by name, as a mapping of either.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from softpref.data.pairs import PreferencePair
from softpref.errors import DataError, Fault, OptionError

# Where softpref label records what each of several judges said.
OWN_JUDGES = "label_source.judges"
MEND = "give P(first side preferred), counts [first, second] or [first, neither, second], or a mapping of those by name"


@dataclass(frozen=True)
class Opinions:
    """For N pairs: by name the N opinions, None where somebody has none; and N counts (first, second, neither) of votes."""

    by_name: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    votes: Sequence[tuple[float, float, float] | None] = ()


def read_opinions(pairs: Sequence[PreferencePair], paths: Sequence[str], name: str) -> Opinions:
    """From columns or paths below ``meta`` and ``label_source``; pairs have their sides as the file has them.

    Votes and judges that labels were made of are found without being named.

    Raises:
        DataError: every value that is no opinion, by row and path.
        OptionError: a path that no row holds.
    """
    faults: list[Fault] = []
    by_name: dict[str, list[float | None]] = {}
    votes: list[tuple[float, float, float] | None] = [_own_votes(pair) for pair in pairs]
    made_of = [OWN_JUDGES] if any(at(pair, OWN_JUDGES) for pair in pairs) else []
    for path in dict.fromkeys([*made_of, *paths]):
        values = [at(pair, path) for pair in pairs]
        if all(value is None for value in values):
            raise OptionError(f"{name}: no row holds {path}; name a column, or a path such as meta.annotators")
        for place, (pair, value) in enumerate(zip(pairs, values, strict=True)):
            named = value if isinstance(value, Mapping) else {path.rpartition(".")[2]: value}
            for who, one in named.items():
                opinion, counts = _opinion(one)
                if opinion is None and not _is_silent(one):
                    faults.append(Fault(pair.row, path, f"{one!r} is no opinion", MEND))
                if counts is not None and not isinstance(value, Mapping):
                    votes[place] = counts
                elif opinion is not None:
                    by_name.setdefault(str(who), [None] * len(pairs))[place] = opinion
    if faults:
        raise DataError(name, faults)
    return Opinions(by_name, votes if any(votes) else ())


def at(pair: PreferencePair, path: str) -> Any:
    """The value below ``meta``, where reading keeps columns of its own accord, or below ``label_source``; None without it."""
    first, _, rest = path.partition(".")
    value: Any = pair.label_source if first == "label_source" else pair.meta
    for step in (rest if first in ("meta", "label_source") else path).split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _own_votes(pair: PreferencePair) -> tuple[float, float, float] | None:
    """What the label was made of: counts for the first side, the second, and a tie."""
    counts = pair.label_source.get("votes")
    if not (isinstance(counts, list) and len(counts) in (2, 3) and all(_is_count(one) for one in counts)):
        return None
    return (counts[0], counts[1], counts[2] if len(counts) == 3 else 0) if sum(counts) else None


def _opinion(value: Any) -> tuple[float | None, tuple[float, float, float] | None]:
    if isinstance(value, Mapping):
        value = value.get("p")
    if isinstance(value, list) and len(value) in (2, 3) and all(map(_is_count, value)) and sum(value) > 0:
        first, second, neither = value[0], value[-1], value[1] if len(value) == 3 else 0
        return (first + neither / 2) / sum(value), (first, second, neither)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value), None
    return None, None


def _is_silent(value: Any) -> bool:
    """Nobody there, or a judge that failed on this pair."""
    return value is None or (isinstance(value, Mapping) and "p" in value and value["p"] is None)


def _is_count(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
