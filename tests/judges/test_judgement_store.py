"""Answers on disk before they are used: nothing is paid for twice, nothing is mixed up, a failure is no answer."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from judge_doubles import TableJudge, duel

from softpref.judges.base import Answer, Question
from softpref.judges.both_orders import judge_comparisons
from softpref.judges.store import JudgementStore

TABLE = {("a", "b"): 0.9, ("b", "a"): 0.4, ("c", "d"): 0.7, ("d", "c"): 0.2}
DUELS = [duel("a", "b", "x"), duel("c", "d", "y")]


def run(path, judge, duels=DUELS):
    with JudgementStore(path) as store:
        return judge_comparisons(judge, duels, store), store.count_failures(judge.identity)


def test_a_second_run_asks_nothing(tmp_path):
    path = tmp_path / "new" / "judgements.sqlite"
    first, second = TableJudge(TABLE), TableJudge(TABLE)
    before, _ = run(path, first)
    after, _ = run(path, second)
    assert (len(first.asked), second.asked) == (4, [])
    assert after == before


def test_only_what_is_missing_is_asked(tmp_path):
    path, judge = tmp_path / "judgements.sqlite", TableJudge(TABLE)
    run(path, TableJudge(TABLE), DUELS[:1])
    found, _ = run(path, judge)
    assert judge.asked == [("c", "d"), ("d", "c")]
    assert [f.p for f in found] == pytest.approx([0.75, 0.75])


def test_another_judge_shares_nothing(tmp_path):
    path = tmp_path / "judgements.sqlite"
    run(path, TableJudge(TABLE, "model 1, prompt v1"))
    other = TableJudge({key: 1 - p for key, p in TABLE.items()}, "model 1, prompt v2")
    found, _ = run(path, other)
    assert len(other.asked) == 4
    assert [f.p for f in found] == pytest.approx([0.25, 0.25])


def test_a_failure_is_counted_and_asked_again(tmp_path):
    path = tmp_path / "judgements.sqlite"
    failing = TableJudge({**TABLE, ("b", "a"): None})
    found, failures = run(path, failing)
    assert ([f.p for f in found], failures) == ([None, pytest.approx(0.75)], 1)
    better = TableJudge(TABLE)
    found, failures = run(path, better)
    assert better.asked == [("b", "a")]
    assert [f.p for f in found] == pytest.approx([0.75, 0.75])
    assert failures == 1


def test_an_answer_does_not_become_a_failure_later(tmp_path):
    """What was answered once is not asked again, so a judge that has gone away costs nothing."""
    path = tmp_path / "judgements.sqlite"
    run(path, TableJudge(TABLE))
    found, failures = run(path, TableJudge(dict.fromkeys(TABLE)))
    assert ([f.p for f in found], failures) == (pytest.approx([0.75, 0.75]), 0)


@pytest.mark.parametrize("logps", [(None, None), (float("-inf"), float("-inf")), (float("nan"), -1.0)])
def test_an_answer_without_a_probability_is_never_kept_as_one(tmp_path, logps):
    """Kept, it would stop every later run as well."""
    path = tmp_path / "judgements.sqlite"

    class Mumbles(TableJudge):
        def answer(self, questions):
            for question in questions:
                yield Answer(question, *logps)

    try:
        found, _ = run(path, Mumbles({}))
        assert [f.p for f in found] == [None, None]
    except ValueError:
        pass
    again = TableJudge(TABLE)
    found, _ = run(path, again)
    assert len(again.asked) == 4
    assert [f.p for f in found] == pytest.approx([0.75, 0.75])


def test_everything_about_an_answer_comes_back(tmp_path):
    question = Question([{"role": "user", "content": "tea? \u2028 \U0001f375"}], "a", "b", {"n": 1})
    answer = Answer(question, -0.1, float("-inf"), 0.9, raw="A.\n")
    path = tmp_path / "judgements.sqlite"
    with JudgementStore(path) as store:
        store.add("j", answer)
    with JudgementStore(path) as store:
        assert store.answers("j", {question.key: question}) == {question.key: answer}
        assert store.answers("j", {}) == {}
        assert store.answers("k", {question.key: question}) == {}


def test_two_runs_may_share_a_file(tmp_path):
    path = tmp_path / "judgements.sqlite"
    with JudgementStore(path) as one, JudgementStore(path) as other:
        question = Question("q", "a", "b")
        one.add("j", Answer(question, -1.0, -2.0))
        assert question.key in other.answers("j", {question.key: question})


def test_an_exception_in_the_judge_loses_nothing_that_was_answered(tmp_path):
    path = tmp_path / "judgements.sqlite"
    with pytest.raises(KeyError):
        run(path, TableJudge({key: TABLE[key] for key in [("a", "b"), ("b", "a"), ("c", "d")]}))
    judge = TableJudge(TABLE)
    run(path, judge)
    assert judge.asked == [("d", "c")]


KILLED = """
import sys, time
sys.path.insert(0, sys.argv[2])
from judge_doubles import TableJudge, duel
from softpref.judges.both_orders import judge_comparisons
from softpref.judges.store import JudgementStore

class Slow(TableJudge):
    def answer(self, questions):
        for n, answer in enumerate(super().answer(questions)):
            if n == 25:
                print("25 answered", flush=True)
                time.sleep(60)
            yield answer

duels = [duel(f"a{i}", f"b{i}", str(i)) for i in range(50)]
table = {place: 0.7 for d in duels for place in ((d.response_1, d.response_2), (d.response_2, d.response_1))}
with JudgementStore(sys.argv[1]) as store:
    judge_comparisons(Slow(table), duels, store)
"""


def test_a_killed_process_loses_nothing_that_was_answered(tmp_path):
    """SIGKILL after 25 of 100 answers: the next run asks the other 75, and gives what an unbroken one would have given."""
    path = tmp_path / "judgements.sqlite"
    arguments = [sys.executable, "-c", KILLED, str(path), str(Path(__file__).parent)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "25 answered\n"
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    duels = [duel(f"a{i}", f"b{i}", str(i)) for i in range(50)]
    table = {place: 0.7 for d in duels for place in ((d.response_1, d.response_2), (d.response_2, d.response_1))}
    judge = TableJudge(table)
    started = time.monotonic()
    found, _ = run(path, judge, duels)
    assert len(judge.asked) == 75
    assert [f.p for f in found] == pytest.approx([0.5] * 50)
    assert time.monotonic() - started < 30
