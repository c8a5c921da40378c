"""The judges of the command line: those of the library, and the simulated one of the demo's world."""

from __future__ import annotations

from typing import Any

from softpref.judges.base import Judge
from softpref.judges.registry import JudgeOptions, judge_options, make_judge, register

__all__ = ["JudgeOptions", "judge_options", "make_judge"]


def _plan_world(given: dict[str, Any]) -> Judge:
    from softpref.demo.plan_world_judge import plan_world_judge

    return plan_world_judge(**given)


register("plan_world", (_plan_world, (), ("seed",)))
