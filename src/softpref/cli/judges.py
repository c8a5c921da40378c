"""Judges by the name that the command line gives them."""

from __future__ import annotations

from collections.abc import Callable

from softpref.errors import OptionError, nearest
from softpref.judges.base import Judge


def _plan_world(seed: int) -> Judge:
    from softpref.experiments.demo import simulated_judge

    return simulated_judge(seed)


JUDGES: dict[str, Callable[[int], Judge]] = {"plan_world": _plan_world}


def make_judge(name: str, seed: int) -> Judge:
    """The judge of this name. Raises OptionError for a name that is not known."""
    if name not in JUDGES:
        raise OptionError(f"judge {name!r} is unknown{nearest(name, JUDGES)}")
    return JUDGES[name](seed)
