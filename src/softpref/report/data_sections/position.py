"""Whether what is shown first is favoured, and where the two presentation orders disagree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from softpref.core.calibration import bin_of
from softpref.data.inspection import LABEL_BINS
from softpref.data.pairs import PairSet, PreferencePair
from softpref.report.data_sections.means import mean_by_prompt, prompt_of
from softpref.report.document import Block, Column, Facts, Figure, Section
from softpref.report.format import interval
from softpref.report.line_figure import line_figure
from softpref.report.opinions import at
from softpref.report.palette import colours_of

ALL = "all pairs"
BINS = (Column("low", "p from", "number2"), Column("high", "to", "number2"), Column("pairs", "pairs", "count"))
# Key of the rows, form of its column, heading, axis.
BY_LABEL = (
    ("differ", "percent", "The two orders disagree, by label", "share of pairs"),
    ("bias", "signed", "Position bias, by label", "bias"),
)
TEXT = (
    "How much more often a response is preferred because it was shown first. A label averages both orders, and so cancels it; "
    "where the orders disagree, it can only say that the pair is unsure."
)


@dataclass(frozen=True)
class Orders:
    """P(the side shown first is preferred) in each of the two presentation orders of one pair."""

    first: float
    second: float

    @property
    def bias(self) -> float:
        """0 where the place makes no difference."""
        return self.first + self.second - 1

    @property
    def disagree(self) -> bool:
        """Whether the two orders prefer different responses."""
        return (self.first - 0.5) * (self.second - 0.5) > 0


def read_orders(written: Sequence[PreferencePair], path: str | None) -> list[Orders | None]:
    """For N pairs; None where the file does not say.

    With a path, counts ``{"original": [first, second], "swapped": [first, second]}`` for the file's first side, which is shown
    second in the swapped order; without, what a judge's label records.
    """
    return [_from_counts(at(pair, path)) if path else _from_label(pair) for pair in written]


def _from_label(pair: PreferencePair) -> Orders | None:
    first, second = pair.label_source.get("first_shown"), pair.label_source.get("second_shown")
    return Orders(first, second) if isinstance(first, int | float) and isinstance(second, int | float) else None


def _from_counts(value: Any) -> Orders | None:
    try:
        (a, b), (c, d) = value["original"], value["swapped"]
        return Orders(a / (a + b), d / (c + d))
    except (TypeError, KeyError, ValueError, ZeroDivisionError):
        return None


def position(pairs: PairSet, orders: Sequence[Orders | None]) -> Section:
    """The bias with its interval, and both figures by label; nothing where no pair has two orders."""
    found = [(pair, one) for pair, one in zip(pairs, orders, strict=True) if one is not None]
    if not found:
        return Section("position", "Position", [])
    prompts = [prompt_of(pair) for pair, _ in found]
    bias, differ = [one.bias for _, one in found], [float(one.disagree) for _, one in found]
    said = interval(mean_by_prompt(bias, prompts), "+.3f")
    rows = [
        ("position bias", f"{said}: 0 without; above 0, what is shown first is favoured"),
        ("the two orders disagree", f"{interval(mean_by_prompt(differ, prompts), '.1%')} of pairs"),
        ("pairs with both orders", f"{len(found):,} of {len(pairs):,}"),
    ]
    blocks: list[Block] = [*(_by_label(found) if pairs.labelled else []), Facts(rows)]
    return Section("position", "Position", blocks, TEXT)


def _by_label(found: Sequence[tuple[PreferencePair, Orders]]) -> list[Figure]:
    """In bins of p: the orders disagree mostly where the label is near one half."""
    which = bin_of([pair.soft_label or 0.0 for pair, _ in found], LABEL_BINS)
    bias, differ = (np.array(values) for values in zip(*((one.bias, one.disagree) for _, one in found), strict=True))
    rows = [
        {
            "run": ALL,
            "p": (k + 0.5) / LABEL_BINS,
            "low": k / LABEL_BINS,
            "high": (k + 1) / LABEL_BINS,
            "pairs": int((which == k).sum()),
            "bias": float(bias[which == k].mean()),
            "differ": float(differ[which == k].mean()),
        }
        for k in map(int, np.unique(which))
    ]
    figures = []
    for key, form, caption, axis in BY_LABEL:
        columns = (*BINS, Column(key, axis, form))
        figures += line_figure(rows, ("p", key), columns, caption, ("soft label p", axis), colours_of([ALL]), marked=True)
    return figures
