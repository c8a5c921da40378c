"""What the map of labels says: differences between treatments with intervals over worlds, as a table to ship and to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from softpref.experiments.bandit_map import BETAS, BUDGETS, SIZES
from softpref.experiments.evidence import AXES, NEGLIGIBLE, READOUTS, TREATMENTS

Row = Mapping[str, Any]
FIGURES = tuple((f"{budget:g}", readout) for budget in BUDGETS for readout in READOUTS)


@dataclass(frozen=True)
class Difference:
    """A mean paired difference, and the half-width of its 95% t-interval over worlds."""

    mean: float
    half_width: float


def difference(rewards: ArrayLike, other: ArrayLike) -> Difference:
    """Mean of ``rewards − other``, (W,) each, of the same worlds. One world has no interval: nan."""
    from scipy.stats import t

    gap = np.asarray(rewards, dtype=np.float64) - np.asarray(other, dtype=np.float64)
    if len(gap) == 1:
        return Difference(float(gap[0]), float("nan"))
    error = gap.std(ddof=1) / np.sqrt(len(gap))
    return Difference(float(gap.mean()), float(t.ppf(0.975, len(gap) - 1) * error))


def pooled_rewards(rows: Sequence[Row], budget: str, readout: str) -> dict[str, np.ndarray[Any, Any]]:
    """Mean reward over ``rows`` by treatment, (W,): a world's draws are the same in every cell, so worlds stay the units."""
    return {
        name: np.mean([row["figures"][budget][readout][name]["rewards"] for row in rows], axis=0) for name in TREATMENTS
    }


# --- the table that ships -----------------------------------------------------------------------------------------------


def evidence_of(rows: Sequence[Row], size: str) -> dict[str, Any]:
    """The table of ``evidence`` from the rows of a map."""
    return {
        "command": command(size),
        "pairs": SIZES[size].pairs,
        "worlds": SIZES[size].worlds - SIZES[size].chosen_on,
        "betas": [float(f"{beta:.3g}") for beta in BETAS],
        "axes": AXES,
        "figures": FIGURES,
        "cells": [[*_axes(row), [_numbers(row, *figure) for figure in FIGURES]] for row in rows],
    }


def command(size: str) -> str:
    """What makes a map of this size."""
    return "softpref bandit --figure labels" + ("" if size == "default" else f" --size {size}")


def _axes(row: Row) -> list[Any]:
    flat = {**row, **row["judge"], "confidence": round(row["confidence"], 3)}
    return [flat[axis] for axis in AXES]


def _numbers(row: Row, budget: str, readout: str) -> list[int]:
    figures = row["figures"][budget][readout]
    rewards = {name: figure["rewards"] for name, figure in figures.items()}
    gaps = [difference(rewards[name], rewards["geometric"]) for name in ("hard", "conservative")]
    numbers = [part for gap in gaps for part in (gap.mean, gap.half_width)]
    return [round(1000 * number) for number in numbers] + [figures[name]["beta"] for name in TREATMENTS]


# --- what is said of a map ----------------------------------------------------------------------------------------------


def standings(rows: Sequence[Row], budget: str, readout: str) -> dict[str, Any]:
    """Over the cells: how often each treatment is the best or negligibly behind, its mean regret, and edge betas.

    A regret is how far a treatment lies behind the best of the three in a cell. ``edge`` is the share of cells whose beta
    lies at an end of the grid.
    """
    figures = [row["figures"][budget][readout] for row in rows]
    means = {name: np.array([np.mean(one[name]["rewards"]) for one in figures]) for name in TREATMENTS}
    best = np.max([*means.values()], axis=0)
    return {
        name: {
            "near_best": float(np.mean(best - mean < NEGLIGIBLE)),
            "mean_regret": float(np.mean(best - mean)),
            "edge": float(np.mean([one[name]["beta"] in (0, len(BETAS) - 1) for one in figures])),
        }
        for name, mean in means.items()
    }


SLICES: dict[str, Callable[[Row], bool]] = {
    "all cells": lambda _: True,
    "p itself, a judge without fault": lambda row: row["votes"] is None and _faultless(row),
    "p itself, too sure by a factor of 3": lambda row: row["votes"] is None and row["judge"]["sharpness"] > 1,
    "p itself, chance of 3 nats in its log-odds": lambda row: row["votes"] is None and row["judge"]["noise"] == 3,
    "p itself, a bias": lambda row: row["votes"] is None and row["judge"]["bias"] > 0,
    "p itself, 30% flipped": lambda row: row["votes"] is None and row["judge"]["flips"] == 0.3,
    "3 votes, raw mean": lambda row: row["votes"] == 3 and row["raw"],
    "3 votes, fitted prior": lambda row: row["votes"] == 3 and not row["raw"],
    "10 votes, fitted prior": lambda row: row["votes"] == 10 and not row["raw"],
}


def _faultless(row: Row) -> bool:
    judge = row["judge"]
    return bool(judge["sharpness"] == 1 and judge["noise"] == judge["bias"] == judge["flips"] == 0)


def as_markdown(rows: Sequence[Row], size: str) -> str:
    """Two tables: who is near the best over all cells, and geometric against the others by kind of label."""
    parts = [f"`{command(size)}`: {len(rows)} cells, each {_worlds(rows)} worlds.\n"]
    head = ["training", "read off", *(f"{name}: near best, regret" for name in TREATMENTS)]
    body = [[budget, readout, *_standing_cells(rows, budget, readout)] for budget, readout in FIGURES]
    parts.append(_table([head, *body]))
    parts.append(
        _table([["labels", "training", "read off", "geometric − hard", "geometric − conservative"], *_slices(rows)])
    )
    return "\n".join(parts)


def _worlds(rows: Sequence[Row]) -> int:
    return len(rows[0]["figures"][FIGURES[0][0]][FIGURES[0][1]]["hard"]["rewards"])


def _standing_cells(rows: Sequence[Row], budget: str, readout: str) -> list[str]:
    return [f"{one['near_best']:.0%}, {one['mean_regret']:.3f}" for one in standings(rows, budget, readout).values()]


def _slices(rows: Sequence[Row]) -> list[list[str]]:
    found = []
    for name, belongs in SLICES.items():
        chosen = [row for row in rows if belongs(row)]
        for budget, readout in FIGURES if chosen else ():
            if readout != "greedy":
                means = pooled_rewards(chosen, budget, readout)
                gaps = [difference(means["geometric"], means[other]) for other in ("hard", "conservative")]
                found.append([name, budget, readout, *map(_signed, gaps)])
    return found


def _signed(gap: Difference) -> str:
    return f"{gap.mean:+.3f} ± {gap.half_width:.3f}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body]) + "\n"
