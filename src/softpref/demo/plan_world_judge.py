"""The simulated judges of PlanWorld, and the criteria they judge by."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from softpref.data.pairs import Text, text_of
from softpref.demo import plan_world
from softpref.judges.simulated import SimulatedJudge

# True log-odds per unit of gold: a pair half a plan apart is preferred with probability s(4) = 0.98. Of the scales tried,
# the one that spreads the labels of the world's pairs most evenly over [½, 1].
SCALE = 8.0

# Favours what it sees first, is surer than it should be, errs, and now and then fails.
FAULTS: Mapping[str, float] = {"temperature": 0.7, "position_bias": 0.4, "noise": 0.8, "failure_rate": 0.03}
NO_FAULTS: Mapping[str, float] = {"temperature": 1.0, "position_bias": 0.0, "noise": 0.0, "failure_rate": 0.0}


def plan_world_judge(seed: int = 0) -> SimulatedJudge:
    """Judges by gold, with the faults of ``FAULTS``."""
    return criterion_judge("gold", seed, FAULTS)


def criterion_judge(criterion: str, seed: int, faults: Mapping[str, float]) -> SimulatedJudge:
    """Judges by one of ``CRITERIA``. Its name says which, since answers are stored under it."""
    name = "plan_world_v1" if criterion == "gold" else f"plan_world_{criterion}_v1"
    return SimulatedJudge(name, CRITERIA[criterion], SCALE, **faults, seed=seed)


def gold(prompt: Text, response: Text) -> float:
    """Gold of a response to a prompt of the world, in [0, 1]."""
    return plan_world.gold(text_of(prompt), text_of(response))


def thorough(prompt: Text, response: Text) -> float:
    """Share of the needed steps that a response names, in [0, 1], whatever else it says."""
    return plan_world.thorough(text_of(prompt), text_of(response))


def short(prompt: Text, response: Text) -> float:
    """1 for saying nothing, ½ for as many steps as are needed, 0 from twice as many on."""
    return plan_world.short(text_of(prompt), text_of(response))


CRITERIA: Mapping[str, Callable[[Text, Text], float]] = {"gold": gold, "thorough": thorough, "short": short}
