"""A calibration of a judge's labels, as ``softpref calibrate`` writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from softpref.records.figures import Interval
from softpref.records.record import Record


@dataclass(frozen=True)
class FittedOn:
    """The rows behind a fit: their file, the digests of their pairs, whose labels they are, and the gold column."""

    file: str
    pairs: str
    judge: str | None
    orders: str | None
    gold: str
    group: str
    rows: int
    groups: int
    symmetric: bool


@dataclass(frozen=True)
class CalibrationScores:
    """Scores by name before and after, out of fold, and after − before on the same rows."""

    folds: int
    seed: int
    before: Mapping[str, Interval]
    after: Mapping[str, Interval]
    difference: Mapping[str, Interval]


@dataclass(frozen=True, kw_only=True)
class CalibrationRecord(Record):
    """A fitted calibrator: its method, its parameters, the clip of p, and what it rests on."""

    kind: ClassVar[str] = "calibration"
    written_by: ClassVar[str] = "softpref calibrate"
    method: str
    parameters: Mapping[str, Any]
    clip: float
    fitted_on: FittedOn
    scores: CalibrationScores
