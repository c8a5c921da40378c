"""The server judge against a server that has every fault on purpose: every label right, or reported as failed."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from hostile_server import HostileServer, true_log_odds
from processes import started
from softpref.data.pairs import PreferencePair
from softpref.errors import InterruptedRunError, OptionError
from softpref.judges.base import Comparison
from softpref.judges.both_orders import ask, judge_comparisons, orders
from softpref.judges.labelling import label_pairs
from softpref.judges.prompt import load_prompt
from softpref.judges.server import ServerSettings, connect
from softpref.judges.store import JudgementStore
from softpref.judges.watch import Watch

PROMPT = load_prompt("general")


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch):
    monkeypatch.setattr("softpref.judges.retrying.FIRST_WAIT", 0.02)


def comparisons(n):
    return [Comparison(str(i), f"Question {i}?", f"Answer {i}.", f"Other answer {i}.") for i in range(n)]


def judge_at(server, **settings):
    return connect(ServerSettings(server.url, "m", **{"timeout": 5.0, "retries": 8, **settings}), PROMPT)


def truth(comparison):
    """p of a judge with both orders, from the log-odds that the server has for each."""
    shown = [1 / (1 + math.exp(-true_log_odds(PROMPT.as_messages(q)[-1]["content"]))) for q in orders(comparison)]
    return (shown[0] + 1 - shown[1]) / 2


def test_spellings_are_summed_and_both_orders_averaged(tmp_path):
    """ "1" and " 1" share the first answer's probability three to one; the sum is what counts."""
    with HostileServer() as server, JudgementStore(tmp_path / "s.sqlite") as store:
        judge = judge_at(server)
        found = judge_comparisons(judge, comparisons(20), store)
    assert [j.p for j in found] == pytest.approx([truth(c) for c in comparisons(20)], abs=1e-9)
    assert all(j.mass == pytest.approx(0.96, abs=1e-6) for j in found)
    assert judge.usage.calls == server.calls == 41  # 40 and the probe
    assert judge.usage.tokens_in == 4100


def test_a_fifth_of_all_calls_fail_and_no_label_is_wrong(tmp_path):
    """429 with Retry-After, 500, hang, cut connection, malformed JSON, HTML, no log-probs, wrong token, duplicates.

    Every label is the truth; what has none is reported as failed; the calls are those needed and the retries, counted.
    """
    asked = comparisons(150)
    with HostileServer(hang=4.0) as server, JudgementStore(tmp_path / "s.sqlite") as store:
        judge = judge_at(server, concurrency=12, timeout=2.0)
        server.rate = 0.2
        found = judge_comparisons(judge, asked, store)
        met = server.met
    assert sum(met[fault] for fault in met if fault) > 40
    assert len({fault for fault in met if fault}) == 9
    for comparison, judgement in zip(asked, found, strict=True):
        if judgement.p is not None:
            assert judgement.p == pytest.approx(truth(comparison), abs=1e-9)
        else:
            assert any("of the probability" in failure for failure in judgement.failures)
    failed = sum(len(j.failures) for j in found)
    # a reply that came after its time-out was never read
    assert 0 < failed <= met["wrong token"]
    assert judge.usage.calls == server.calls == 1 + 2 * len(asked) + judge.usage.retries


def test_failures_are_asked_again_and_answers_are_not(tmp_path):
    asked = comparisons(30)
    with HostileServer() as server:
        judge = judge_at(server)
        server.rate, server.faults = 0.3, ("wrong token",)
        with JudgementStore(tmp_path / "s.sqlite") as store:
            first = judge_comparisons(judge, asked, store)
        failed = sum(len(j.failures) for j in first)
        assert failed > 0
        server.rate, before = 0.0, server.calls
        with JudgementStore(tmp_path / "s.sqlite") as store:
            second = judge_comparisons(judge, asked, store)
        assert server.calls - before == failed
    assert [j.p for j in second] == pytest.approx([truth(c) for c in asked], abs=1e-9)


def test_a_lower_floor_reads_what_is_stored_without_a_call(tmp_path):
    """The wrong-token replies had 0.05 on the answers: under another rule they are answers, and cost nothing."""
    asked = comparisons(10)
    with HostileServer(rate=0.0) as server, JudgementStore(tmp_path / "s.sqlite") as store:
        strict = judge_at(server)
        server.rate, server.faults = 1.0, ("wrong token",)
        ask(strict, (q for c in asked for q in orders(c)), store, watch=Watch(answered=True))
        lenient = judge_at(server, mass_floor=0.01, max_calls=0)
        before = server.calls
        from softpref.judges.both_orders import judgements

        found = list(judgements(lenient, asked, store))
        assert server.calls == before
    assert lenient.identity == strict.identity
    assert [j.first_shown for j in found] == pytest.approx([0.6] * 10)  # .03 / .05


def test_the_first_call_is_made_again_like_any_other():
    with HostileServer(slow_start=2) as server:
        judge = judge_at(server)
    assert (server.calls, judge.usage.calls, judge.usage.retries) == (3, 3, 2)


def test_without_log_probs_verdicts_are_sampled(tmp_path):
    """8 verdicts per order and a Beta(1, 1) prior: p_first = (k + 1) / 10, and the record says so."""
    with HostileServer(logprobs=False) as server:
        judge = judge_at(server)
        pairs = [PreferencePair(c.prompt, c.response_1, c.response_2) for c in comparisons(5)]
        label_pairs(pairs, judge, tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    for row in rows:
        source = row["label_source"]
        assert (source["answers"], source["n"], source["prior"]) == ("sampled verdicts", 8, 1.0)
        assert (10 * source["first_shown"]) == pytest.approx(round(10 * source["first_shown"]))
        assert row["soft_label"] == pytest.approx(0.5 + (source["first_shown"] - source["second_shown"]) / 2)
        assert 0.1 <= source["first_shown"] <= 0.9


def test_the_budget_stops_the_run_and_the_next_one_goes_on(tmp_path):
    asked = comparisons(20)
    with HostileServer() as server, JudgementStore(tmp_path / "s.sqlite") as store:
        judge = judge_at(server, max_calls=15, concurrency=4)
        with pytest.raises(InterruptedRunError, match="the budget is reached after 15 calls"):
            judge_comparisons(judge, asked, store)
        assert server.calls == 15
        found = judge_comparisons(judge_at(server), asked, store)
        assert server.calls == 15 + 1 + (40 - 14)  # 14 answers and a probe were paid for, a second probe, the rest
    assert [j.p for j in found] == pytest.approx([truth(c) for c in asked], abs=1e-9)


def test_the_cost_is_counted_and_limits():
    with HostileServer() as server:
        judge = judge_at(server, price_in=1000.0, price_out=0.0, max_cost=0.45, concurrency=1)
        with pytest.raises(InterruptedRunError):
            list(judge.answer(q for c in comparisons(20) for q in orders(c)))
        assert judge.usage.cost(judge.settings) == pytest.approx(0.5)  # 100 tokens a call: five calls
    with pytest.raises(OptionError, match="max_cost needs price_in and price_out"):
        ServerSettings("u", "m", max_cost=1.0)


def test_concurrency_is_a_limit_and_is_used(tmp_path):
    with HostileServer(latency=0.05) as server, JudgementStore(tmp_path / "s.sqlite") as store:
        judge_comparisons(judge_at(server, concurrency=7, timeout=5), comparisons(30), store)
        assert server.most == 7


def test_a_rate_limit_holds_for_every_call(tmp_path, monkeypatch):
    """After a 429 nothing is sent before its Retry-After is over."""
    with HostileServer() as server, JudgementStore(tmp_path / "s.sqlite") as store:
        judge = judge_at(server, concurrency=1)
        clock, waits = [100.0], []

        async def sleep(seconds):
            waits.append((seconds, server.calls))
            clock[0] += seconds

        monkeypatch.setattr("softpref.judges.retrying.time", SimpleNamespace(monotonic=lambda: clock[0]))
        monkeypatch.setattr("softpref.judges.retrying.asyncio", SimpleNamespace(sleep=sleep))
        judge._retrying.cool_down(0.4)
        before = server.calls
        judge_comparisons(judge, comparisons(1), store)
        assert waits == [(pytest.approx(0.4), before)]
        assert server.calls == before + 2


def test_no_key_reaches_the_store(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    pairs = [PreferencePair(c.prompt, c.response_1, c.response_2) for c in comparisons(3)]
    with HostileServer() as server:
        label_pairs(pairs, judge_at(server), tmp_path / "out.jsonl")
    for file in tmp_path.iterdir():
        assert b"very-secret" not in file.read_bytes(), file


def _label_forever(url, folder, n):
    judge = connect(ServerSettings(url, "m", concurrency=4, timeout=5), PROMPT)
    with JudgementStore(folder / "s.sqlite") as store:
        ask(judge, (q for c in comparisons(n) for q in orders(c)), store)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_killed_run_pays_nothing_twice(tmp_path):
    """Killed in the middle; the next run sends only what was not answered, but for the calls under way at the kill."""
    n = 60
    with HostileServer(latency=0.02) as server:
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=_label_forever, args=(server.url, tmp_path, n))
        process.start()
        while server.calls < 60:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        paid = server.calls
        with JudgementStore(tmp_path / "s.sqlite") as store:
            judge = judge_at(server, timeout=5)
            [stored] = store.judges().values()
            found = judge_comparisons(judge, comparisons(n), store)
    # of each of the four callers a call under way and an answer not yet written; and the one that is being written
    assert paid - 1 - stored <= 2 * 4 + 1
    assert server.calls == paid + 1 + 2 * n - stored
    assert [j.p for j in found] == pytest.approx([truth(c) for c in comparisons(n)], abs=1e-9)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_two_runs_at_once_do_not_pay_twice(tmp_path):
    n = 80
    with HostileServer(latency=0.02) as server:
        context = multiprocessing.get_context("spawn")
        both = [context.Process(target=_label_forever, args=(server.url, tmp_path, n)) for _ in range(2)]
        for process in both:
            process.start()
        for process in both:
            process.join()
            assert process.exitcode == 0
        asked = server.seen
    assert server.calls == 2 * n + 2  # and two probes
    assert max(count for question, count in asked.items() if "Question" in question) == 1


def test_ctrl_c_finishes_cleanly_and_says_how_to_go_on(tmp_path):
    rows = [{"prompt": f"Question {i}?", "response_1": f"A {i}", "response_2": f"B {i}"} for i in range(200)]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with HostileServer(latency=0.05) as server:
        command = [
            sys.executable,
            "-m",
            "softpref.cli.main",
            "label",
            "--judge",
            "server",
            "--base_url",
            server.url,
            "--judge_model",
            "m",
            "--judge_prompt",
            "general",
            "--data",
            "in.jsonl",
            "--output",
            "out.jsonl",
            "--yes",
        ]
        with started(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
            while server.calls < 40:
                assert run.poll() is None
                time.sleep(0.02)
            run.send_signal(signal.SIGINT)
            _, errors = run.communicate()
        assert run.returncode == 130
        assert "Run the same command again to go on from out.sqlite" in errors
        assert "Traceback" not in errors
        assert "waiting for the calls under way" in errors
        before = server.calls
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
    assert "labelled 200 of 200 pairs" in done.stdout
    # two probes and 400 questions: the calls under way at Ctrl-C came back, and none is paid twice
    assert before < 402
    assert server.calls == 402
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["prompt"] for row in written] == [row["prompt"] for row in rows]
