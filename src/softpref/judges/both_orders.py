"""Both presentation orders of every comparison are asked, stored, and averaged; a failure stays a failure.

Asking and using are two passes: answers go to the store as they come and are not kept in memory, and judgements are made
from the store afterwards. So memory does not grow with answers, and another rule of reading or averaging costs no call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from softpref.core.soft_labels import average_orders
from softpref.judges.base import Answer, Comparison, Judge, Question
from softpref.judges.store import JudgementStore

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Judgement:
    """What came of one comparison. ``p`` = P(response 1 preferred), None when the judgement failed: never ½.

    ``first_shown`` and ``second_shown`` are the judge's probability for *the response shown first*, with response 1 shown
    first and shown second; p averages the first with the second turned round. Where one order alone was asked,
    ``second_shown`` is None.
    """

    id: str
    p: float | None
    first_shown: float | None
    second_shown: float | None
    failures: tuple[str, ...] = ()
    mass: float | None = None

    @property
    def position_bias(self) -> float | None:
        """By how much the place of response 1 changes its probability; above 0 the judge favours what it sees first."""
        if self.first_shown is None or self.second_shown is None:
            return None
        return self.first_shown + self.second_shown - 1


def judge_comparisons(
    judge: Judge,
    comparisons: Iterable[Comparison],
    store: JudgementStore,
    on_answer: Callable[[Answer], None] | None = None,
) -> list[Judgement]:
    """Both orders of every comparison, in the order given. Answers that the store holds are not asked for again.

    A question that failed in an earlier run is asked again: a failure is no answer.
    """
    comparisons = list(comparisons)
    ask(judge, (question for one in comparisons for question in orders(one)), store, on_answer)
    return list(judgements(judge, comparisons, store))


def orders(comparison: Comparison, both: bool = True) -> tuple[Question, ...]:
    """The question with response 1 shown first, and the one with it shown second."""
    c = comparison
    first = Question(c.prompt, c.response_1, c.response_2, c.meta)
    return (first, Question(c.prompt, c.response_2, c.response_1, c.meta)) if both else (first,)


def ask(
    judge: Judge,
    questions: Iterable[Question],
    store: JudgementStore,
    on_answer: Callable[[Answer], None] | None = None,
) -> None:
    """Have every question answered, or failed once, and stored. Questions are taken from the iterable as they are sent.

    A question that another run on the same store is asking is left to it, and taken over if that run gives it up.
    """
    try:
        _ask_until_done(judge, questions, store, on_answer)
    finally:
        store.release()


def _ask_until_done(
    judge: Judge, waiting: Iterable[Question], store: JudgementStore, on_answer: Callable[[Answer], None] | None
) -> None:
    while True:
        elsewhere: list[Question] = []
        answered = 0
        for answer in judge.answer(_claimed(judge, waiting, store, elsewhere)):
            store.add(judge.identity, answer)
            answered += 1
            if on_answer is not None:
                on_answer(answer)
        if not elsewhere:
            return
        waiting = elsewhere
        if not answered:
            time.sleep(POLL_SECONDS)


def _claimed(judge: Judge, questions: Iterable[Question], store: JudgementStore, elsewhere: list[Question]) -> Iterator[Question]:
    """The questions that are this run's to ask; those that another run is asking are put aside."""
    for question in questions:
        if store.claim(judge.identity, question):
            yield question
        elif store.is_asked_elsewhere(judge.identity, question):
            elsewhere.append(question)


def judgements(judge: Judge, comparisons: Iterable[Comparison], store: JudgementStore, both: bool = True) -> Iterator[Judgement]:
    """What the store says of each comparison, in their order. Nothing is asked."""
    for comparison in comparisons:
        asked = orders(comparison, both)
        answers = [_stored(judge, question, store) for question in asked]
        yield _judgement(comparison.id, answers)


def _stored(judge: Judge, question: Question, store: JudgementStore) -> Answer:
    """The answer in the store, read by the judge's present rule where it has one."""
    reread = getattr(judge, "reread", None)
    found = store.answer(judge.identity, question)
    if found is not None:
        return reread(question, found.raw) if reread is not None else found
    failed = store.failure(judge.identity, question)
    if failed is None:
        return Answer(question, failure="not asked yet")
    reason, raw = failed
    if reread is not None and raw:
        again: Answer = reread(question, raw)
        return again
    return Answer(question, failure=reason, raw=raw)


def _judgement(identifier: str, answers: list[Answer]) -> Judgement:
    failures = tuple(answer.failure for answer in answers if answer.failure is not None)
    if failures:
        return Judgement(identifier, None, None, None, failures)
    first_shown = answers[0].p_first
    masses = [answer.mass for answer in answers if answer.mass is not None]
    mass = min(masses) if masses else None
    if len(answers) == 1:
        return Judgement(identifier, first_shown, first_shown, None, mass=mass)
    second_shown = answers[1].p_first
    p = float(average_orders(first_shown, second_shown))
    return Judgement(identifier, p, first_shown, second_shown, mass=mass)
