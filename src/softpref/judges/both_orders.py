"""Both presentation orders of every comparison are asked, stored, and averaged; a failure stays a failure.

Asking and using are two passes: answers go to the store as they come and are not kept in memory, and judgements are made
from the store afterwards. So memory does not grow with answers, and another rule of reading or averaging costs no call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from softpref.core.soft_labels import average_orders
from softpref.judges.base import Answer, Comparison, Judge, Question
from softpref.judges.store import JudgementStore
from softpref.judges.watch import MOST_FAILED, JudgeFailedError, Watch, why

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
    watch: Watch | None = None,
) -> list[Judgement]:
    """Both orders of every comparison, in the order given. Answers that the store holds are not asked for again.

    A question that failed in an earlier run is asked again: a failure is no answer. Raises JudgeFailedError as ``ask`` does.
    """
    comparisons = list(comparisons)
    ask(judge, (question for one in comparisons for question in orders(one)), store, on_answer, watch)
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
    watch: Watch | None = None,
) -> None:
    """Have every question answered, or failed once, and stored. Questions are taken from the iterable as they are sent.

    A question that another run on the same store is asking is left to it, and taken over if that run gives it up.

    Raises JudgeFailedError where the judge does not answer, by ``watch`` (one of its own if not given); what it has answered,
    and what was under way, is stored.
    """
    watch = watch or _watch_of(judge, store)
    try:
        _ask_until_done(judge, questions, store, on_answer, watch)
    finally:
        store.release()


def _watch_of(judge: Judge, store: JudgementStore) -> Watch:
    """It counts as known to answer where it has answered in this store."""
    most_failed = getattr(judge, "max_failed", None)
    return Watch(store.judges().get(judge.identity, 0) > 0, MOST_FAILED if most_failed is None else most_failed)


def _ask_until_done(
    judge: Judge,
    waiting: Iterable[Question],
    store: JudgementStore,
    on_answer: Callable[[Answer], None] | None,
    watch: Watch,
) -> None:
    while True:
        elsewhere: list[Question] = []
        known: set[str] = set()
        answered = 0
        for answer in _until_stopped(judge, _claimed(judge, waiting, store, elsewhere, known), watch, known):
            store.add(judge.identity, answer)
            answered += 1
            if on_answer is not None:
                on_answer(answer)
        if not elsewhere:
            return
        waiting = elsewhere
        if not answered:
            time.sleep(POLL_SECONDS)


def _until_stopped(judge: Judge, questions: Iterable[Question], watch: Watch, known: set[str]) -> Iterator[Answer]:
    """The judge's answers. Where the watch says stop, those under way are waited for, and its reason is raised after them.

    ``known`` holds questions that have failed before: that they fail again says nothing new of a judge that answers.
    """
    reason: JudgeFailedError | None = None
    for answer in judge.answer(questions):
        yield answer
        if reason is not None or (watch.answered and answer.failure is not None and answer.question.key in known):
            continue
        try:
            watch.take(answer)
        except JudgeFailedError as error:
            reason = error
            stop = getattr(judge, "stop", None)
            if stop is None:
                break
            stop()
    if reason is not None:
        mend = judge.mend(str(reason)) if hasattr(judge, "mend") else ""
        raise JudgeFailedError(f"{reason}: judging was stopped, and what was answered is stored{mend}") from None


def _claimed(
    judge: Judge, questions: Iterable[Question], store: JudgementStore, elsewhere: list[Question], known: set[str]
) -> Iterator[Question]:
    """The questions that are this run's to ask; those that another run is asking are put aside.

    ``known`` gets those that have failed before.
    """
    for question in questions:
        if store.claim(judge.identity, question):
            if store.failure(judge.identity, question) is not None:
                known.add(question.key)
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


def all_failed(found: Sequence[Judgement], therefore: str) -> str:
    """What to say where no judgement is left, and why they failed."""
    reasons = why([failure for one in found for failure in one.failures])
    return f"all {len(found)} judgements failed{f' ({reasons})' if reasons else ''}: {therefore}"
