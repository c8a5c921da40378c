"""The file's labels held against a label that is trusted."""

from __future__ import annotations

from typing import Any

from softpref.core.calibration import CLIP, clipped_log_odds
from softpref.core.statistics import cluster_bootstrap
from softpref.evaluation.judge_calibration import SCORES, GoldRows, reliability
from softpref.records.figures import Interval
from softpref.report import charts
from softpref.report.data_sections.agreement import LABEL
from softpref.report.document import Column, Facts, Figure, Section, Table
from softpref.report.format import SCORES as NAMES
from softpref.report.format import interval
from softpref.report.palette import colours_of

COLUMNS = (Column("p", "mean p", "number"), Column("gold", "mean gold", "estimate"), Column("pairs", "pairs", "count"))
CAPTION = "Mean gold label against mean p, in ten bins"
TEXT = "Labels held against the gold ones, for the file's first side. softpref calibrate mends what lies off the diagonal."


def against_gold(rows: GoldRows | None) -> Section:
    """A reliability diagram and the scores; nothing without gold."""
    if rows is None:
        return Section("calibration", "Calibration", [])
    log_odds = clipped_log_odds(rows.p, CLIP)
    scores = [
        (name, interval(Interval.of(cluster_bootstrap(SCORES[key], log_odds, rows.gold, clusters=rows.groups))))
        for key, name in NAMES.items()
    ]
    points: list[dict[str, Any]] = [
        {"p": p, "gold": Interval.of(gold), "pairs": gold.n} for p, gold in reliability(log_odds, rows)
    ]
    return Section("calibration", "Calibration", [_figure(points), Facts(scores, "Lower is better")], TEXT)


def _figure(points: list[dict[str, Any]]) -> Figure:
    series = {LABEL: [(row["p"], row["gold"].value) for row in points]}
    names = ("soft label p", "mean gold label")
    bars = {LABEL: [(row["gold"].low, row["gold"].high) for row in points]}
    drawn = charts.reliability(series, colours_of([LABEL]), names, CAPTION, "reliability-", bars)
    said = "; ".join(f"at p = {row['p']:.2f} {row['gold'].value:.2f}" for row in points)
    return Figure("reliability", CAPTION, f"{CAPTION}: {said}.", drawn, Table("reliability", CAPTION, COLUMNS, points))
