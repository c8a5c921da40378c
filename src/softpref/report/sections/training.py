"""How training went: the loss, and how often the margin has the label's sign."""

from __future__ import annotations

from collections.abc import Sequence

from softpref.report.collect import Found, RunResult
from softpref.report.document import Block, Column, Figure, Section
from softpref.report.line_figure import line_figure
from softpref.report.palette import Colours

# Metric in the log, axis, heading.
CURVES = (
    ("accuracy", "accuracy, a tie half", "Accuracy on the pairs of each update"),
    ("brier", "Brier score", "Brier score of s(βh) against p"),
)


def training(found: Found, colours: Colours) -> Section:
    """One loss figure per base loss, since their scales do not mix; the others once."""
    logged = [run for run in found.runs if run.training]
    bases = list(dict.fromkeys(run.run.method.base for run in logged))
    blocks: list[Block] = []
    for base in bases:
        heading = "Training loss" if len(bases) == 1 else f"Training loss: {base}"
        blocks += _curve([run for run in logged if run.run.method.base == base], "loss", "loss", heading, colours)
    for metric, axis, heading in CURVES:
        blocks += _curve(logged, metric, axis, heading, colours)
    return Section("training", "Training", blocks)


def _curve(runs: Sequence[RunResult], metric: str, axis: str, heading: str, colours: Colours) -> list[Figure]:
    rows = [{"run": r.name, "step": line["step"], metric: line[metric]} for r in runs for line in r.training if metric in line]
    columns = [Column("run", "run"), Column("step", "update", "count"), Column(metric, axis, "number")]
    return line_figure(rows, ("step", metric), columns, heading, ("update", axis), colours)
