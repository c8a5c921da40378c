"""What a judge is, and how two presentation orders of its answers become a probability.

A judge answers questions; a question shows two responses in one order. Judges differ in how they answer and are alike in
everything after: both orders are asked, every answer is stored before it is used, and a failure stays a failure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from softpref.core.soft_labels import average_orders, from_answer_logprobs
from softpref.data.pairs import Text

if TYPE_CHECKING:
    from softpref.judges.store import JudgementStore


@dataclass(frozen=True)
class Comparison:
    """Two responses to one prompt, to be compared. ``meta`` is handed to the judge with them."""

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

    @property
    def key(self) -> str:
        """SHA-256 of all that the judge sees. The other order is another question."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class Answer:
    """A judge's answer to one question: log-probs of "the first" and "the second" in nats, or why there is none.

    ``mass`` is the probability that the two answers together had; ``raw`` is what the judge said, kept so that another
    rule of reading costs no call. ``failure`` is None for an answer; a failed question has no log-probs.
    """

    question: Question
    first_logp: float | None = None
    second_logp: float | None = None
    mass: float | None = None
    raw: str = ""
    failure: str | None = None

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


@dataclass(frozen=True)
class Judgement:
    """What came of one comparison. ``p`` = P(response 1 preferred), None when the judgement failed: never ½.

    ``first_shown`` and ``second_shown`` are the judge's probability for *the response shown first*, with response 1 shown
    first and shown second; their average over the two, turned round, is p.
    """

    id: str
    p: float | None
    first_shown: float | None
    second_shown: float | None
    failures: tuple[str, ...] = ()

    @property
    def position_bias(self) -> float | None:
        """By how much the place of response 1 changes its probability; above 0 the judge favours what it sees first."""
        if self.first_shown is None or self.second_shown is None:
            return None
        return self.first_shown + self.second_shown - 1


def judge_comparisons(
    judge: Judge,
    comparisons: Sequence[Comparison],
    store: JudgementStore,
    on_answer: Callable[[Answer], None] | None = None,
) -> list[Judgement]:
    """Both orders of every comparison, in the order given. Answers that the store holds are not asked for again.

    A question that failed in an earlier run is asked again: a failure is no answer.
    """
    asked = [(_in_order(c), _reversed(c)) for c in comparisons]
    questions = {question.key: question for both in asked for question in both}
    known = store.answers(judge.identity, questions)
    missing = [question for key, question in questions.items() if key not in known]
    for answer in judge.answer(missing):
        store.add(judge.identity, answer)
        known[answer.question.key] = answer
        if on_answer is not None:
            on_answer(answer)
    return [
        _judgement(comparison.id, known.get(both[0].key), known.get(both[1].key))
        for comparison, both in zip(comparisons, asked, strict=True)
    ]


def _in_order(comparison: Comparison) -> Question:
    return Question(comparison.prompt, comparison.response_1, comparison.response_2, comparison.meta)


def _reversed(comparison: Comparison) -> Question:
    return Question(comparison.prompt, comparison.response_2, comparison.response_1, comparison.meta)


def _judgement(identifier: str, in_order: Answer | None, in_reverse: Answer | None) -> Judgement:
    failures = tuple(
        "no answer came back" if answer is None else answer.failure
        for answer in (in_order, in_reverse)
        if answer is None or answer.failure is not None
    )
    if failures or in_order is None or in_reverse is None:
        return Judgement(identifier, None, None, None, tuple(f or "failed" for f in failures))
    first_shown, second_shown = in_order.p_first, in_reverse.p_first
    return Judgement(identifier, float(average_orders(first_shown, second_shown)), first_shown, second_shown)
