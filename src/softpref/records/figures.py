"""Figures that stand in several records: an estimate with its interval, win rates, tests, lengths."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

    from softpref.core.statistics import Estimate, PairedTest


@dataclass(frozen=True)
class Interval:
    """A figure and its interval. None where it is not defined: one cluster has no interval, JSON no nan.

    ``n`` counts rows, ``clusters`` the independent units among them.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    clusters: int | None = None

    @classmethod
    def of(cls, estimate: Estimate, **more: Any) -> Self:
        """Of an estimate; ``more`` are a subclass's own fields."""
        bounds = (known(estimate.value), known(estimate.low), known(estimate.high))
        return cls(*bounds, estimate.n, estimate.clusters, **more)

    def __str__(self) -> str:
        """``0.863 [0.822, 0.902]``; a dash where there is no number."""
        value, low, high = ("–" if x is None else f"{x:.3f}" for x in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]"

    @property
    def point(self) -> float:
        """The value, nan where there is none."""
        return math.nan if self.value is None else self.value

    def excludes(self, value: float) -> bool:
        """Whether the interval is known and does not hold ``value``."""
        return self.low is not None and self.high is not None and not self.low <= value <= self.high

    def turned(self) -> Interval:
        """Of 1 − x where this is of x: a win rate seen from the other side."""
        value, low, high = (None if x is None else 1 - x for x in (self.value, self.high, self.low))
        return Interval(value, low, high, self.n, self.clusters)


def known(value: float | None) -> float | None:
    """A number that is one; None for nan and the infinities."""
    return float(value) if value is not None and math.isfinite(value) else None


@dataclass(frozen=True)
class NamedInterval(Interval):
    """An interval with the name of what was measured."""

    name: str = ""


@dataclass(frozen=True)
class LengthControlled(Interval):
    """The win rate at equal length, and the share of pairs on which the model's response is the longer one."""

    model_longer: float | None = None


@dataclass(frozen=True)
class WinRateFigures:
    """How often the first side wins, with 95% intervals from a bootstrap over prompts.

    ``binary``: mean of ``1[p ≥ ½]``, so a tie is a win and identical sides score 100% (arXiv 2409.06691, §5: read it beside
    ``tie_rate``). ``percentage``: mean of p. ``tie_aware``: a tie is half a win. ``coverage``: judged / asked.
    ``position_bias``: None where one order alone was asked.
    """

    binary: Interval
    percentage: Interval
    tie_aware: Interval
    tie_rate: float
    coverage: float
    position_bias: float | None
    failed: int


@dataclass(frozen=True)
class PairedTestFigures:
    """A two-sided test: see ``core.statistics.PairedTest``. ``p_holm`` is corrected for the number of pairs."""

    p_value: float
    n: int | None = None
    zeros: int | None = None
    statistic: float | None = None
    draws: int | None = None
    p_holm: float | None = None

    @classmethod
    def of(cls, test: PairedTest) -> PairedTestFigures:
        """Of a test that was made."""
        return cls(test.p_value, test.n, test.zeros, known(test.statistic), test.draws)


@dataclass(frozen=True)
class LengthFigures:
    """Words of a side's responses, and how many did not come to their end (None where nothing was generated)."""

    mean_words: float
    median_words: float
    unfinished: int | None = None


@dataclass(frozen=True)
class RepetitionFigures:
    """Means over a side's responses; None where none is long enough."""

    distinct_1: float | None
    distinct_2: float | None
    distinct_3: float | None
    longest_repeat: float


@dataclass(frozen=True)
class LeftOut:
    """What was not compared, and why: prompts that only one side answers, and responses without a partner."""

    prompts_only_model: int = 0
    prompts_only_against: int = 0
    prompts_neither: int = 0
    responses: int = 0


@dataclass(frozen=True, kw_only=True)
class ComparisonFigures:
    """Every figure that follows from a judge's answers on N comparisons."""

    prompts: int
    win_rates: WinRateFigures
    asked: int | None = None
    tests: Mapping[str, PairedTestFigures] = field(default_factory=dict)
    longer_wins: Interval | None = None
    length_controlled: LengthControlled | None = None


@dataclass(frozen=True)
class LabelBin:
    """Pairs by how sure their label is, max(p, 1 − p)."""

    low: float
    high: float
    count: int


@dataclass(frozen=True)
class ReliabilityBin:
    """Predictions in one bin: how many, their mean, and the mean label."""

    low: float
    high: float
    count: int
    mean_predicted: float | None
    mean_label: float | None
