"""Lines by run, from rows of numbers: the figure of most sections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from softpref.report import charts
from softpref.report.document import Column, Figure, Table
from softpref.report.groups import slug
from softpref.report.palette import Colours

MOST_POINTS = 120
# A line through so few shows them.
FEW_POINTS = 8


def line_figure(
    rows: Sequence[dict[str, Any]],
    keys: tuple[str, str],
    columns: Sequence[Column],
    caption: str,
    axes_names: tuple[str, str],
    colours: Colours,
    marked: bool = False,
    by: str = "run",
    note: str = "",
) -> list[Figure]:
    """Lines through rows of numbers, one for each value of ``by``; no figure without a number."""
    x, y = keys
    if not any(row[y] is not None for row in rows):
        return []
    by_run: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_run.setdefault(row[by], []).append(row)
    kept = {run: thinned(some) for run, some in by_run.items()}
    series = {run: [(row[x], row[y]) for row in some] for run, some in kept.items()}
    left_out = len(rows) - sum(map(len, kept.values()))
    thin = f"{left_out} of {len(rows)} points were left out, evenly." if left_out else ""
    name = slug(caption)
    marked = marked or max(map(len, series.values())) <= FEW_POINTS
    drawn = charts.lines(series, colours, axes_names, caption, f"{name}-", marked)
    ends = {run: [value for _, value in points if value is not None] for run, points in series.items()}
    said = "; ".join(f"{run} from {v[0]:.2f} to {v[-1]:.2f}" for run, v in ends.items() if v).replace("-", "−")
    return [
        Figure(
            name,
            caption,
            f"{axes_names[1]}: {said}.",
            drawn,
            Table(name, caption, columns, [row for some in kept.values() for row in some], f"{note} {thin}".strip()),
        )
    ]


def thinned(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first, the last, and evenly chosen ones between: a long log would make a large page and no better figure."""
    if len(rows) <= MOST_POINTS:
        return list(rows)
    step = (len(rows) - 1) / (MOST_POINTS - 1)
    return [rows[round(place * step)] for place in range(MOST_POINTS)]
