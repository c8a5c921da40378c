"""Who voted how: the votes by name that reading keeps with a pair, as arrays for a model of annotators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from softpref.core.arrays import Floats
from softpref.core.dawid_skene import FIRST, SECOND, TIE, DawidSkene, dawid_skene, intervals
from softpref.data.pairs import PreferencePair
from softpref.errors import DataError, Fault, OptionError

# Where a pair keeps who voted: P(first side preferred) by name, as ``inspect --annotators meta.annotators`` reads it.
VOTERS = "annotators"
_VERDICT_OF = {1.0: FIRST, 0.5: TIE, 0.0: SECOND}
# Seed of the draws behind an interval: a file has one.
SEED = 0


@dataclass(frozen=True)
class Fitted:
    """A model of the annotators of N pairs: their names in its order, intervals of the labels (N, 2) and reliabilities (W, 2)."""

    model: DawidSkene
    names: tuple[str, ...]
    label_intervals: Floats
    reliability_intervals: Floats


def fit_annotators(pairs: Sequence[PreferencePair], name: str) -> Fitted:
    """Dawid and Skene's model of the votes kept in ``meta.annotators``; votes are for the sides in the file's order.

    Raises:
        DataError: pairs without a vote by name, or with an opinion that is no vote.
        OptionError: fewer than two annotators, or no pair on which two have voted.
    """
    faults: list[Fault] = []
    votes = [(place, who, verdict) for place, pair in enumerate(pairs) for who, verdict in _votes(pair, faults)]
    if faults:
        raise DataError(name, faults)
    names = tuple(dict.fromkeys(who for _, who, _ in votes))
    if len(names) < 2 or len(votes) == len(pairs):
        raise OptionError(f"{name}: no pair has votes of two annotators, so how reliable they are cannot be known")
    number = {who: place for place, who in enumerate(names)}
    model = dawid_skene([p for p, _, _ in votes], [number[who] for _, who, _ in votes], [v for _, _, v in votes])
    labels, reliability = intervals(model, np.random.default_rng(SEED))
    return Fitted(model, names, labels, reliability)


def _votes(pair: PreferencePair, faults: list[Fault]) -> list[tuple[str, int]]:
    voters: Any = pair.meta.get(VOTERS)
    if not isinstance(voters, Mapping) or not voters:
        mend = "name the column that says who voted (--columns.annotator NAME), or drop the row"
        faults.append(Fault(pair.row, "annotators", "nobody's vote is there by name", mend))
        return []
    cast = []
    for who, p in voters.items():
        if p in _VERDICT_OF:
            cast.append((str(who), _VERDICT_OF[p]))
        else:
            faults.append(Fault(pair.row, f"annotators.{who}", f"{p!r} is no vote", "give 1, 0.5 or 0: first, tie, second"))
    return cast
