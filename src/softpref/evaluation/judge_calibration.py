"""Fit a judge's calibration on pairs with gold labels, score it out of fold, and apply it to other pairs.

Two kinds of figures never mix. The *scores* come from cross-validation: every pair is judged by a calibrator that saw no pair
of its prompt. The *calibrator* in the file is then fitted on all pairs, so on those it may not be applied any more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from softpref.core.arrays import Floats
from softpref.core.calibration import (
    CALIBRATORS,
    CLIP,
    FITS,
    Calibrator,
    bin_of,
    brier,
    clipped_log_odds,
    expected_calibration_error,
    fit_within_evidence,
    log_score,
)
from softpref.core.statistics import Estimate, cluster_bootstrap
from softpref.data.formats import write_rows
from softpref.data.pairs import PairSet, PreferencePair
from softpref.data.written import as_written, written_row
from softpref.errors import DataError, Fault, InputError, OptionError, nearest
from softpref.records.calibration import CalibrationRecord, CalibrationScores, FittedOn
from softpref.records.figures import Interval

# Hexadecimal digits of a pair's digest: among a million pairs, two by chance with a probability of 0.002.
DIGEST = 12
SHOWN_ROWS = 5

# Figures of log-odds z against gold y, both (N,); least is best in all three.
SCORES: dict[str, Callable[[Floats, Floats], float]] = {
    "brier": lambda z, y: brier(expit(z), y),
    "log_score": log_score,
    "ece": lambda z, y: expected_calibration_error(expit(z), y),
}


@dataclass(frozen=True)
class GoldOptions:
    """Where the gold label of the file's first side stands.

    Attributes:
        column: a column or a path under ``meta``: ``gold``, ``meta.gold``, ``meta.human.share``.
        first, second: values that name the better side, where the column holds names; else it holds P(first is better).
        group: ``prompt``, or a path like ``column``; rows of one group are never in fit and evaluation both.
    """

    column: str
    first: str | None = None
    second: str | None = None
    group: str = "prompt"

    def __post_init__(self) -> None:
        if (self.first is None) != (self.second is None) or (self.first is not None and self.first == self.second):
            raise OptionError("gold_first and gold_second name the two sides: give both, and different ones")


@dataclass(frozen=True)
class FitOptions:
    """How a calibrator is fitted and scored.

    Attributes:
        method: ``temperature``, ``platt`` or ``isotonic``.
        symmetric: fit on every pair and its exchanged twin, so that exchanging the sides gives 1 − p.
        clip: p is first brought into [clip, 1 − clip].
        folds: parts of the cross-validation. ``seed`` deals the groups out to them.
        resamples: draws of the bootstrap behind every interval.
    """

    method: str
    symmetric: bool = True
    clip: float = CLIP
    folds: int = 5
    seed: int = 0
    resamples: int = 2000

    def __post_init__(self) -> None:
        if self.method not in FITS:
            raise OptionError(f"method is {self.method!r}{nearest(self.method, FITS)}")
        if self.method == "temperature" and not self.symmetric:
            raise OptionError("symmetric false has no effect on a temperature, which treats both sides alike: leave it out")
        if not 0 < self.clip < 0.5:
            raise OptionError(f"clip is {self.clip:g}; it must lie between 0 and 0.5, both left out")
        if self.folds < 2:
            raise OptionError(f"folds is {self.folds}; with fewer than 2 the fit would be scored on its own rows")
        if self.resamples < 1:
            raise OptionError(f"resamples is {self.resamples}; it must be at least 1")


@dataclass(frozen=True)
class GoldRows:
    """N pairs with the judge's p and the gold label, both for the file's first side; ``groups`` (N,) numbers the prompts."""

    name: str
    pairs: tuple[PreferencePair, ...]
    p: Floats
    gold: Floats
    groups: NDArray[np.intp]
    judge: str | None
    orders: str | None
    identical_dropped: int = 0


@dataclass(frozen=True)
class Calibration:
    """A fitted calibrator and what it rests on: the file, the judge, the sizes, the out-of-fold scores."""

    calibrator: Calibrator
    clip: float
    fitted_on: FittedOn
    scores: CalibrationScores

    @property
    def method(self) -> str:
        """``temperature``, ``platt`` or ``isotonic``."""
        return next(name for name, kind in CALIBRATORS.items() if isinstance(self.calibrator, kind))

    @property
    def record(self) -> CalibrationRecord:
        """As it is written."""
        parameters = asdict(self.calibrator)
        return CalibrationRecord(
            method=self.method, parameters=parameters, clip=self.clip, fitted_on=self.fitted_on, scores=self.scores
        )


@dataclass(frozen=True)
class Outcome:
    """A calibration, and the log-odds (N,) of its rows before and, out of fold, after.

    ``separated``: the judge was right on every row, so that the fit was held to what so many rows prove.
    """

    calibration: Calibration
    rows: GoldRows
    before: Floats
    after: Floats
    clipped: int
    separated: bool = False


# --- gold -----------------------------------------------------------------------------------------------------------------


def gold_rows(pairs: PairSet, options: GoldOptions) -> GoldRows:
    """The judge's labels beside the gold ones, with the sides as the file has them.

    Raises:
        DataError: every row without a usable gold label or group, or whose label cannot be calibrated, by row and field.
        InputError: the file has no labels, all of them are ½, or all gold labels are equal.
    """
    if not pairs.labelled:
        raise InputError(f"{pairs.name}: holds no soft_label to calibrate; label the pairs first (softpref label)")
    faults: list[Fault] = []
    gold = [_gold(pair, options, faults) for pair in pairs]
    groups = [_group(pair, options.group, faults) for pair in pairs]
    for pair in pairs:
        _check_source(pair, faults)
    judge, orders = (_one_source(pairs, key, faults) for key in ("judge", "orders"))
    if faults:
        raise DataError(pairs.name, sorted(faults, key=lambda fault: fault.row))
    if len(set(gold)) == 1:
        raise InputError(
            f"{pairs.name}: {options.column}: all {len(gold)} gold labels are {gold[0]:g}, which calibrates nothing; "
            "if the better side always stands first, exchange the sides of half the pairs and label them again"
        )
    if pairs.reading.ties == len(pairs):
        raise InputError(f"{pairs.name}: soft_label: all are 0.5, a judge without an opinion; there is nothing to calibrate")
    written = tuple(map(as_written, pairs))
    p = np.array([pair.soft_label for pair in written], dtype=np.float64)
    codes = np.unique(np.array(groups), return_inverse=True)[1]
    return GoldRows(
        pairs.name, written, p, np.array(gold, dtype=np.float64), codes, judge, orders, pairs.reading.identical_dropped
    )


def gold_labels(pairs: PairSet, options: GoldOptions) -> list[float]:
    """P(first side of the file is better) of every pair, labelled or not. Raises DataError as ``gold_rows`` does."""
    faults: list[Fault] = []
    gold = [_gold(pair, options, faults) for pair in pairs]
    if faults:
        raise DataError(pairs.name, faults)
    return gold


def _gold(pair: PreferencePair, options: GoldOptions, faults: list[Fault]) -> float:
    value = _at(pair, options.column)
    if value is None:
        mend = "give every row its gold label, or leave out the rows without one"
        faults.append(Fault(pair.row, options.column, "has no gold label", mend))
        return 0.0
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if options.first is not None:
        if shown in (options.first, options.second):
            return float(shown == options.first)
        problem, mend = (
            f"is {shown}",
            f"write {options.first} (first side better) or {options.second} (second side better)",
        )
        faults.append(Fault(pair.row, options.column, problem, mend))
        return 0.0
    number = _number(value)
    if not 0 <= number <= 1:
        mend = "give P(first side better), or say which values name the sides (--gold_first 1 --gold_second 2)"
        faults.append(Fault(pair.row, options.column, f"{shown} is not a number in [0, 1]", mend))
    return number


def _number(value: Any) -> float:
    try:
        return float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return float("nan")


def _group(pair: PreferencePair, path: str, faults: list[Fault]) -> str:
    value = pair.prompt if path == "prompt" else _at(pair, path)
    if value is None:
        faults.append(Fault(pair.row, path, "has no group", "give every row one, or group by prompt"))
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _at(pair: PreferencePair, path: str) -> Any:
    """The value under ``meta``, where reading keeps columns of its own accord; None where a step is missing."""
    value: Any = pair.meta
    for step in path.removeprefix("meta.").split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _check_source(pair: PreferencePair, faults: list[Fault]) -> None:
    if pair.label_source.get("calibration") is not None:
        mend = "calibrate the judge's own labels: label again without --calibration"
        faults.append(Fault(pair.row, "label_source", "is calibrated already", mend))
    if pair.label_source.get("sides_exchanged"):
        mend = "give the file as softpref label wrote it"
        faults.append(Fault(pair.row, "label_source", "sides were exchanged, so gold may be about the other one", mend))


def _one_source(pairs: PairSet, key: str, faults: list[Fault]) -> str | None:
    """The judge, or its orders, that all rows name; None where none does."""
    first = pairs[0].label_source.get(key)
    for pair in pairs:
        if pair.label_source.get(key) != first:
            problem = f"{key} is {pair.label_source.get(key)!r}, but {first!r} in row {pairs[0].row}"
            faults.append(Fault(pair.row, "label_source", problem, "calibrate each judge on a file of its own"))
            break
    return None if first is None else str(first)


# --- fit and score --------------------------------------------------------------------------------------------------------


def calibrate(rows: GoldRows, gold: GoldOptions, options: FitOptions) -> Outcome:
    """Score the method by cross-validation over groups, then fit it on all rows.

    Raises InputError when there are fewer groups than folds.
    """
    groups = int(rows.groups.max()) + 1
    if groups < options.folds:
        raise InputError(
            f"{rows.name}: {groups} different values of {gold.group} are too few for {options.folds} folds; "
            "give more, or fewer folds (--folds)"
        )
    before = clipped_log_odds(rows.p, options.clip)
    after = out_of_fold(before, rows, options)
    fitted_on = FittedOn(
        file=rows.name,
        pairs="".join(sorted({pair_digest(pair) for pair in rows.pairs})),
        judge=rows.judge,
        orders=rows.orders,
        gold=gold.column,
        group=gold.group,
        rows=len(rows.p),
        groups=groups,
        symmetric=options.symmetric,
    )
    scores = CalibrationScores(options.folds, options.seed, **score_figures(before, after, rows, options.resamples))
    calibrator, separated = fit_within_evidence(options.method, before, rows.gold, options.symmetric)
    clipped = int(np.sum((rows.p < options.clip) | (rows.p > 1 - options.clip)))
    return Outcome(Calibration(calibrator, options.clip, fitted_on, scores), rows, before, after, clipped, separated)


def out_of_fold(log_odds: Floats, rows: GoldRows, options: FitOptions) -> Floats:
    """Calibrated log-odds (N,), each from a calibrator that was fitted on the other folds; a group lies in one fold."""
    groups = int(rows.groups.max()) + 1
    place = np.random.default_rng(options.seed).permutation(groups) % options.folds
    fold = place[rows.groups]
    after = np.empty_like(log_odds)
    for k in range(options.folds):
        fitted = FITS[options.method](log_odds[fold != k], rows.gold[fold != k], options.symmetric)
        after[fold == k] = fitted(log_odds[fold == k])
    return after


def score_figures(before: Floats, after: Floats, rows: GoldRows, resamples: int) -> dict[str, dict[str, Interval]]:
    """``before``, ``after`` and ``difference`` (after − before on the same rows), each with every score and its interval."""

    def interval(statistic: Callable[..., float], *arrays: Floats) -> Interval:
        return Interval.of(cluster_bootstrap(statistic, *arrays, clusters=rows.groups, resamples=resamples))

    return {
        "before": {name: interval(score, before, rows.gold) for name, score in SCORES.items()},
        "after": {name: interval(score, after, rows.gold) for name, score in SCORES.items()},
        "difference": {name: interval(_difference(score), before, after, rows.gold) for name, score in SCORES.items()},
    }


def _difference(score: Callable[[Floats, Floats], float]) -> Callable[[Floats, Floats, Floats], float]:
    return lambda before, after, gold: score(after, gold) - score(before, gold)


def reliability(log_odds: Floats, rows: GoldRows, bins: int = 10) -> Iterator[tuple[float, Estimate]]:
    """For every bin of p that holds rows: the mean p in it, and the mean gold label with its interval over groups."""
    p = expit(log_odds)
    which = bin_of(p, bins)
    for k in np.unique(which):
        inside = which == k
        gold = cluster_bootstrap(np.mean, rows.gold[inside], clusters=rows.groups[inside])
        yield float(p[inside].mean()), gold


# --- the file, and its use ------------------------------------------------------------------------------------------------


def write_calibration(path: str | Path, calibration: Calibration) -> None:
    """The calibration as a small JSON file, atomically."""
    calibration.record.write(path)


def load_calibration(path: str | Path) -> Calibration:
    """What ``write_calibration`` wrote. Raises InputError where it is anything else."""
    record = CalibrationRecord.read(path)
    if record.method not in CALIBRATORS:
        raise InputError(f"{path}: method is {record.method!r}{nearest(record.method, CALIBRATORS)}")
    if not 0 < record.clip < 0.5:
        raise InputError(f"{path}: clip is {record.clip:g}; it must lie between 0 and 0.5, both left out")
    try:
        calibrator = CALIBRATORS[record.method](**record.parameters)
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: parameters: {error}; fit it again with softpref calibrate") from error
    return Calibration(calibrator, record.clip, record.fitted_on, record.scores)


def apply_calibration(calibration: Calibration, p: ArrayLike) -> Floats:
    """Calibrated probabilities of p, of any shape, for the same side. p is clipped as it was for the fit."""
    calibrated: Floats = expit(calibration.calibrator(clipped_log_odds(p, calibration.clip)))
    return calibrated


def calibrator_for(
    path: str | Path, pairs: Sequence[PreferencePair], judge: str | None = None, orders: str | None = None
) -> Callable[[float], float]:
    """The calibration in a file as a function p → p for the labels of these pairs.

    Raises:
        InputError: no calibration file, it was fitted on some of these pairs, or (where both are known) on another judge or
            other presentation orders.
    """
    calibration = load_calibration(path)
    fitted_on = calibration.fitted_on
    seen = _digests(str(fitted_on.pairs))
    if known := [pair.row for pair in pairs if pair_digest(pair) in seen]:
        some = ", ".join(map(str, known[:SHOWN_ROWS])) + (", …" if len(known) > SHOWN_ROWS else "")
        raise InputError(
            f"{path}: was fitted on {len(known)} of these {len(pairs)} pairs (rows {some}; in {fitted_on.file}), and "
            "would look better on them than it is; leave them out, or have softpref calibrate write their out-of-fold labels "
            "(--out_of_fold FILE)"
        )
    for name, here in (("judge", judge), ("orders", orders)):
        there = getattr(fitted_on, name)
        if None not in (here, there) and here != there:
            raise InputError(f"{path}: was fitted on {name} {there!r}, not {here!r}; fit one for the labels it shall mend")
    return lambda p: float(apply_calibration(calibration, p))


def pair_digest(pair: PreferencePair) -> str:
    """Of prompt and responses, whatever the order of the sides, the label and the notes."""
    text = json.dumps([pair.prompt, *_sorted_sides(pair)], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST]


def _digests(joined: str) -> set[str]:
    return {joined[i : i + DIGEST] for i in range(0, len(joined), DIGEST)}


def _sorted_sides(pair: PreferencePair) -> list[str]:
    return sorted(json.dumps(side, sort_keys=True, ensure_ascii=False) for side in (pair.chosen, pair.rejected))


def write_out_of_fold(path: str | Path, outcome: Outcome) -> None:
    """The rows with their out-of-fold labels: the one way to calibrate pairs that the fit has seen."""
    scores = outcome.calibration.scores
    record = {
        "method": outcome.calibration.method,
        "out_of_fold": True,
        "folds": scores.folds,
        "seed": scores.seed,
    }

    def relabelled(pair: PreferencePair, p: float) -> PreferencePair:
        source = {**pair.label_source, "uncalibrated": pair.soft_label, "calibration": record}
        return replace(pair, soft_label=float(p), label_source=source)

    found = zip(outcome.rows.pairs, expit(outcome.after), strict=True)
    write_rows(path, (written_row(relabelled(pair, p)) for pair, p in found))
