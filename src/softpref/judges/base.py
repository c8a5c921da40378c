"""What a judge is, and how two presentation orders of its answers become a probability.

A judge answers questions; a question shows two responses in one order. Judges differ in how they answer and are alike in
everything after: both orders are asked, every answer is stored before it is used, and a failure stays a failure.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from softpref.core.soft_labels import from_answer_logprobs
from softpref.data.pairs import Text
from softpref.judges.shown_text import has_tool_calls

# Whose fault a failure is: the judge's, which said nothing that can be read; the row's, which was refused, so that another may
# well be judged; or the row's before anything was asked, and nothing was spent.
JUDGE, ROW, UNASKED = "judge", "row", "unasked"


@dataclass(frozen=True)
class Comparison:
    """Two responses to one prompt, to be compared.

    ``meta`` is what else the judge is to see: it is part of the question, so a change in it is a new question to pay for.
    Notes and earlier labels do not belong there.
    """

    id: str
    prompt: Text
    response_1: Text
    response_2: Text
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """A comparison in one presentation order: which response is better, the one shown first or second?"""

    prompt: Text
    first: Text
    second: Text
    meta: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """SHA-256 of all that the judge sees. The other order is another question."""
        seen: dict[str, Any] = {"prompt": self.prompt, "first": self.first, "second": self.second, "meta": dict(self.meta)}
        if any(map(has_tool_calls, (self.prompt, self.first, self.second))):
            seen["tool_calls"] = "shown"  # earlier versions judged such texts without them
        return hashlib.sha256(json.dumps(seen, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class Answer:
    """A judge's answer to one question: log-probs of "the first" and "the second" in nats, or why there is none.

    ``mass`` is the probability that the two answers together had. ``raw`` is what the judge said, kept so that another rule
    of reading costs no call; ``usage`` counts tokens. ``failure`` is None for an answer, and ``blame`` (JUDGE, ROW or UNASKED)
    whose fault one is. An answer has both log-probs, a failure neither: anything else raises ValueError.
    """

    question: Question
    first_logp: float | None = None
    second_logp: float | None = None
    mass: float | None = None
    raw: str = ""
    failure: str | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    blame: str = JUDGE

    def __post_init__(self) -> None:
        given = [logp for logp in (self.first_logp, self.second_logp) if logp is not None]
        if len(given) != (2 if self.failure is None else 0):
            raise ValueError("an answer has two log-probs, a failure has none")
        if given and (any(logp != logp or logp == math.inf for logp in given) or max(given) == -math.inf):
            raise ValueError(f"{given} are no log-probs of two answers: such a judgement has failed")

    @property
    def p_first(self) -> float:
        """Probability that the judge prefers the response shown first. Raises ValueError for a failure: it has none."""
        if self.first_logp is None or self.second_logp is None:
            raise ValueError(f"a failed judgement has no probability ({self.failure})")
        return float(from_answer_logprobs(self.first_logp, self.second_logp))


class Judge(Protocol):
    """The whole protocol.

    ``identity`` names everything that could change an answer (model, prompt and its version, settings); answers of one
    identity are never mixed with another's. ``answer`` yields one answer per question as soon as it has it, in any order.
    """

    @property
    def identity(self) -> str:
        """Model, prompt and its version, and every setting that could change an answer."""
        ...

    def answer(self, questions: Iterable[Question]) -> Iterator[Answer]:
        """Answers or failures, one per question, in any order."""
        ...
