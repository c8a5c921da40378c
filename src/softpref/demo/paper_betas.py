"""The paper's betas for plans, by method, in the order in which it lists them."""

from __future__ import annotations

from typing import Literal

# For Plasma Plan (arXiv 2409.06691, §5).
PLAN_BETAS: dict[str, float] = {
    "dpo": 0.1,
    "cdpo": 0.1,
    "gdpo": 0.3,
    "ipo": 0.1,
    "cipo": 0.1,
    "gipo": 0.05,
    "ropo": 0.1,
    "gropo": 0.3,
}


def treatment_of(method: str) -> Literal["hard"] | None:
    """``hard`` for a base loss, stated since its labels are soft; None for a name that has a treatment of its own."""
    return "hard" if method in ("dpo", "ipo", "ropo") else None
