"""A judge with known faults, for worlds whose truth is known. It makes the whole way run offline."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from softpref.data.pairs import Text
from softpref.judges.base import Answer, Question

# What a real judge's two answer tokens together get; the rest went to other tokens.
ANSWER_MASS = 0.97


@dataclass(frozen=True)
class SimulatedJudge:
    """Sees the gold score of both responses, and answers with every fault that real judges have.

    log-odds for the first shown = ``(scale · (gold(first) − gold(second)) + noise · N(0, 1)) / temperature + position_bias``

    Attributes:
        name: what world and version this is; part of the identity.
        gold: score of a response to a prompt.
        scale: log-odds per unit of gold of a judge without fault: the truth is s(scale · difference).
        temperature: below 1 it is surer than it should be.
        position_bias: log-odds in favour of whatever is shown first.
        noise: standard deviation of its error, in log-odds before the temperature; fixed per question.
        failure_rate: share of questions that get no answer; fixed per question.
    """

    name: str
    gold: Callable[[Text, Text], float]
    scale: float
    temperature: float = 1.0
    position_bias: float = 0.0
    noise: float = 0.0
    failure_rate: float = 0.0
    seed: int = 0

    @property
    def identity(self) -> str:
        """Name and every setting."""
        settings = [
            f"{key}={_exact(getattr(self, key))}"
            for key in ("scale", "temperature", "position_bias", "noise", "failure_rate", "seed")
        ]
        return f"simulated:{self.name}:" + ",".join(settings)

    def answer(self, questions: Iterable[Question]) -> Iterator[Answer]:
        """One answer or failure per question; the same question gets the same answer."""
        for question in questions:
            rng = np.random.default_rng(int(hashlib.sha256(f"{self.seed}{question.key}".encode()).hexdigest()[:16], 16))
            if rng.random() < self.failure_rate:
                yield Answer(question, failure="simulated outage")
                continue
            difference = self.gold(question.prompt, question.first) - self.gold(question.prompt, question.second)
            log_odds = (self.scale * difference + self.noise * rng.normal()) / self.temperature + self.position_bias
            first, second = (math.log(ANSWER_MASS) - float(np.logaddexp(0, z)) for z in (-log_odds, log_odds))
            yield Answer(question, first, second, ANSWER_MASS, raw="1" if log_odds > 0 else "2")


def _exact(value: float) -> str:
    """Short where that is exact: two settings never share an identity."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)
