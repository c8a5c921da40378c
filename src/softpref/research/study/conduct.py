"""Conduct a study: make what is missing of worlds, labels and runs, in several processes, and resume where it stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from softpref.data.files import write_json
from softpref.data.formats import write_rows
from softpref.demo.paper_betas import PLAN_BETAS
from softpref.errors import OptionError, nearest
from softpref.research.grid import Cell, OnCell, Result, run_grid
from softpref.research.study.labels import described, make_label_set
from softpref.research.study.plan import PARTS, ChosenBeta, choose, label_sets_of, part_runs, tuning_runs
from softpref.research.study.runs import Run, cell_of, train_and_measure
from softpref.research.study.settings import VERSION, Size, Training
from softpref.research.study.world import make_world, prompts_of, world_folder

CELLS_FOLDER = "cells"
# Called before every stage with its name; what the context gives is told of every cell.
OnStage = Callable[[str], AbstractContextManager[OnCell]]


@dataclass(frozen=True)
class Found:
    """What a study has found: the betas it went by, what its labels are like, and every run with its result, by part."""

    size: Size
    betas: Mapping[str, ChosenBeta]
    labels: Mapping[tuple[str, int], Mapping[str, Any]]
    parts: Mapping[str, Sequence[tuple[Run, Mapping[str, Any]]]]


def conduct(
    study: Path,
    size: Size,
    parts: Sequence[str] = PARTS,
    betas: str = "chosen",
    workers: int | None = None,
    on_stage: OnStage = lambda _: nullcontext(_silent),
) -> Found:
    """Compute what ``study`` does not hold yet.

    Args:
        size: one of ``SIZES``, or another.
        parts: some of ``PARTS``.
        betas: ``chosen`` on seeds and tasks of their own, or ``paper``: the paper's betas for plans.
        workers: processes; None is one per core.

    Raises OptionError for a part that there is not, InputError when another run writes to the same study.
    """
    _check(parts, betas)
    lab = _Lab(study, size.training, workers, on_stage)
    lab.write_prompts()
    chosen = lab.choose_betas(size) if betas == "chosen" else _paper_betas()
    by_method = {method: one.beta for method, one in chosen.items()}
    runs = {part: part_runs(part, size, by_method) for part in PARTS if part in parts}
    labels: dict[tuple[str, int], Result] = {}
    found = {}
    for part, planned in runs.items():
        labels |= lab.prepare(part, planned)
        found[part] = list(zip(planned, lab.run(part, planned), strict=True))
    return Found(size, chosen, labels, found)


def _silent(_done: int, _total: int, _found: int) -> None:
    pass


def _check(parts: Sequence[str], betas: str) -> None:
    for part in parts:
        if part not in PARTS:
            raise OptionError(f"parts holds {part!r}{nearest(part, PARTS)}")
    if betas not in ("chosen", "paper"):
        raise OptionError(f"betas is {betas!r}; give chosen or paper")


def _paper_betas() -> dict[str, ChosenBeta]:
    return {method: ChosenBeta(beta, False, {}) for method, beta in PLAN_BETAS.items()}


@dataclass(frozen=True)
class _Lab:
    """The folder of a study and how it is worked on."""

    study: Path
    training: Training
    workers: int | None
    on_stage: OnStage

    def write_prompts(self) -> None:
        """The prompts, as the other commands read them."""
        for split in ("validation", "test"):
            write_rows(
                self.study / "prompts" / f"{split}.jsonl",
                ({"prompt": prompt} for prompt in prompts_of(split, self.training)),
            )

    def choose_betas(self, size: Size) -> dict[str, ChosenBeta]:
        """By the judge's percentage win rate on validation tasks, greedy and sampled averaged, over the tuning seeds."""
        planned = list(tuning_runs(size))
        self.prepare("betas", planned)
        results = self.run("betas", planned)
        chosen = {}
        for method in dict.fromkeys(run.method for run in planned):
            scores = {
                beta: float(
                    np.mean(
                        [
                            _score(result)
                            for run, result in zip(planned, results, strict=True)
                            if (run.method, run.beta) == (method, beta)
                        ]
                    )
                )
                for beta in size.betas
            }
            chosen[method] = choose(scores)
        write_json(self.study / "betas.json", {method: one.as_dict() for method, one in chosen.items()})
        return chosen

    def prepare(self, what: str, planned: Iterable[Run]) -> dict[tuple[str, int], Result]:
        """The worlds and label sets of these runs; what the labels are like."""
        needed = label_sets_of(planned)
        shared = {"version": VERSION, "training": asdict(self.training)}
        worlds = [{**shared, "seed": seed} for seed in dict.fromkeys(seed for _, seed in needed)]
        self._grid(f"{what}: worlds", "worlds", worlds, make_world_of_cell)
        sets = [{**shared, "labels": described(name), "seed": seed} for name, seed in needed]
        return dict(zip(needed, self._grid(f"{what}: labels", "labels", sets, make_labels_of_cell), strict=True))

    def run(self, what: str, planned: Sequence[Run]) -> list[Result]:
        """The results of these runs, in their order."""
        cells = [cell_of(run, self.training) for run in planned]
        return self._grid(f"{what}: runs", "runs", cells, train_and_measure)

    def _grid(
        self, stage: str, name: str, cells: Sequence[Cell], work: Callable[[Mapping[str, Any], Path], Result]
    ) -> list[Result]:
        file = self.study / CELLS_FOLDER / f"{name}.jsonl"
        with self.on_stage(stage) as progress:
            return run_grid(cells, partial(quietly, work, self.study), file, workers=self.workers, on_cell=progress)


def quietly(work: Callable[[Mapping[str, Any], Path], Result], study: Path, cell: Mapping[str, Any]) -> Result:
    """Work on a cell, in a process of its own, without the progress bars that many processes would draw over one another."""
    from transformers.utils import logging

    os.environ.setdefault("SOFTPREF_CACHE", str(study / "cache"))
    logging.disable_progress_bar()
    return work(cell, study)


def make_world_of_cell(cell: Mapping[str, Any], study: Path) -> Result:
    """One seed's world."""
    return make_world(study, cell["seed"], Training(**cell["training"]))


def make_labels_of_cell(cell: Mapping[str, Any], study: Path) -> Result:
    """One label set of one seed."""
    world, name = world_folder(study, cell["seed"]), cell["labels"]["name"]
    return make_label_set(world.pool, world.labels(name), name, cell["seed"], Training(**cell["training"]))


def _score(result: Mapping[str, Any]) -> float:
    judged = result["judged"]
    return float(np.mean([np.mean([p for p in judged[way]["gold"]["p"] if p is not None]) for way in judged]))
