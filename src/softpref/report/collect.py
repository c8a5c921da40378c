"""Run folders become what the page shows. A part that a run does not have is None; nothing is made up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from softpref.errors import InputError
from softpref.run_folder import (
    COMPARISONS_FILE,
    EVALUATION_FILE,
    EVALUATIONS_FOLDER,
    FRONTIER_FILE,
    METRICS_FILE,
    RUN_FILE,
    read_json,
    read_lines,
)

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


def read_runs(folders: Sequence[str | Path]) -> list[RunResult]:
    """Several runs, each by a name of its own: seed_1/gdpo and seed_2/gdpo where gdpo alone would say too little.

    Raises InputError where a folder holds no run, or is named twice.
    """
    names = names_of(folders)
    return [replace(read_run(folder), name=name) for folder, name in zip(folders, names, strict=True)]


def names_of(folders: Sequence[str | Path]) -> list[str]:
    """The last part of each path, with as many parents before it as tell it from the others."""
    paths = [Path(folder).resolve() for folder in folders]
    for path, count in Counter(paths).items():
        if count > 1:
            raise InputError(f"{path}: is named {count} times; name every run once")
    names = [path.name for path in paths]
    depth = 1
    while shared := {name for name, count in Counter(names).items() if count > 1}:
        depth += 1
        longer = ["/".join(path.parts[-depth:]) for path in paths]
        names = [long if name in shared else name for name, long in zip(names, longer, strict=True)]
    return names


def read_run(folder: str | Path) -> RunResult:
    """Everything that a run left behind. Raises InputError where the folder holds no run."""
    folder = Path(folder)
    run = read_json(folder / RUN_FILE)
    if run is None:
        raise InputError(f"{folder}: holds no run ({RUN_FILE} is missing); give the output_dir of softpref train")
    if not (isinstance(run, dict) and {"method", "data", "model"} <= run.keys()):
        raise InputError(f"{folder / RUN_FILE}: was not written by softpref train (it names no method, data and model)")
    found = sorted(folder.glob(f"{EVALUATIONS_FOLDER}/*/{EVALUATION_FILE}"))
    return RunResult(
        folder.name,
        run,
        read_lines(folder / METRICS_FILE),
        [read_evaluation(file.parent) for file in found],
        read_json(folder / FRONTIER_FILE),
    )


def read_evaluation(folder: Path) -> EvaluationResult:
    """One evaluation and its examples: those where the judge was surest either way, and those where it was least sure."""
    lines = read_lines(folder / COMPARISONS_FILE)
    rows = sorted((row for row in lines if row.get("p") is not None), key=lambda row: -row["p"])
    third = EXAMPLES // 3
    if len(rows) > EXAMPLES:
        middle = sorted(rows[third:-third], key=lambda row: abs(row["p"] - 0.5))[:third]
        rows = [*rows[:third], *middle, *rows[-third:]]
    return EvaluationResult(folder.name, read_json(folder / EVALUATION_FILE) or {}, rows)
