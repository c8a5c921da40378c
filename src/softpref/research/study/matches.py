"""Head to head: every method against every other on one label set, over all seeds, by the faulty judge and by the truth.

The responses are those that the runs left behind, so ``softpref head-to-head`` can ask any other judge about them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from softpref.demo.plan_world_judge import FAULTS, NO_FAULTS, criterion_judge
from softpref.evaluation.head_to_head import head_to_head
from softpref.records.record import plain
from softpref.research.grid import OnCell, run_grid
from softpref.research.study.conduct import CELLS_FOLDER
from softpref.research.study.runs import Run, cell_of, publish_responses, response_file, run_of
from softpref.research.study.settings import Training

JUDGES: Mapping[str, Mapping[str, float]] = {"judge": FAULTS, "truth": NO_FAULTS}


def play(
    study: Path,
    runs: Sequence[Run],
    training: Training,
    workers: int | None = None,
    on_cell: OnCell | None = None,
) -> dict[str, dict[str, Any]]:
    """By label set and judge: names of the methods, SFT first, and the percentage win rate of row against column."""
    cells: list[dict[str, Any]] = [
        {"judge": judge, "labels": labels, "runs": [cell_of(run, training) for run in runs if run.labels == labels]}
        for labels in dict.fromkeys(run.labels for run in runs)
        for judge in JUDGES
    ]
    file = study / CELLS_FOLDER / "matches.jsonl"
    results = run_grid(cells, partial(play_cell, study=study), file, workers=workers, on_cell=on_cell)
    found: dict[str, dict[str, Any]] = {}
    for cell, result in zip(cells, results, strict=True):
        found.setdefault(cell["labels"], {})[cell["judge"]] = result
    return found


def play_cell(cell: Mapping[str, Any], study: Path) -> dict[str, Any]:
    """One matrix. The whole of it lies in ``STUDY/head_to_head/LABELS_by_JUDGE/head_to_head.json``."""
    labels, runs = cell["labels"], cell["runs"]
    # a study with other betas in the same folder has left its own there
    for run in runs:
        publish_responses(run_of(run), Training(**run["training"]), study)
    methods = ["sft", *dict.fromkeys(run["method"] for run in runs)]
    seeds = list(dict.fromkeys(run["seed"] for run in runs))
    files = [str(response_file(study, labels, seed, method)) for method in methods for seed in seeds]
    judge = criterion_judge("gold", 0, JUDGES[cell["judge"]])
    output = study / "head_to_head" / f"{labels}_by_{cell['judge']}"
    record = head_to_head(files, study / "prompts" / "test.jsonl", judge, output)
    pairs = [
        {
            "model": pair.model,
            "against": pair.against,
            "percentage": plain(pair.win_rates.percentage),
            "p_holm": pair.tests["wilcoxon"].p_holm,
        }
        for pair in record.pairs
    ]
    return {"methods": methods, "seeds": seeds, "pairs": pairs}
