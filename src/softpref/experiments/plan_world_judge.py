"""The simulated judge of PlanWorld."""

from __future__ import annotations

from softpref.data.pairs import Text, text_of
from softpref.experiments import plan_world
from softpref.judges.simulated import SimulatedJudge

# True log-odds per unit of gold: a pair half a plan apart is preferred with probability s(4) = 0.98. Of the scales tried,
# the one that spreads the labels of the world's pairs most evenly over [½, 1].
SCALE = 8.0


def plan_world_judge(seed: int = 0) -> SimulatedJudge:
    """Favours what it sees first, is surer than it should be, errs, and now and then fails."""
    return SimulatedJudge(
        "plan_world_v1", gold, SCALE, temperature=0.7, position_bias=0.4, noise=0.8, failure_rate=0.03, seed=seed
    )


def gold(prompt: Text, response: Text) -> float:
    """Gold of a response to a prompt of the world, in [0, 1]."""
    return plan_world.gold(text_of(prompt), text_of(response))
