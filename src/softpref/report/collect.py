"""Run folders become what the page shows. A part that a run does not have is None; nothing is made up."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from softpref.errors import InputError

EXAMPLES = 12


@dataclass(frozen=True)
class EvaluationResult:
    """One evaluation of a run: its name, what ``evaluation.json`` says, and some of its comparisons."""

    name: str
    figures: dict[str, Any]
    examples: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class RunResult:
    """One run folder: ``run.json``, the training log, its evaluations, and its points of reward against KL."""

    name: str
    run: dict[str, Any]
    metrics: list[dict[str, Any]]
    evaluations: list[EvaluationResult]
    frontier: dict[str, Any] | None = None

    @property
    def training(self) -> list[dict[str, Any]]:
        """Log lines of training steps."""
        return [line for line in self.metrics if "loss" in line]


def read_run(folder: str | Path) -> RunResult:
    """Everything that a run left behind. Raises InputError where the folder holds no run."""
    folder = Path(folder)
    run = _json(folder / "run.json")
    if run is None:
        raise InputError(f"{folder}: holds no run (run.json is missing); give the output_dir of softpref train")
    evaluations = [read_evaluation(found.parent) for found in sorted(folder.glob("evaluations/*/evaluation.json"))]
    return RunResult(folder.name, run, _lines(folder / "metrics.jsonl"), evaluations, _json(folder / "frontier.json"))


def read_evaluation(folder: Path) -> EvaluationResult:
    """One evaluation and its examples: those where the judge was surest either way, and those where it was least sure."""
    rows = sorted((r for r in _lines(folder / "comparisons.jsonl") if r["p"] is not None), key=lambda row: -row["p"])
    third = EXAMPLES // 3
    middle = sorted(rows, key=lambda row: abs(row["p"] - 0.5))[:third]
    chosen = rows if len(rows) <= EXAMPLES else [*rows[:third], *middle, *rows[-third:]]
    return EvaluationResult(folder.name, _json(folder / "evaluation.json") or {}, chosen)


def _json(file: Path) -> Any:
    if not file.is_file():
        return None
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file}: is not JSON ({error})") from error


def _lines(file: Path) -> list[dict[str, Any]]:
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
