"""Run folders become what the page shows. A part that a run does not have is None; nothing is made up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from softpref.errors import InputError
from softpref.evaluation.naming import short_names
from softpref.records.evaluation import (
    ClassificationRecord,
    ComparisonRow,
    EvaluationRecord,
    HeadToHeadRecord,
    OverOptimisationRecord,
)
from softpref.records.record import read_rows
from softpref.records.run import FrontierRecord, RunRecord, read_metrics
from softpref.run_folder import (
    CLASSIFICATION_FILE,
    CLASSIFICATIONS_FOLDER,
    COMPARISONS_FILE,
    COMPARISONS_FOLDER,
    EVALUATION_FILE,
    EVALUATIONS_FOLDER,
    FRONTIER_FILE,
    HEAD_TO_HEAD_FILE,
    METRICS_FILE,
    OVER_OPTIMISATION_FILE,
    RUN_FILE,
)

CLASSIFICATION = f"{CLASSIFICATIONS_FOLDER}/*/{CLASSIFICATION_FILE}"


@dataclass(frozen=True)
class EvaluationResult:
    """One evaluation of a run: its name, its record, and its comparisons."""

    name: str
    record: EvaluationRecord
    comparisons: list[ComparisonRow] = field(default_factory=list)


@dataclass(frozen=True)
class RunResult:
    """One run folder: its record, the training log, its evaluations, classifications by name, and what else was measured."""

    name: str
    run: RunRecord
    metrics: list[dict[str, Any]]
    evaluations: list[EvaluationResult]
    frontier: FrontierRecord | None = None
    classifications: dict[str, ClassificationRecord] = field(default_factory=dict)
    over_optimisation: OverOptimisationRecord | None = None

    @property
    def training(self) -> list[dict[str, Any]]:
        """Log lines of training steps."""
        return [line for line in self.metrics if "loss" in line]


@dataclass(frozen=True)
class HeadToHead:
    """Every method against every other: its record, and the comparisons of every two models."""

    name: str
    record: HeadToHeadRecord
    comparisons: dict[tuple[str, str], list[ComparisonRow]] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """What the folders given to a report hold."""

    runs: list[RunResult]
    head_to_heads: list[HeadToHead] = field(default_factory=list)


def read_folders(folders: Sequence[str | Path]) -> Found:
    """Runs and head-to-heads, each by a name of its own: seed_1/gdpo and seed_2/gdpo where gdpo alone would say too little.

    Raises InputError where a folder holds neither, or is named twice.
    """
    names = dict(zip(map(str, folders), names_of(folders), strict=True))
    duels = {str(folder): found for folder in folders if (found := read_head_to_head(folder)) is not None}
    runs = [replace(read_run(folder), name=names[str(folder)]) for folder in folders if str(folder) not in duels]
    return Found(runs, [replace(duel, name=names[folder]) for folder, duel in duels.items()])


def names_of(folders: Sequence[str | Path]) -> list[str]:
    """As ``short_names`` does. Raises InputError where a folder is named twice, in whatever way."""
    paths = [Path(folder).resolve() for folder in folders]
    for path, count in Counter(paths).items():
        if count > 1:
            raise InputError(f"{path}: is named {count} times; name every run once")
    return short_names([str(path) for path in paths])


def read_head_to_head(folder: str | Path) -> HeadToHead | None:
    """None where the folder holds none. Raises InputError where the file was written by something else."""
    file = Path(folder) / HEAD_TO_HEAD_FILE
    if not file.is_file():
        return None
    record = HeadToHeadRecord.read(file)
    return HeadToHead(Path(folder).name, record, _read_duels(Path(folder) / COMPARISONS_FOLDER, record.models))


def _read_duels(folder: Path, models: Sequence[str]) -> dict[tuple[str, str], list[ComparisonRow]]:
    """The comparisons of every pair, where they are there: ``I_J.jsonl``, the places of the two among the models."""
    places = {(one, other): (i, j) for j, other in enumerate(models) for i, one in enumerate(models[:j])}
    return {pair: read_rows(folder / f"{i}_{j}.jsonl", ComparisonRow) for pair, (i, j) in places.items()}


def read_run(folder: str | Path) -> RunResult:
    """Everything that a run left behind. Raises InputError where the folder holds no run."""
    folder = Path(folder)
    if not (folder / RUN_FILE).is_file():
        raise InputError(
            f"{folder}: holds no run ({RUN_FILE} is missing); give the output_dir of softpref train, or a head-to-head"
        )
    frontier, drift = folder / FRONTIER_FILE, folder / OVER_OPTIMISATION_FILE
    return RunResult(
        folder.name,
        RunRecord.read(folder / RUN_FILE),
        read_metrics(folder / METRICS_FILE),
        [read_evaluation(file.parent) for file in sorted(folder.glob(f"{EVALUATIONS_FOLDER}/*/{EVALUATION_FILE}"))],
        FrontierRecord.read(frontier) if frontier.is_file() else None,
        {file.parent.name: ClassificationRecord.read(file) for file in sorted(folder.glob(CLASSIFICATION))},
        OverOptimisationRecord.read(drift) if drift.is_file() else None,
    )


def read_evaluation(folder: Path) -> EvaluationResult:
    """One evaluation and its comparisons."""
    record = EvaluationRecord.read(folder / EVALUATION_FILE)
    return EvaluationResult(folder.name, record, read_rows(folder / COMPARISONS_FILE, ComparisonRow))
