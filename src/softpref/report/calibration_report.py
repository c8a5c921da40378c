"""The document about one calibration: whether p can be taken at its word before it and after it, on rows that no fit saw."""

from __future__ import annotations

from typing import Any

from softpref.evaluation.judge_calibration import Outcome, reliability
from softpref.records.calibration import CalibrationScores
from softpref.records.figures import Interval
from softpref.report import charts
from softpref.report.document import Block, Column, Document, Figure, Section, Table
from softpref.report.format import PARTS, SCORES, interval, parameters
from softpref.report.palette import colours_of

POINTS = (
    Column("when", ""),
    Column("p", "mean p", "number"),
    Column("gold", "mean gold", "estimate"),
    Column("rows", "rows", "count"),
)
SCORE_COLUMNS = (
    Column("score", "lower is better"),
    Column("before", "before", "estimate"),
    Column("after", "after", "estimate"),
    Column("difference", "after − before", "estimate_signed"),
)
CAPTION = "Reliability before and after calibration"
TEXT = (
    'Mean gold label against mean p in ten bins of p, with 95% intervals over groups. "After" is out of fold. On the diagonal, '
    "p can be taken at its word."
)
ECE_NOTE = "An ECE counts noise, so its intervals lean upwards; Brier and log score decide."


def calibration_report(outcome: Outcome) -> Document:
    """What ``softpref calibrate`` found."""
    calibration = outcome.calibration
    on, scores = calibration.fitted_on, calibration.scores
    blocks: list[Block] = [_reliability(outcome), _scores(scores)]
    return Document(
        f"Calibration by {calibration.method}",
        _verdict(scores),
        f"{on.rows} rows in {on.groups} groups by {on.group} of {on.file}; judge: {on.judge or 'unknown'}; "
        f"gold: {on.gold}. Fitted on all rows: {parameters(calibration.calibrator)}.",
        [Section("calibration", "Calibration", blocks, TEXT)],
    )


def _verdict(scores: CalibrationScores) -> str:
    """By the log score, which is what was fitted."""
    gap = scores.difference["log_score"]
    rose = "worsens" if gap.point > 0 else "improves"
    said = f"{rose} the log score by {interval(_turned(gap))} nats"
    if not gap.excludes(0):
        return f"On rows that it has not seen, calibration {said}: it may be no difference."
    return f"On rows that it has not seen, calibration {said}."


def _turned(gap: Interval) -> Interval:
    """The difference in the direction that it has: 0.043 [0.015, 0.075] for −0.043 [−0.075, −0.015]."""
    if gap.point > 0:
        return gap
    value, low, high = (None if x is None else -x for x in (gap.value, gap.high, gap.low))
    return Interval(value, low, high)


def _reliability(outcome: Outcome) -> Figure:
    log_odds = {"before": outcome.before, "after": outcome.after}
    rows: list[dict[str, Any]] = [
        {"when": when, "p": p, "gold": Interval.of(gold), "rows": gold.n}
        for when, values in log_odds.items()
        for p, gold in reliability(values, outcome.rows)
    ]
    series = {when: [(row["p"], row["gold"]) for row in rows if row["when"] == when] for when in log_odds}
    points = {when: [(p, gold.value) for p, gold in some] for when, some in series.items()}
    bars = {when: [(gold.low, gold.high) for _, gold in some] for when, some in series.items()}
    axes_names = ("p that the first side is better", "mean gold label")
    drawn = charts.reliability(points, colours_of(list(points)), axes_names, CAPTION, "reliability-", bars)
    said = "; ".join(f"{when}: " + ", ".join(f"{label:.2f} at p = {p:.2f}" for p, label in some) for when, some in points.items())
    return Figure("reliability", CAPTION, f"Mean gold label {said}.", drawn, Table("reliability", CAPTION, POINTS, rows))


def _scores(scores: CalibrationScores) -> Table:
    rows = [{"score": label, **{part: getattr(scores, part)[name] for part in PARTS}} for name, label in SCORES.items()]
    caption = f"Scores from {scores.folds} folds, with no group in fit and score alike; 95% intervals over groups"
    return Table("scores", caption, SCORE_COLUMNS, rows, ECE_NOTE)
