"""Where the paper's bandit shows what the paper says, and where not: its figure in every reading of what it leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from softpref.core.arrays import Floats
from softpref.data.files import write_json
from softpref.research.bandit.bandit import LABELS, BanditSettings, effect_holds, figures, learn
from softpref.research.grid import Cell, OnCell, crossed, run_grid

CELLS_FILE, RESULT_FILE = "effect_cells.jsonl", "effect.json"

TIMES = (1e3, 1e4, 1e5)
AXES: dict[str, tuple[Any, ...]] = {
    "labels": LABELS,
    "width": (4.0, 8.0, 12.0),
    "reward_range": (0.5, 1.0, 1.5, 2.0, 3.0, 5.0),
    "low_weight": (0.5, 0.6, 0.7, 0.8, 0.9),
}


def effect_cells(axes: Mapping[str, tuple[Any, ...]] = AXES) -> list[dict[str, Any]]:
    """Every combination of the axes, the rest as in our reading of the paper; one training serves all times."""
    rest: dict[str, Any] = {
        name: value for name, value in asdict(BanditSettings()).items() if name not in ("training_time", *axes)
    }
    return [{**cell, **rest, "times": TIMES} for cell in crossed(**axes)]


def modes(cell: Cell) -> dict[str, Any]:
    """Mode and expected reward of every method in one cell, and whether the effect is there, at each time."""
    given = {name: value for name, value in cell.items() if name != "times"}
    settings = BanditSettings(**{**given, "methods": tuple(cell["methods"])})
    learnt = learn(settings, cell["times"])
    steps = range(len(cell["times"]))
    return {"at": [_row(settings, {name: path[k] for name, path in learnt.items()}) for k in steps]}


def _row(settings: BanditSettings, policies: Mapping[str, Floats]) -> dict[str, Any]:
    found = {name: figures(policy, settings.world) for name, policy in policies.items()}
    return {"methods": found, "holds": effect_holds({name: row["mode"] for name, row in found.items()})}


def run_effect(output: str | Path, *, workers: int | None = None, on_cell: OnCell | None = None) -> list[dict[str, Any]]:
    """Compute what is missing of the map, write ``effect.json``, and return its rows in the order of the axes."""
    folder, cells = Path(output), effect_cells()
    results = run_grid(cells, modes, folder / CELLS_FILE, workers=workers, on_cell=on_cell)
    rows = [
        {**{axis: cell[axis] for axis in AXES}, "training_time": time, **at}
        for cell, result in zip(cells, results, strict=True)
        for time, at in zip(TIMES, result["at"], strict=True)
    ]
    write_json(
        folder / RESULT_FILE,
        {"axes": {**AXES, "training_time": TIMES}, "default": asdict(BanditSettings()), "cells": rows},
    )
    return rows
