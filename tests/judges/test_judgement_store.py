"""Answers on disk before they are used: nothing is paid for twice, nothing is mixed up, a failure is no answer."""

import math
import os
import queue
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from types import SimpleNamespace

import pytest

from judge_doubles import TableJudge, duel
from processes import WITH_HELPERS
from softpref.errors import InputError, StorageError
from softpref.judges.base import Answer, Question
from softpref.judges.both_orders import judge_comparisons, orders
from softpref.judges.store import JudgementStore

TABLE = {("a", "b"): 0.9, ("b", "a"): 0.4, ("c", "d"): 0.7, ("d", "c"): 0.2}
DUELS = [duel("a", "b", "x"), duel("c", "d", "y")]


def run(path, judge, duels=DUELS):
    with JudgementStore(path) as store:
        found = judge_comparisons(judge, duels, store)
        return found, [q.first for one in duels for q in orders(one) if store.failure(judge.identity, q)]


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


def test_a_failure_is_kept_apart_and_asked_again(tmp_path):
    path = tmp_path / "judgements.sqlite"
    failing = TableJudge({**TABLE, ("b", "a"): None})
    found, failures = run(path, failing)
    assert ([f.p for f in found], failures) == ([None, pytest.approx(0.75)], ["b"])
    better = TableJudge(TABLE)
    found, failures = run(path, better)
    assert better.asked == [("b", "a")]
    assert [f.p for f in found] == pytest.approx([0.75, 0.75])
    assert failures == ["b"]


def test_an_answer_does_not_become_a_failure_later(tmp_path):
    """What was answered once is not asked again, so a judge that has gone away costs nothing."""
    path = tmp_path / "judgements.sqlite"
    run(path, TableJudge(TABLE))
    found, failures = run(path, TableJudge(dict.fromkeys(TABLE)))
    assert ([f.p for f in found], failures) == (pytest.approx([0.75, 0.75]), [])


@pytest.mark.parametrize("logps", [(None, None), (float("-inf"), float("-inf")), (float("nan"), -1.0)])
def test_an_answer_without_a_probability_is_never_kept_as_one(tmp_path, logps):
    """Kept, it would stop every later run as well."""
    path = tmp_path / "judgements.sqlite"

    class Mumbles(TableJudge):
        def answer(self, questions):
            for question in questions:
                yield Answer(question, *logps)

    with pytest.raises(ValueError, match="log"):
        run(path, Mumbles({}))
    again = TableJudge(TABLE)
    found, _ = run(path, again)
    assert len(again.asked) == 4
    assert [f.p for f in found] == pytest.approx([0.75, 0.75])


def test_everything_about_an_answer_comes_back(tmp_path):
    question = Question([{"role": "user", "content": "tea? \u2028 \U0001f375"}], "a", "b", {"n": 1})
    answer = Answer(question, -0.1, float("-inf"), 0.9, raw="A.\n", usage={"prompt_tokens": 7})
    path = tmp_path / "judgements.sqlite"
    with JudgementStore(path) as store:
        store.add("j", answer)
    with JudgementStore(path) as store:
        assert store.answer("j", question) == answer
        assert store.answer("j", Question("q", "b", "a")) is None
        assert store.answer("k", question) is None


def in_another_run(path, judge, duels=DUELS):
    """A run of its own connection, in a thread."""
    pool = ThreadPoolExecutor(1)
    return pool.submit(run, path, judge, duels)


@pytest.fixture
def waits(monkeypatch):
    """Gets an item each time that a run looks again whether another one has answered."""
    looks, sleep = queue.SimpleQueue(), time.sleep

    def wait(seconds):
        looks.put(seconds)
        sleep(seconds)

    monkeypatch.setattr("softpref.judges.both_orders.time", SimpleNamespace(sleep=wait))
    return looks


def test_a_question_that_another_run_is_asking_is_left_to_it(tmp_path, waits):
    path, judge = tmp_path / "judgements.sqlite", TableJudge(TABLE)
    question = Question("q", "c", "d")
    with JudgementStore(path) as other:
        assert other.claim(judge.identity, question)
        result = in_another_run(path, judge)
        waits.get()
        assert not result.done()
        other.add(judge.identity, Answer(question, -1.0, -2.0, 1.0))
        found, _ = result.result()
    assert judge.asked == [("a", "b"), ("b", "a"), ("d", "c")]
    assert found[1].first_shown == pytest.approx(1 / (1 + math.exp(-1)))


def test_a_question_that_another_run_gave_up_is_taken_over(tmp_path, waits):
    path, judge = tmp_path / "judgements.sqlite", TableJudge(TABLE)
    with JudgementStore(path) as other:
        assert other.claim(judge.identity, Question("q", "c", "d"))
        result = in_another_run(path, judge)
        waits.get()
        assert not result.done()
    found, _ = result.result()
    assert sorted(judge.asked) == sorted(TABLE)
    assert [f.p for f in found] == pytest.approx([0.75, 0.75])


def test_a_claim_is_one_runs_and_ends_with_the_answer(tmp_path):
    question = Question("q", "a", "b")
    with JudgementStore(tmp_path / "j.sqlite") as one, JudgementStore(tmp_path / "j.sqlite") as other:
        assert one.claim("j", question)
        assert not other.claim("j", question)
        assert other.claim("k", question)
        one.add("j", Answer(question, failure="timeout"))
        # it has failed just now: neither of the two runs pays for it again, but the next one does
        assert not one.claim("j", question)
        assert not other.claim("j", question)
        with JudgementStore(tmp_path / "j.sqlite") as later:
            assert later.claim("j", question)
            later.add("j", Answer(question, -1.0, -2.0))
        assert not one.claim("j", question)
        assert one.answer("j", question) == Answer(question, -1.0, -2.0)
        assert one.judges() == {"j": 1}


def test_an_exception_in_the_judge_loses_nothing_that_was_answered(tmp_path):
    path = tmp_path / "judgements.sqlite"
    with pytest.raises(KeyError):
        run(path, TableJudge({key: TABLE[key] for key in [("a", "b"), ("b", "a"), ("c", "d")]}))
    judge = TableJudge(TABLE)
    run(path, judge)
    assert judge.asked == [("d", "c")]


KILLED = """
import sys, time
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


def test_a_killed_process_loses_nothing_that_was_answered(tmp_path, monkeypatch):
    """SIGKILL after 25 of 100 answers: the next run asks the other 75, and gives what an unbroken one would have given."""
    path = tmp_path / "judgements.sqlite"
    arguments = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(arguments, env=WITH_HELPERS, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "25 answered\n"
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    duels = [duel(f"a{i}", f"b{i}", str(i)) for i in range(50)]
    table = {place: 0.7 for d in duels for place in ((d.response_1, d.response_2), (d.response_2, d.response_1))}
    judge = TableJudge(table)

    def no_wait(seconds):
        pytest.fail("the claims of a dead process were waited for")

    monkeypatch.setattr("softpref.judges.both_orders.time.sleep", no_wait)
    found, _ = run(path, judge, duels)
    assert len(judge.asked) == 75
    assert [f.p for f in found] == pytest.approx([0.5] * 50)


def test_two_runs_of_one_moment_and_one_process_are_two(tmp_path, monkeypatch):
    """A clock that stands still must not make them one."""
    monkeypatch.setattr(time, "time", lambda: 1e9)
    question = Question("q", "a", "b")
    with JudgementStore(tmp_path / "j.sqlite") as one, JudgementStore(tmp_path / "j.sqlite") as other:
        assert one.claim("j", question)
        assert not other.claim("j", question)
        assert other.is_asked_elsewhere("j", question)


# -------------------------------------------------------------------------------------------------- a disk that refuses


def add(store, number, judge="j"):
    store.add(judge, Answer(Question("q", f"a{number}", "b"), -0.0, -1.0, float("nan"), raw="x" * 2000))


def add_many(store):
    for number in range(1, 100):
        add(store, number)


@contextmanager
def limited(store, pages):
    """The store's disk has room for so many pages of 4096 bytes."""
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    yield
    store._db.execute("PRAGMA max_page_count = 1000000")


def test_a_full_disk_keeps_the_answers_and_the_store_goes_on_when_there_is_room(tmp_path):
    path = tmp_path / "judgements.sqlite"
    with JudgementStore(path) as store:
        add(store, 0)
        with limited(store, 12), pytest.raises(StorageError, match=r"the disk is full .*make room.* answers in it are kept"):
            add_many(store)
        kept = store.judges()["j"]
        assert 1 < kept < 100
        add(store, 100)
    with JudgementStore(path) as store:
        assert store.judges() == {"j": kept + 1}
        assert store.answer("j", Question("q", "a100", "b")).first_logp == 0.0


def test_a_new_store_that_did_not_fit_is_made_when_there_is_room(tmp_path):
    """Half of its tables would be taken for another version's."""
    path = tmp_path / "judgements.sqlite"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(StorageError, match=r"judgements\.sqlite: "):
            JudgementStore(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with JudgementStore(path) as store:
        add(store, 1)
        assert store.judges() == {"j": 1}


def test_a_store_that_another_program_holds_is_not_called_another_file(tmp_path, monkeypatch):
    path = tmp_path / "judgements.sqlite"
    JudgementStore(path).close()
    monkeypatch.setattr("softpref.judges.store.PATIENCE", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageError, match=r"another program holds it .*wait for its end") as caught:
            JudgementStore(path)
    assert "move it away" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "it is a folder"),
        (lambda path: path.write_text("hello" * 500), "is no judgement store; move it away"),
        (lambda path: made_with(path, "CREATE TABLE cats (name)"), "is a database of another program"),
        (lambda path: made_with(path, "CREATE TABLE answers (a); PRAGMA user_version = 9"), "by another version of softpref"),
    ],
)
def test_what_is_no_store_is_called_by_its_name(tmp_path, make, message):
    path = tmp_path / "judgements.sqlite"
    make(path)
    with pytest.raises(InputError, match=message):
        JudgementStore(path)


def made_with(path, statements):
    with closing(sqlite3.connect(path)) as db:
        db.executescript(statements)


@pytest.mark.parametrize("column", ["first_logp", "second_logp", "mass", "raw", "usage", "asked"])
def test_an_answer_that_has_changed_on_disk_is_asked_again_with_a_notice(tmp_path, caplog, column):
    path, judge = tmp_path / "judgements.sqlite", TableJudge(TABLE)
    run(path, judge)
    value = -0.25 if column in ("first_logp", "second_logp", "mass") else '{"n": 1}'
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"UPDATE answers SET {column} = ? WHERE question = ?", (value, Question("q", "a", "b").key))  # noqa: S608
    again = TableJudge(TABLE)
    found, _ = run(path, again)
    assert again.asked == [("a", "b")]
    assert [f.p for f in found] == pytest.approx([0.75, 0.75])
    assert "has changed on disk: it is asked again" in caplog.text


def test_a_store_of_version_1_keeps_its_answers(tmp_path):
    path, judge = tmp_path / "judgements.sqlite", TableJudge(TABLE)
    run(path, judge)
    made_with(path, "ALTER TABLE answers DROP COLUMN digest; PRAGMA user_version = 1")
    again = TableJudge(TABLE)
    found, _ = run(path, again)
    assert again.asked == []
    assert [f.p for f in found] == pytest.approx([0.75, 0.75])


def test_a_new_store_is_its_owner_s_alone(tmp_path):
    """It holds prompts and replies. So do the files that SQLite keeps beside it while it is open."""
    with JudgementStore(tmp_path / "s.sqlite"):
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir() if path.name.startswith("s.sqlite")} == {0o600}
