"""The judges of the command line: those of the library, the simulated one of the demo's world, and consent to paid calls."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from softpref.cli.options import say
from softpref.errors import OptionError
from softpref.judges.base import Judge
from softpref.judges.registry import JudgeOptions, judge_options, make_judge, register

__all__ = ["JudgeOptions", "agree_to_pay", "judge_options", "make_judge"]

# A token of English text has about four characters; good enough for an estimate that says so.
CHARACTERS_PER_TOKEN = 4


def _plan_world(given: dict[str, Any]) -> Judge:
    from softpref.demo.plan_world_judge import plan_world_judge

    return plan_world_judge(**given)


register("plan_world", (_plan_world, (), ("seed",)))


def agree_to_pay(judges: Sequence[JudgeOptions], questions: int, characters: float, *, yes: bool) -> None:
    """Print what the judges on servers will be sent, and ask whether to go on, unless ``yes``.

    Args:
        judges: all judges; those that need no server cost nothing.
        questions: that each is asked at most.
        characters: of one question, the judge's own prompt aside.
        yes: do not ask.

    Raises OptionError where the answer is no, or where nobody can be asked.
    """
    servers = [judge for judge in judges if judge.judge == "server"]
    if not servers:
        return
    tokens = int(questions * characters / CHARACTERS_PER_TOKEN)
    prices = [judge.price_in for judge in servers if judge.price_in is not None]
    cost = f", about {tokens * sum(prices) / 1e6:.2f} at your prices" if prices else ""
    n = len(servers)
    say(f"at most {questions * n} questions, roughly {tokens * n:,} prompt tokens beside the judge's own prompt{cost}")
    if yes:
        return
    if not sys.stdin.isatty():
        raise OptionError("stdin is not a terminal; pass --yes to confirm paid calls")
    if input("go on? [y/N] ").strip().lower() not in ("y", "yes"):
        raise OptionError("not confirmed; nothing was sent but the probe")
