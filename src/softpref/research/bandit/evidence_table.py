"""What the map of labels says: differences between treatments with intervals over worlds, as a table to ship and to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from softpref.advice.evidence import AXES, NEGLIGIBLE, READOUTS, TREATMENTS
from softpref.research.bandit.map import BETAS, BUDGETS, GOOD_JUDGE, SIZES
from softpref.research.markdown_table import table

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
    return {name: np.mean([row["figures"][budget][readout][name]["rewards"] for row in rows], axis=0) for name in TREATMENTS}


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


def votes_name(row: Row) -> str:
    """How p came about: by itself, or of how many votes and how."""
    if row["votes"] is None:
        return "p itself"
    return f"{row['votes']} vote{'s' * (row['votes'] > 1)}" + (", raw mean" if row["raw"] and row["votes"] > 1 else "")


def judge_name(row: Row) -> str:
    """What is wrong with the judge."""
    wrong = [f"{name} {value:g}" for name, value in row["judge"].items() if value != GOOD_JUDGE[name]]
    return ", ".join(wrong) or "no fault"


def with_good_judge(rows: Sequence[Row]) -> list[Row]:
    """The rows in which nothing is wrong with the labels but the number of votes."""
    return [row for row in rows if row["judge"] == GOOD_JUDGE]


def with_p_itself(rows: Sequence[Row]) -> list[Row]:
    """The rows in which p is the judge's own."""
    return [row for row in rows if row["votes"] is None]


def grouped(rows: Sequence[Row], name: Callable[[Row], str]) -> dict[str, list[Row]]:
    """The rows by their name, in the order in which names come up."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(name(row), []).append(row)
    return groups


def beats(rewards: ArrayLike, other: ArrayLike) -> bool:
    """Whether one treatment is clearly better: by a hundredth of the range or more, with an interval that does not hold 0."""
    gap = difference(rewards, other)
    return gap.mean >= NEGLIGIBLE and not gap.mean - gap.half_width <= 0


def clear_wins(rows: Sequence[Row]) -> dict[str, float]:
    """By treatment: the share of situations in which it clearly beats both others. Greedy is left out: see ``as_markdown``."""
    situations = [row["figures"][budget][readout] for row in rows for budget, readout in FIGURES if readout != "greedy"]
    rewards = [{name: one[name]["rewards"] for name in TREATMENTS} for one in situations]
    return {
        name: float(np.mean([all(beats(one[name], one[other]) for other in TREATMENTS if other != name) for one in rewards]))
        for name in TREATMENTS
    }


def beta_ratios(rows: Sequence[Row], readout: str = "sampled") -> np.ndarray[Any, Any]:
    """Geometric's chosen beta over hard's, (rows · budgets,)."""
    betas = np.array(BETAS)
    figures = [row["figures"][f"{budget:g}"][readout] for row in rows for budget in BUDGETS]
    return np.array([betas[one["geometric"]["beta"]] / betas[one["hard"]["beta"]] for one in figures])


CONFIDENCE_EDGES = (0.0, 0.15, 0.3, 0.5, 0.7, 1.0)


def as_markdown(rows: Sequence[Row], size: str) -> str:
    """Three tables: who is near the best, who wins clearly for which labels, and geometric's beta.

    The mode of a policy jumps from one peak to the other, so greedy rewards of a few worlds say little of a single cell.
    Single votes are left out of the last two: all treatments are the same there.
    """
    several = [row for row in rows if row["votes"] != 1]
    head = ["training", "read off", *(f"{name}: near best, regret" for name in TREATMENTS)]
    standing = [[budget, readout, *_standing_cells(rows, budget, readout)] for budget, readout in FIGURES]
    labels = ["labels", *(f"{name} wins" for name in TREATMENTS), "geometric − hard", "geometric − conservative"]
    beta = [
        "mean \\|2p − 1\\|",
        "cells",
        "beta of geometric / beta of hard, median (quartiles)",
        "1 / mean \\|2p − 1\\|",
    ]
    return "\n".join(
        [
            f"`{command(size)}`: {len(rows)} cells, each {_worlds(rows)} worlds.\n",
            table([head, *standing]),
            table([labels, *(_kind(name, chosen) for name, chosen in _kinds(several).items())]),
            table([beta, *_betas(several)]),
        ]
    )


def _kinds(rows: Sequence[Row]) -> dict[str, list[Row]]:
    judges = grouped(with_p_itself(rows), judge_name)
    votes = grouped([row for row in with_good_judge(rows) if row["votes"] is not None], votes_name)
    return {"all": [*rows], **{f"p itself, {name}": chosen for name, chosen in judges.items()}, **votes}


def _kind(name: str, rows: Sequence[Row]) -> list[str]:
    means = pooled_rewards(rows, "1000", "sampled")
    gaps = [difference(means["geometric"], means[other]) for other in ("hard", "conservative")]
    return [name, *(f"{share:.0%}" for share in clear_wins(rows).values()), *map(_signed, gaps)]


def _betas(rows: Sequence[Row]) -> list[list[str]]:
    found = []
    for low, high in pairwise(CONFIDENCE_EDGES):
        chosen = [row for row in rows if low <= row["confidence"] < high]
        if chosen:
            first, middle, third = np.quantile(beta_ratios(chosen), [0.25, 0.5, 0.75])
            inverse = 1 / np.median([row["confidence"] for row in chosen])
            ratio = f"{middle:.2g} ({first:.2g} – {third:.2g})"
            found.append([f"{low:g} – {high:g}", str(len(chosen)), ratio, f"{inverse:.2g}"])
    return found


def _worlds(rows: Sequence[Row]) -> int:
    return len(rows[0]["figures"][FIGURES[0][0]][FIGURES[0][1]]["hard"]["rewards"])


def _standing_cells(rows: Sequence[Row], budget: str, readout: str) -> list[str]:
    return [f"{one['near_best']:.0%}, {one['mean_regret']:.3f}" for one in standings(rows, budget, readout).values()]


def _signed(gap: Difference) -> str:
    return f"{gap.mean:+.3f} ± {gap.half_width:.3f}"
