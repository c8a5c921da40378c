"""Both orders of every comparison, and a failure that stays one."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge_doubles import TableJudge, duel
from softpref.judges.base import Answer, Comparison, Question
from softpref.judges.both_orders import Judgement, judge_comparisons
from softpref.judges.store import JudgementStore

probabilities = st.floats(0.001, 0.999)


class TakesAhead(TableJudge):
    """Takes several questions before it answers the first of them, as a judge with parallel calls does."""

    def __init__(self, table, ahead):
        super().__init__(table)
        self.ahead = ahead

    def answer(self, questions):
        questions = iter(questions)
        while batch := list(itertools.islice(questions, self.ahead)):
            yield from super().answer(batch)


@pytest.fixture
def store(tmp_path):
    with JudgementStore(tmp_path / "judgements.sqlite") as opened:
        yield opened


def judged(table, *comparisons, store):
    return judge_comparisons(TableJudge(table), comparisons or [duel()], store)


# -------------------------------------------------------------------------------------------------- both orders


def test_both_orders_are_asked_and_averaged(store):
    """0.9 for a shown first, 0.4 for b shown first: p = (0.9 + 1 − 0.4) / 2 = 0.75; the place is worth 0.9 + 0.4 − 1."""
    judge = TableJudge({("a", "b"): 0.9, ("b", "a"): 0.4})
    [found] = judge_comparisons(judge, [duel(identifier="7")], store)
    assert judge.asked == [("a", "b"), ("b", "a")]
    assert found == Judgement("7", pytest.approx(0.75), pytest.approx(0.9), pytest.approx(0.4), mass=1.0)
    assert found.position_bias == pytest.approx(0.3)
    assert found.failures == ()


@pytest.mark.parametrize("bias", [-0.15, 0.0, 0.1, 0.2])
def test_a_bias_that_adds_the_same_to_both_orders_cancels(bias, store):
    """Truth 0.7 for a: shown first it says 0.7 + bias, and of b shown first 0.3 + bias."""
    [found] = judged({("a", "b"): 0.7 + bias, ("b", "a"): 0.3 + bias}, store=store)
    assert found.p == pytest.approx(0.7, abs=1e-15)
    assert found.position_bias == pytest.approx(2 * bias, abs=1e-15)


def test_a_judge_that_only_sees_places_gives_a_tie(store):
    [found] = judged({("a", "b"): 0.8, ("b", "a"): 0.8}, store=store)
    assert found.p == 0.5
    assert found.position_bias == pytest.approx(0.6)


@given(p=probabilities)
def test_identical_responses_are_a_tie_exactly(p):
    """Both orders are one question with one answer x: (x + 1 − x) / 2 = ½. A unit in the last place below it, and the
    binary win rate counts a loss, and ``tie_rate`` no tie."""
    judge = TableJudge({("a", "a"): p})
    with JudgementStore(":memory:") as store:
        [found] = judge_comparisons(judge, [duel("a", "a")], store)
    assert judge.asked == [("a", "a")]
    assert found.p == 0.5


@given(first=probabilities, second=probabilities)
def test_exchanging_the_responses_gives_one_minus_p(first, second):
    table = {("a", "b"): first, ("b", "a"): second}
    with JudgementStore(":memory:") as store:
        one, other = judged(table, duel("a", "b"), duel("b", "a"), store=store)
    assert one.p + other.p == pytest.approx(1, abs=1e-15)
    assert one.position_bias == pytest.approx(other.position_bias, abs=1e-15)


def test_an_identical_question_is_asked_once(store):
    """Three comparisons, one of them turned round: two questions."""
    judge = TableJudge({("a", "b"): 0.9, ("b", "a"): 0.4})
    found = judge_comparisons(judge, [duel(), duel(identifier="1"), duel("b", "a", "2")], store)
    assert len(judge.asked) == 2
    assert [f.id for f in found] == ["0", "1", "2"]
    assert [f.p for f in found] == pytest.approx([0.75, 0.75, 0.25])


@pytest.mark.parametrize("ahead", [1, 4])
def test_an_identical_question_fails_once(store, ahead):
    """Its twin is no second try, whether the judge takes questions one at a time or several ahead."""
    judge = TakesAhead({("a", "a"): None}, ahead=ahead)
    [found] = judge_comparisons(judge, [duel("a", "a")], store)
    assert found.p is None
    assert judge.asked == [("a", "a")]


def test_a_judge_that_drops_a_repeated_question_ends(store, monkeypatch):
    """Nobody else will answer it: the run must not wait for itself."""

    class Drops(TableJudge):
        def answer(self, questions):
            self.asked += list(questions)
            return iter(())

    def no_sleep(_):
        raise AssertionError("it waits")

    monkeypatch.setattr("softpref.judges.both_orders.time.sleep", no_sleep)
    [found] = judge_comparisons(Drops({}), [duel("a", "a")], store)
    assert found.p is None


def test_the_order_given_is_the_order_returned_whatever_the_judge_does(store):
    class Backwards(TableJudge):
        def answer(self, questions):
            return reversed(list(super().answer(questions)))

    table = {(x, y): p for x, y, p in [("a", "b", 0.9), ("b", "a", 0.1), ("c", "d", 0.2), ("d", "c", 0.8)]}
    found = judge_comparisons(Backwards(table), [duel("a", "b", "x"), duel("c", "d", "y")], store)
    assert [(f.id, round(f.p, 9)) for f in found] == [("x", 0.9), ("y", 0.2)]


def test_the_judge_sees_structured_messages_and_meta(store):
    seen = []

    class Looks(TableJudge):
        def answer(self, questions):
            seen.extend(questions)
            return iter(())

    prompt, yes = [{"role": "user", "content": "?"}], [{"role": "assistant", "content": "yes"}]
    judge_comparisons(Looks({}), [Comparison("0", prompt, yes, [], {"topic": "tea"})], store)
    assert seen[0] == Question(prompt, yes, [], {"topic": "tea"})


# -------------------------------------------------------------------------------------------------- failure


@pytest.mark.parametrize("failed", [("a", "b"), ("b", "a")])
def test_one_failed_order_is_a_failed_judgement_and_not_a_half(failed, store):
    table = {("a", "b"): 0.9, ("b", "a"): 0.4, failed: None}
    [found] = judged(table, store=store)
    assert (found.p, found.first_shown, found.second_shown, found.position_bias) == (None, None, None, None)
    assert found.failures == ("it said nothing",)


def test_a_question_without_an_answer_has_failed(store):
    class Forgetful(TableJudge):
        def answer(self, questions):
            return iter(list(super().answer(questions))[:1])

    [found] = judge_comparisons(Forgetful({("a", "b"): 0.9, ("b", "a"): 0.4}), [duel()], store)
    assert found.p is None
    assert len(found.failures) == 1


def test_a_failed_answer_has_no_probability():
    with pytest.raises(ValueError, match="outage"):
        Answer(Question("q", "a", "b"), failure="outage").p_first  # noqa: B018


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"first_logp": -1.0},
        {"first_logp": -1.0, "second_logp": -2.0, "failure": "x"},
        {"first_logp": -1.0, "failure": "x"},
    ],
)
def test_an_answer_has_both_and_a_failure_neither(fields):
    with pytest.raises(ValueError, match="an answer has two log-probs, a failure has none"):
        Answer(Question("q", "a", "b"), **fields)


def test_probability_of_an_answer_by_hand():
    """e^−1 / (e^−1 + e^−3) = s(2); mass outside the two answers takes no part. One of them may be impossible."""
    question = Question("q", "a", "b")
    assert Answer(question, -1.0, -3.0).p_first == pytest.approx(1 / (1 + math.exp(-2)))
    assert Answer(question, -700.0, -702.0).p_first == pytest.approx(1 / (1 + math.exp(-2)))
    assert Answer(question, 0.0, -np.inf).p_first == 1.0


# -------------------------------------------------------------------------------------------------- keys


def test_a_key_covers_all_that_the_judge_sees():
    questions = [
        Question("q", "a", "b"),
        Question("q", "b", "a"),
        Question("r", "a", "b"),
        Question("q", "a", "b", {"topic": "tea"}),
        Question([{"role": "user", "content": "q"}], "a", "b"),
        Question("q", "ab", ""),
    ]
    assert len({question.key for question in questions}) == len(questions)
    assert Question("q", "a", "b", {"x": 1, "y": 2}).key == Question("q", "a", "b", {"y": 2, "x": 1}).key
