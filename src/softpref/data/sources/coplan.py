"""CoPlan: plans for everyday goals (Brahman et al. 2023, PlaSma, arXiv 2305.19472); the paper's "Plasma Plan".

https://github.com/allenai/PlaSma, ``data/CoPlan/planning/*.json``, one object a line:

    goal    "learn how to do a backstroke"
    script  "Step 1: … Step 2: …"
    source  who wrote it: curie, davinci-3, or human

The paper compares people's plans with those of a model of its own, which were not published. Here every plan of a person stands
against every plan of a model for the same goal; to compare with your own model, add its plans as lines with another ``source``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from softpref.data.sources.rows import LeftOutError, PairRow, Row, text

_STEP = re.compile(r"\s+(?=Step \d+:)")


def pairs(rows: Sequence[Row]) -> Iterator[PairRow]:
    """All plans for one goal: each person's, as response 1, with each model's. Without a label."""
    plans = [(text(row, "source"), _STEP.sub("\n", text(row, "script").strip())) for row in rows]
    people = [plan for plan in plans if plan[0].startswith("human")]
    models = [plan for plan in plans if not plan[0].startswith("human")]
    if not (people and models):
        raise LeftOutError("a goal without a person's plan" if not people else "a goal without a model's plan")
    for person in people:
        for model in models:
            yield {
                "prompt": f"Write a plan for this goal, one step a line.\n\nGoal: {text(rows[0], 'goal').strip()}\n\nPlan:",
                "chosen": person[1],
                "rejected": model[1],
                "meta": {"writers": [person[0], model[0]]},
            }


def goal_of(row: Row) -> str:
    """By what lines belong together: one goal is written in several ways of capitals and stops."""
    return text(row, "goal").strip().rstrip(".").casefold()
