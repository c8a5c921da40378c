"""What was compared: one row per run."""

from __future__ import annotations

from typing import Any

from softpref.report.collect import Found, RunResult
from softpref.report.document import Column, Section, Table

COLUMNS = (
    Column("run", "run"),
    Column("loss", "loss"),
    Column("treatment", "label treatment"),
    Column("arguments", "arguments"),
    Column("rate", "learning rate", "plain"),
    Column("pairs", "rows learned from", "count"),
    Column("updates", "updates", "count"),
    Column("seed", "seed", "plain"),
)


def compared(found: Found) -> Section:
    """The runs. An unfinished one says so in place of its updates."""
    rows = [_row(run) for run in found.runs]
    columns = [column for column in COLUMNS if any(row[column.key] not in (None, "") for row in rows)]
    table = Table("runs", "Runs", columns, rows)
    return Section("compared", "What was compared", [table] if rows else [])


def _row(run: RunResult) -> dict[str, Any]:
    method, finished = run.run.method, run.run.finished
    return {
        "run": run.name,
        "loss": method.base,
        "treatment": method.label_treatment,
        "arguments": ", ".join(f"{key} = {value}" for key, value in method.arguments.items()),
        "rate": run.run.settings.get("learning_rate"),
        "pairs": run.run.data.tokens.kept if run.run.data.tokens else None,
        "updates": finished.steps if finished else None,
        "seed": run.run.seed,
    }
