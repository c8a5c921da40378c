"""What the implicit reward knows: how it classifies labelled pairs, and whether its probabilities can be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from softpref.records.evaluation import ClassificationRecord
from softpref.report import charts
from softpref.report.collect import Found
from softpref.report.document import Block, Column, Figure, Section, Table
from softpref.report.groups import slug
from softpref.report.line_figure import line_figure
from softpref.report.palette import Colours

SCORES = (
    Column("run", "run"),
    Column("accuracy", "accuracy", "estimate_percent"),
    Column("auc", "AUC", "estimate"),
    Column("brier", "Brier score", "estimate"),
    Column("log_score", "log score, nats", "estimate"),
    Column("ece", "ECE", "estimate"),
    Column("longer_wins", "the longer one, always", "estimate_percent"),
    Column("pairs", "pairs", "count"),
)
BINS = (
    Column("run", "run"),
    Column("low", "predicted from", "number2"),
    Column("high", "to", "number2"),
    Column("count", "pairs", "count"),
    Column("mean_predicted", "mean predicted", "number"),
    Column("mean_label", "mean label", "number"),
)
BY_LABEL = (
    Column("run", "run"),
    Column("low", "p from", "number2"),
    Column("high", "to", "number2"),
    Column("count", "pairs", "count"),
    Column("accuracy", "accuracy", "estimate_percent"),
    Column("mean_margin", "mean margin, nats", "signed"),
)
TEXT = (
    "β · (log-ratio of chosen − log-ratio of rejected) as a reward. Accuracy counts a tie half; on the diagonal of the figure "
    "its probabilities can be taken at their word. Choosing the longer response every time is the baseline."
)


def implicit_reward(found: Found, colours: Colours) -> Section:
    """One table and one reliability diagram per labelled set."""
    sets: dict[tuple[str, str], dict[str, ClassificationRecord]] = {}
    for run in found.runs:
        for name, one in run.classifications.items():
            sets.setdefault((name, one.data), {})[run.name] = one
    return Section(
        "implicit-reward",
        "The implicit reward",
        [block for (name, data), by_run in sets.items() for block in _set(name, data, by_run, colours)],
        TEXT,
    )


def _set(name: str, data: str, by_run: Mapping[str, ClassificationRecord], colours: Colours) -> list[Block]:
    rows = [{"run": run, **vars(one)} for run, one in by_run.items()]
    columns = [column for column in SCORES if any(row.get(column.key) is not None for row in rows)]
    table = Table(slug("classification", name), f"Classification of {Path(data).name} ({name})", columns, rows, _note(by_run))
    return [*_reliability(name, by_run, colours), *_by_label(name, by_run, colours), table]


def _note(by_run: Mapping[str, ClassificationRecord]) -> str:
    """What the margin is, where that was recorded; one sentence where it is the same for all runs."""
    said = {run: one.margin for run, one in by_run.items() if one.margin}
    betas = {run: one.beta for run, one in by_run.items() if one.beta is not None}
    margin = f"Margin: {'; '.join(dict.fromkeys(said.values()))}." if said else ""
    return f"{margin} β: {', '.join(f'{run} {beta:g}' for run, beta in betas.items())}.".strip() if betas else margin


def _reliability(name: str, by_run: Mapping[str, ClassificationRecord], colours: Colours) -> list[Figure]:
    rows = [{"run": run, **vars(bin_)} for run, one in by_run.items() for bin_ in one.reliability or () if bin_.count]
    series: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        series.setdefault(row["run"], []).append((row["mean_predicted"], row["mean_label"]))
    if not series:
        return []
    stem, caption = slug("reliability", name), f"Reliability of the implicit reward on {name}"
    axes_names = ("mean predicted probability", "mean label")
    drawn = charts.reliability(series, colours, axes_names, caption, f"{stem}-")
    said = "; ".join(f"{run}: {_worst(points)}" for run, points in series.items())
    return [Figure(stem, caption, f"{caption}. {said}.", drawn, Table(stem, caption, BINS, rows))]


def _worst(points: Sequence[tuple[float, float]]) -> str:
    predicted, label = max(points, key=lambda point: abs(point[0] - point[1]))
    return f"farthest from the diagonal where {predicted:.2f} is predicted and {label:.2f} found"


def _by_label(name: str, by_run: Mapping[str, ClassificationRecord], colours: Colours) -> list[Figure]:
    rows = [
        {"run": run, **vars(bin_), "p": (bin_.low + bin_.high) / 2, "share": bin_.accuracy.value if bin_.accuracy else None}
        for run, one in by_run.items()
        for bin_ in one.by_bin
        if bin_.count
    ]
    return line_figure(
        rows,
        ("p", "share"),
        BY_LABEL,
        f"Accuracy by soft label on {name}",
        ("soft label p", "accuracy"),
        colours,
        marked=True,
    )
