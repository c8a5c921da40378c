"""When does geometric averaging win? Hard, conservative and geometric DPO on the bandit, over what is wrong with labels.

A world draws pairs of actions, a judge or some voters label them, and each treatment learns from the same labels. Varied
are how sure the labels are (through the reward range), how many votes stand behind them, how wrong the judge is, how
much data lies in the good region, and how long is trained. Read off are the reward of the policy's mode (``greedy``), of
its samples (``sampled``), and of its samples at a KL of 1 nat from the data (``within_1_nat``): as shares of the reward
range, so that worlds compare.

A beta per treatment and readout is chosen from one grid on worlds of its own; the figures come from other worlds. No
beta is trained twice: with g = β·f the loss does not know β, and gradient descent on f is gradient descent on g at β²
times the rate. So ``f_β(t) = g(β²·t)/β``, and one path of g holds every beta.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from softpref.advice.evidence import READOUTS, TREATMENTS
from softpref.core.arrays import Floats
from softpref.core.soft_labels import fit_beta_prior, from_votes
from softpref.core.treatments import resolve
from softpref.research.bandit.bandit import ACTIONS, World, divergence, policy_of
from softpref.research.bandit.gradient_flow import Comparisons, orient, times_between, train
from softpref.research.grid import Cell, OnCell, crossed, run_grid

CELLS_FILE = "labels_cells.jsonl"

# Learning rate times steps of full-batch gradient descent.
BUDGETS = (1e2, 1e3, 1e4)
BETAS: tuple[float, ...] = tuple(float(b) for b in 10 ** (np.arange(-8, 9) / 4))
KL_LIMIT = 1.0
WIDTH = 8.0
# β² · budget falls on these times exactly: betas are quarters of a decade apart, their squares halves.
TIMES = times_between(min(BETAS) ** 2 * min(BUDGETS), max(BETAS) ** 2 * max(BUDGETS), per_decade=6)

# To be raised with every change to what a cell computes: cells of an older version are then computed again.
VERSION = 1

GOOD_JUDGE = {"sharpness": 1.0, "noise": 0.0, "bias": 0.0, "flips": 0.0}


@dataclass(frozen=True)
class Size:
    """How large a map is. ``votes`` are (number or None for p itself, raw mean or not); ``judges`` are kinds of error.

    ``sharpness`` multiplies the judge's log-odds: above 1 it is too sure of itself. ``noise`` is the standard deviation of
    what is added to them by chance, in nats: unlike a flip it turns unsure labels round. ``bias`` is what a trait without
    value, which half of the actions have and half of them lack, is worth to the judge, as a share of the reward range.
    ``flips`` is how often a label is turned round. Worlds before ``chosen_on`` choose beta, the others are read off.
    """

    reward_ranges: tuple[float, ...]
    votes: tuple[tuple[int | None, bool], ...]
    low_weights: tuple[float, ...]
    judges: tuple[Mapping[str, float], ...]
    pairs: int = 2000
    worlds: int = 9
    chosen_on: int = 3


def one_error_at_a_time(**errors: Sequence[float]) -> tuple[dict[str, float], ...]:
    """The good judge, and one that differs from it in a single number, for every number given."""
    return (GOOD_JUDGE, *({**GOOD_JUDGE, name: value} for name, values in errors.items() for value in values))


SIZES = {
    "small": Size((2.0, 8.0), ((None, False), (3, True)), (0.7,), one_error_at_a_time(flips=(0.3,)), 200, 4, 2),
    "default": Size(
        (1.0, 2.0, 4.0, 8.0, 16.0),
        ((None, False), (1, True), (3, True), (3, False), (10, True), (10, False), (50, False)),
        (0.5, 0.7, 0.9),
        one_error_at_a_time(sharpness=(0.5, 3.0), noise=(1.0, 3.0), bias=(0.25,), flips=(0.1, 0.2, 0.3)),
    ),
    "large": Size(
        (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0),
        ((None, False), (1, True), *((n, raw) for n in (2, 3, 5, 10, 20, 50) for raw in (True, False))),
        (0.5, 0.7, 0.8, 0.9, 0.95),
        tuple(crossed(sharpness=(0.5, 1.0, 3.0), noise=(0.0, 1.0, 3.0), bias=(0.0, 0.25), flips=(0.0, 0.1, 0.2, 0.3))),
        worlds=20,
        chosen_on=5,
    ),
}  # fmt: skip


def map_cells(size: Size) -> list[dict[str, Any]]:
    """Every combination, judges changing fastest. A cell holds all that decides its result."""
    rest = {"version": VERSION, "pairs": size.pairs, "worlds": size.worlds, "chosen_on": size.chosen_on}
    axes = crossed(reward_range=size.reward_ranges, votes=size.votes, low_weight=size.low_weights, judge=size.judges)
    return [
        {**cell, "votes": votes, "raw": raw, "judge": dict(cell["judge"]), **rest}
        for cell in axes
        for votes, raw in [cell["votes"]]
    ]


# --- one cell -----------------------------------------------------------------------------------------------------------


def compare(cell: Cell) -> dict[str, Any]:
    """The three treatments in one cell: reward of every readout, in every world that did not choose beta, and the betas."""
    world = World(cell["reward_range"], cell["low_weight"], WIDTH)
    labelled = label_worlds(world, cell)
    read = {name: _readings(labelled, method, world) for name, method in TREATMENTS.items()}
    evaluated = labelled.soft_label[cell["chosen_on"] :]
    return {
        "confidence": float(np.mean(2 * evaluated - 1)),
        "figures": {
            f"{budget:g}": {
                readout: {name: _chosen(readings[k], readout, cell["chosen_on"]) for name, readings in read.items()}
                for readout in READOUTS
            }
            for k, budget in enumerate(BUDGETS)
        },
    }


def label_worlds(world: World, cell: Cell) -> Comparisons:
    """Pairs as drawn and labelled in each of the cell's worlds, (W, N), the preferred-or-equal action first."""
    drawn = [_labelled_pairs(world, cell, np.random.default_rng(seed)) for seed in range(cell["worlds"])]
    first, second, p = (np.stack(column) for column in zip(*drawn, strict=True))
    return orient(first, second, p)


def _labelled_pairs(world: World, cell: Cell, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    judge = cell["judge"]
    # a world draws the same numbers in every cell, so that cells differ by their settings and not by their luck
    [for_noise] = rng.spawn(1)
    trait = rng.permutation(np.repeat([0.0, 1.0], ACTIONS // 2))
    first, second = rng.choice(ACTIONS, (2, cell["pairs"]), p=world.data_policy)
    value = world.reward + judge["bias"] * world.reward_range * trait
    chance = judge["noise"] * for_noise.standard_normal(cell["pairs"])
    p: Floats = expit(judge["sharpness"] * (value[first] - value[second]) + chance)
    turned = rng.random(len(p)) < judge["flips"]
    p = np.where(turned, 1 - p, p) if cell["votes"] is None else _by_votes(p, turned, cell, rng)
    return first, second, p


def _by_votes(p: Floats, turned: NDArray[np.bool_], cell: Cell, rng: np.random.Generator) -> Floats:
    """The label that reading would make of that many votes: their raw mean, or through a Beta prior fitted to the file."""
    votes = cell["votes"]
    won = rng.binomial(votes, p)
    won = np.where(turned, votes - won, won)
    return from_votes(won, votes - won, prior=None if cell["raw"] else fit_beta_prior(won, votes - won))


@dataclass(frozen=True)
class _Reading:
    """What each beta comes to in each world, (B, W): reward of the mode and of samples (shares of the range), KL in nats."""

    greedy: Floats
    sampled: Floats
    kl: Floats


def _readings(labelled: Comparisons, method: str, world: World) -> list[_Reading]:
    """One reading per budget."""
    path = train(labelled, resolve(method, beta=1.0), TIMES, ACTIONS)
    value = np.linspace(0, 1, ACTIONS)
    readings = []
    for budget in BUDGETS:
        reached = [int(np.abs(np.log(TIMES / (beta**2 * budget))).argmin()) for beta in BETAS]
        log_ratio = np.stack([path[:, k] / beta for k, beta in zip(reached, BETAS, strict=True)])
        policy = policy_of(world.data_policy, log_ratio)
        readings.append(_Reading(value[policy.argmax(axis=-1)], policy @ value, divergence(policy, world.data_policy)))
    return readings


def _chosen(reading: _Reading, readout: str, chosen_on: int) -> dict[str, Any]:
    """Rewards in the worlds after the first ``chosen_on``, and the beta as an index into BETAS."""
    if readout == "within_1_nat":
        # every world has its own beta at which the KL is just that: there is nothing to choose
        columns = zip(reading.kl.T[chosen_on:], reading.sampled.T[chosen_on:], strict=True)
        found = [best_within(kl, reward, KL_LIMIT) for kl, reward in columns]
        beta, rewards = round(float(np.median([place for _, place in found]))), [reward for reward, _ in found]
    else:
        values: Floats = getattr(reading, readout)
        # of betas that do equally well, as modes often do, the one that stays nearest to the data
        scores = zip(values[:, :chosen_on].mean(axis=1), -reading.kl[:, :chosen_on].mean(axis=1), strict=True)
        beta = max(enumerate(scores), key=lambda scored: scored[1])[0]
        rewards = values[beta, chosen_on:].tolist()
    return {"rewards": [round(reward, 5) for reward in rewards], "beta": beta}


def best_within(kl: Floats, reward: Floats, limit: float) -> tuple[float, float]:
    """The best reward that some beta reaches with a KL of at most ``limit``, and that beta's place in the grid.

    Between neighbouring betas (N,) both are taken as straight lines, so the best lies at a grid point or where the KL
    crosses the limit.
    """
    found = [(float(reward[k]), float(k)) for k in np.flatnonzero(kl <= limit)]
    for k in np.flatnonzero((kl[:-1] - limit) * (kl[1:] - limit) < 0):
        part = float((limit - kl[k]) / (kl[k + 1] - kl[k]))
        found.append((float(reward[k] + part * (reward[k + 1] - reward[k])), float(k) + part))
    return max(found)


# --- the map ------------------------------------------------------------------------------------------------------------


def run_map(size: str, output: str | Path, *, workers: int | None = None, on_cell: OnCell | None = None) -> list[dict[str, Any]]:
    """Compute what is missing of the map of this size; one ``{**cell, **result}`` per cell."""
    cells = map_cells(SIZES[size])
    results = run_grid(cells, compare, Path(output) / CELLS_FILE, workers=workers, on_cell=on_cell)
    return [{**cell, **result} for cell, result in zip(cells, results, strict=True)]
