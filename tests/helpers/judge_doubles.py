"""Judges for tests: they say what they were told to say, and count what they were asked."""

import math
from dataclasses import dataclass, field

from softpref.judges.base import Answer, Comparison


@dataclass
class TableJudge:
    """P(the first shown is preferred) from a table by (first, second); None in the table is a failure."""

    table: dict
    identity: str = "table"
    asked: list = field(default_factory=list)

    def answer(self, questions):
        for question in questions:
            place = (question.first, question.second)
            self.asked.append(place)
            p = self.table[place]
            if p is None:
                yield Answer(question, failure="it said nothing", raw="…")
            else:
                yield Answer(question, math.log(p), math.log(1 - p), mass=1.0, raw=f"{p}")


def duel(first="a", second="b", identifier="0", **meta):
    return Comparison(identifier, "q", first, second, meta)
