"""``OUTPUT.labels.json``: what came of labelling one file, by one judge or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from softpref.records.record import Record


@dataclass(frozen=True)
class Against:
    """A judge held against labels from elsewhere, on the ``pairs`` that have both and where those prefer a side.

    A tie of the judge's counts half in ``accuracy``; it is a verdict of its own in ``kappa`` (Cohen's) and ``alpha``
    (Krippendorff's), which are None where all verdicts are one.
    """

    pairs: int
    accuracy: float
    kappa: float | None
    alpha: float | None


@dataclass(frozen=True, kw_only=True)
class Labelling:
    """What came of labelling one file by one judge, or by all of several.

    ``coverage`` is labelled / asked. ``position_bias`` is the mean of P(first shown preferred) over both orders, times two,
    less one: 0 without bias. ``order_disagreement`` is the share of pairs on which the two orders prefer different responses.
    Both are None where one order alone was asked. ``against`` compares with labels from elsewhere, by their name.
    """

    judge: str
    orders: str
    asked: int
    labelled: int
    coverage: float
    position_bias: float | None
    order_disagreement: float | None
    failures: Mapping[str, int] = field(default_factory=dict)
    calibration: str | None = None
    against: Mapping[str, Against] = field(default_factory=dict)


@dataclass(frozen=True)
class TwoJudges:
    """Two judges on the ``comparisons`` that both answered. ``kappa`` is None where chance would agree on everything."""

    judges: tuple[str, str]
    comparisons: int
    accuracy: float
    kappa: float | None


@dataclass(frozen=True)
class BetweenJudges:
    """How far several judges agree: by two, and Krippendorff's alpha of all."""

    pairs: Sequence[TwoJudges]
    alpha: float | None


@dataclass(frozen=True, kw_only=True)
class LabelRecord(Labelling, Record):
    """The figures of a labelled file; of several judges, of all together, of each by name, and between them."""

    kind: ClassVar[str] = "labels"
    written_by: ClassVar[str] = "softpref label"
    each: Mapping[str, Labelling] = field(default_factory=dict)
    between: BetweenJudges | None = None
    # figures of a known truth beside the labels, by their name, where there is one
    gold: Mapping[str, float | None] = field(default_factory=dict)
