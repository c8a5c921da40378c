"""Both presentation orders of every comparison are asked, stored, and averaged; a failure stays a failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from softpref.core.soft_labels import average_orders
from softpref.judges.base import Answer, Comparison, Judge, Question
from softpref.judges.store import JudgementStore


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
