"""A judge that does not answer is noticed after a handful of judgements; rows that are refused do not look like one."""

from __future__ import annotations

import pytest

from judge_doubles import TableJudge, duel
from softpref.errors import InputError, OptionError
from softpref.judges.base import JUDGE, ROW, UNASKED, Answer, Question
from softpref.judges.both_orders import ask, orders
from softpref.judges.store import JudgementStore
from softpref.judges.watch import FIRST_FAILED, FIRST_REFUSED, MOST_FAILED, WINDOW, JudgeFailedError, Watch

QUESTION = Question("q", "a", "b")


def failed(blame=JUDGE, reason="no verdict; the judge said 'Hm'"):
    return Answer(QUESTION, failure=reason, blame=blame)


ANSWERED = Answer(QUESTION, -0.5, -1.0)


def taken(watch, answers):
    """How many answers the watch takes before it says stop; None where it never does."""
    number = 0
    try:
        for answer in answers:
            number += 1
            watch.take(answer)
    except JudgeFailedError:
        return number
    return None


def test_the_first_judgements_all_fail():
    assert taken(Watch(), [failed()] * 100) == FIRST_FAILED
    with pytest.raises(InputError, match=rf"the first {FIRST_FAILED} judgements failed \(no verdict; the judge said 'Hm'\)"):
        [watch.take(failed()) for watch in [Watch()] for _ in range(FIRST_FAILED)]


def test_one_answer_among_the_first_shows_that_it_answers():
    """After it, more than 40 of the last 50: the 50th judgement is the first that has 50 behind it, 49 of them failed."""
    assert taken(Watch(), [failed()] * 5 + [ANSWERED] + [failed()] * 100) == WINDOW


def test_a_judge_that_answered_before_is_not_suspected_at_once():
    assert taken(Watch(answered=True), [failed()] * 100) == WINDOW


def test_refused_rows_are_given_longer():
    """Three flagged rows at the head of a file are no judge that is gone; twenty refusals and nothing else are."""
    assert taken(Watch(), [failed(ROW)] * 100) == FIRST_REFUSED
    assert taken(Watch(), [failed(ROW)] * 10 + [ANSWERED] * 90) is None


def test_what_was_never_asked_does_not_count():
    assert taken(Watch(), [failed(UNASKED)] * 1000) is None


@pytest.mark.parametrize(("share", "stops"), [(MOST_FAILED, False), (MOST_FAILED + 0.02, True)])
def test_the_share_of_the_last_fifty_is_exact(share, stops):
    """40 of 50 may fail, 41 may not."""
    fails = round(share * WINDOW)
    block = [ANSWERED] * (WINDOW - fails) + [failed()] * fails
    assert (taken(Watch(), block * 3) is not None) == stops


def test_a_limit_of_one_never_stops_a_judge_that_has_answered():
    assert taken(Watch(answered=True, most_failed=1.0), [failed()] * 1000) is None
    with pytest.raises(OptionError, match="max_failed is 0"):
        Watch(most_failed=0.0)


def test_asking_stops_after_a_handful_and_keeps_what_was_answered():
    table = {(f"a{i}", f"b{i}"): None for i in range(50)}
    judge = TableJudge(table)
    with JudgementStore(":memory:") as store:
        questions = [question for a, b in table for question in orders(duel(a, b), both=False)]
        with pytest.raises(JudgeFailedError, match="judging was stopped, and what was answered is stored"):
            ask(judge, questions, store)
        assert len(judge.asked) == FIRST_FAILED
        assert store.failure(judge.identity, questions[0]) == ("it said nothing", "…")


def test_rows_that_failed_before_may_fail_again():
    """A run that goes on asks the 100 rows again that were refused the last time, and 1 more; that is no judge that is gone."""
    table = {(f"a{i}", f"b{i}"): None for i in range(100)}
    judge = TableJudge({**table, ("y", "z"): 0.7})
    questions = [question for a, b in judge.table for question in orders(duel(a, b), both=False)]
    with JudgementStore(":memory:") as store:
        ask(judge, questions[-1:], store)
        for question in questions[:-1]:
            store.add(judge.identity, Answer(question, failure="flagged"))
        store._opened += 10  # a run of its own: what failed before it began is asked again
        ask(judge, questions, store)
        assert len(judge.asked) == 1 + 100
