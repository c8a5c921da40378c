"""Endpoints as they are: what they refuse is asked otherwise, what is wrong has a name, and a judge that cannot be read stops."""

from __future__ import annotations

import json
import math
import socket
import threading
from contextlib import contextmanager, suppress

import pytest

from hostile_server import ScriptedServer, refusal, said
from softpref.data.pairs import PreferencePair
from softpref.errors import InputError, OptionError
from softpref.judges.address import parse_address
from softpref.judges.labelling import label_pairs
from softpref.judges.prompt import load_prompt
from softpref.judges.server import FIRST_CALLERS, PROBES, ServerSettings, connect

PROMPT = load_prompt("general")
SURE = {"1": 0.8, "2": 0.2}


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch):
    monkeypatch.setattr("softpref.judges.retrying.FIRST_WAIT", 0.01)


def judge_at(server, **settings):
    return connect(ServerSettings(server.url, "m", **{"timeout": 5.0, "retries": 2, **settings}), PROMPT)


def pairs(n=3):
    return [PreferencePair(f"Question {i}?", f"Answer {i}.", f"Other answer {i}.") for i in range(n)]


def is_probe(body):
    asked = body["messages"][-1]["content"]
    return any(question.prompt in asked for question in PROBES)


def plain(body, _=0):
    """Log-probs where they are asked for, else as many verdicts as asked for: always the first."""
    if body.get("logprobs"):
        return 200, said(["1"], [("1", SURE)])
    return 200, said(["1"] * body.get("n", 1))


def refuses(name, message=None, status=400):
    """A server that refuses requests with this key."""

    def script(body, _):
        if name in body:
            return status, refusal(message or f"Unsupported parameter: '{name}' is not supported with this model.")
        return plain(body)

    return script


# ------------------------------------------------------------------------------------------------------ asked otherwise


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("name", ["temperature", "max_tokens", "logprobs", "top_logprobs"])
def test_what_an_endpoint_refuses_is_asked_otherwise(name, status, tmp_path, caplog):
    with ScriptedServer(refuses(name, status=status)) as server:
        label_pairs(pairs(), judge_at(server), tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["soft_label"] for row in rows] == [0.5] * 3  # always the first shown
    assert sum(name in body for body in server.calls) == 1  # once, and never again
    assert caplog.text.count(f"'{name}' is not supported") == 1


def test_an_endpoint_that_takes_no_limit_at_all_gets_none():
    def script(body, _):
        for name in ("max_tokens", "max_completion_tokens"):
            if name in body:
                return 400, refusal(f"{name}: extra fields not permitted")
        return plain(body)

    with ScriptedServer(script) as server:
        judge = judge_at(server)
    assert judge.capability.limit_name is None
    assert judge.usage.calls == len(server.calls) == 3


@pytest.mark.parametrize(
    ("status", "message"), [(400, "This model does not support the n parameter."), (422, "n: extra fields not permitted")]
)
def test_without_n_verdicts_are_asked_for_one_at_a_time(status, message, tmp_path):
    def script(body, _):
        if "logprobs" in body:
            return 400, refusal("logprobs is not supported")
        return (status, refusal(message)) if "n" in body else (200, said(["1"]))

    with ScriptedServer(script) as server:
        judge = judge_at(server, samples=4)
        label_pairs(pairs(2), judge, tmp_path / "out.jsonl")
    assert not judge.capability.samples_at_once
    assert len(server.calls) == 3 + 2 * 2 * 4  # two refusals, one probe; two pairs, two orders, four verdicts


def test_a_model_without_a_system_role_is_told_before_the_question():
    def script(body, _):
        if body["messages"][0]["role"] == "system":
            return 400, refusal("System role not supported")
        return plain(body)

    with ScriptedServer(script) as server:
        judge_at(server)
    [message] = server.calls[-1]["messages"]
    assert message["role"] == "user"
    assert message["content"].startswith(PROMPT.system)


def test_greedy_log_probs_are_no_probabilities():
    """Some servers give 0 for what was sampled and nothing else: p would be 1 for every pair."""

    def script(body, _):
        return (200, said(["1"], [("1", {"1": 1.0})])) if body.get("logprobs") else plain(body)

    with ScriptedServer(script) as server:
        assert judge_at(server).method["answers"] == "sampled verdicts"


def test_further_keys_are_sent_and_are_part_of_the_identity():
    with ScriptedServer(plain) as server:
        usual = judge_at(server)
        judge = judge_at(server, max_tokens=64, temperature=0.7, extra_body={"reasoning_effort": "low"})
    assert server.calls[-1] | {"max_tokens": 64, "temperature": 0.7, "reasoning_effort": "low"} == server.calls[-1]
    assert judge.identity != usual.identity
    assert usual.identity.endswith(":logprobs")  # as ever: answers that were paid for stay
    with pytest.raises(OptionError, match="extra_body holds 'n', which the judge sets: give samples"):
        ServerSettings("http://h/v1", "m", extra_body={"n": 2})


# ------------------------------------------------------------------------------------------------------ verdicts of all kinds


@pytest.mark.parametrize(
    "tokens",
    [
        ["1"],
        [" ", "1"],
        ["Response", " ", "1"],
        ["**", "Response", " ", "1"],
        ["[[", "1", "]]"],
        ["[[1", "]]"],
        ["Answer", ":", " 1"],
        ["\\", "boxed", "{", "1"],
        ["<think>", "\n\n", "</think>", "\n\n", "1"],
    ],
    ids="".join,
)
def test_log_probs_are_read_where_the_verdict_is(tokens):
    """The answer's token has 0.8 for the first and 0.15 for the second; those around it say nothing."""

    def script(body, _):
        positions = [(t, {t: 0.8, t.replace("1", "2"): 0.15, "x": 0.05} if "1" in t else {t: 0.9, "x": 0.05}) for t in tokens]
        return 200, said(["".join(tokens)], positions)

    with ScriptedServer(script) as server:
        [answer] = judge_at(server).answer(PROBES[:1])
    assert answer.failure is None
    assert answer.p_first == pytest.approx(0.8 / 0.95)
    assert answer.mass == pytest.approx(0.95)


def test_thoughts_are_set_aside_in_sampled_verdicts():
    texts = ["<think>Response 2 is good. Answer: 2</think>\n\nResponse 1", "Hm, 2?</think>1", "**1**", "2"]

    def script(body, _):
        return (400, refusal("logprobs is not supported")) if "logprobs" in body else (200, said(texts, reasoning_content="2!"))

    with ScriptedServer(script) as server:
        [answer] = judge_at(server, samples=4).answer(PROBES[:1])
    assert answer.p_first == pytest.approx((3 + 1) / (4 + 2))
    assert json.loads(answer.raw)["reasoning"] == ["2!"] * 4


@pytest.mark.parametrize("text", ["", None, "<think>\nLet me see"])
def test_reasoning_that_took_all_tokens_is_said(text):
    def script(body, _):
        if "logprobs" in body:
            return 400, refusal("logprobs is not supported")
        return 200, said([text] * 8, finish="length")

    with (
        ScriptedServer(script) as server,
        pytest.raises(InputError, match=r"reasoning took all 4 tokens .* raise --max_tokens .*: stopped after 2 calls"),
    ):
        judge_at(server)
    assert len(server.calls) == 2


# ------------------------------------------------------------------------------------------------------ cannot be read


def test_a_judge_that_says_something_else_costs_a_handful_and_is_shown():
    """What it said comes back cut and with what a terminal would obey written out; so does what would read it."""

    def script(body, _):
        return 200, said(["Well\x1b[2J"], [("Well\x1b[2J", {"Well\x1b[2J": 0.9, "x": 0.1})])

    with ScriptedServer(script) as server, pytest.raises(InputError) as error:
        judge_at(server)
    assert len(server.calls) == len(PROBES)
    assert r"the judge said 'Well\x1b[2J'" in str(error.value)
    assert "[verdict] patterns" in str(error.value)


def test_a_judge_that_answers_the_probe_alone_is_stopped(tmp_path):
    def script(body, _):
        return plain(body) if is_probe(body) else (200, said(["Maybe."], [("Maybe", {"Maybe": 0.9, "x": 0.1})]))

    with ScriptedServer(script) as server, pytest.raises(InputError, match=r"the first 6 judgements failed .*'Maybe\.'"):
        label_pairs(pairs(200), judge_at(server, concurrency=16), tmp_path / "out.jsonl")
    assert len(server.calls) <= 1 + 6 + 2 * FIRST_CALLERS  # the probe, those that failed, those under way
    assert not (tmp_path / "out.jsonl").exists()


def test_a_judge_that_stops_answering_is_stopped_and_keeps_what_it_gave(tmp_path):
    def script(body, call):
        return plain(body) if call <= 30 else (200, said(["No."], [("No", {"No": 0.9, "x": 0.1})]))

    with ScriptedServer(script) as server, pytest.raises(InputError, match="of the last 50 judgements failed"):
        label_pairs(pairs(200), judge_at(server, concurrency=4), tmp_path / "out.jsonl")
    assert 30 + 41 <= len(server.calls) <= 30 + 50 + 4


# ------------------------------------------------------------------------------------------------------ refused


def flags(status):
    def script(body, _):
        if "Question 1?" in body["messages"][-1]["content"]:
            return status, refusal("Your input was flagged.")
        return plain(body)

    return script


@pytest.mark.parametrize("status", [400, 403])
def test_one_flagged_row_fails_alone(status, tmp_path):
    with ScriptedServer(flags(status)) as server:
        for _ in range(2):  # and does so again when the run goes on
            summary = label_pairs(pairs(), judge_at(server), tmp_path / "out.jsonl")
            assert summary.labelled == 2
            assert summary.failures == {f"HTTP {status}: Your input was flagged.": 2}


STOPS = {
    401: (401, refusal("Incorrect API key"), "refuses the key .*Incorrect API key"),
    402: (402, refusal("Insufficient credits."), "answers no more .*Insufficient credits"),
    429: (429, refusal("You exceeded your quota.", code="insufficient_quota"), "answers no more .*exceeded your quota"),
    "in the body": (
        200,
        {"choices": None, "error": {"message": "Out of credits", "code": 402}},
        "answers no more .*Out of credits",
    ),
}


@pytest.mark.parametrize("kind", STOPS)
def test_an_account_that_is_used_up_stops_the_run_in_the_provider_s_words(kind, tmp_path):
    status, body, message = STOPS[kind]
    with ScriptedServer(lambda asked, call: plain(asked) if call <= 5 else (status, body)) as server:
        with pytest.raises(InputError, match=message):
            label_pairs(pairs(50), judge_at(server, concurrency=2), tmp_path / "out.jsonl")
        assert len(server.calls) <= 7


def test_a_first_403_is_the_key():
    with (
        ScriptedServer(lambda *_: (403, refusal("Project has no access"))) as server,
        pytest.raises(InputError, match=r"refuses the key \(HTTP 403: Project has no access\)"),
    ):
        judge_at(server)
    assert len(server.calls) == 1


def test_rows_that_are_all_forbidden_are_the_key(tmp_path):
    with ScriptedServer(lambda body, _: plain(body) if is_probe(body) else (403, refusal("No access"))) as server:
        with pytest.raises(InputError, match=r"the first 20 judgements failed .*No access"):
            label_pairs(pairs(100), judge_at(server), tmp_path / "out.jsonl")
        assert len(server.calls) < 30


@pytest.mark.parametrize(
    "reply", [(429, refusal("slow down")), (503, refusal("Model is loading")), (200, b"<html>hold on</html>")]
)
def test_the_first_call_is_made_again(reply):
    with ScriptedServer(lambda body, call: reply if call == 1 else plain(body)) as server:
        judge_at(server)
    assert len(server.calls) == 2


def test_a_redirect_to_elsewhere_takes_nothing_along():
    with ScriptedServer(plain) as other:
        target = {"location": f"{other.url}/chat/completions?key=K"}
        with (
            ScriptedServer(lambda *_: (307, {}, target)) as server,
            pytest.raises(InputError, match=r"redirects to http://127.* prompts and key are not sent after it") as error,
        ):
            judge_at(server)
        assert other.calls == []
    assert "key=K" not in str(error.value)


def test_nothing_that_listens_is_called_that():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(InputError, match="cannot be used: connection refused: nothing listens there"):
        connect(ServerSettings(url, "m"), PROMPT)


def test_a_host_that_is_unknown_is_called_that():
    with pytest.raises(InputError, match=r"cannot be used: its host name is unknown \(DNS\)"):
        connect(ServerSettings("http://no-such-host.invalid/v1", "m"), PROMPT)


# ------------------------------------------------------------------------------------------------------ replies

BAD = {
    "a log-prob above 0": (lambda r: r["choices"][0]["logprobs"]["content"][0].update(logprob=5.0), "log-prob of 5: above 0"),
    "huge": (lambda r: r["choices"][0]["logprobs"]["content"][0].update(logprob=8e300), "above 0 it is no log-prob"),
    "nan": (lambda r: r["choices"][0]["logprobs"]["content"][0].update(logprob=math.nan), "which is no number"),
    "text": (lambda r: r["choices"][0]["logprobs"]["content"][0].update(logprob="-0.1"), "which is no number"),
    "more than the whole": (
        lambda r: r["choices"][0]["logprobs"]["content"][0].update(top_logprobs=[{"token": t, "logprob": -0.1} for t in "12"]),
        r"give 1\.81 together",
    ),
    "token": (lambda r: r["choices"][0]["logprobs"]["content"][0].update(token=1), "a token of the reply's log-probs is '1'"),
    "positions": (lambda r: r["choices"][0]["logprobs"].update(content={"a": 1}), r"logprobs\.content is a dict"),
    "log-probs": (lambda r: r["choices"][0].update(logprobs=[1]), "logprobs are a list"),
    "message": (lambda r: r["choices"][0].update(message=["x"]), "message is a list"),
    "content": (lambda r: r["choices"][0]["message"].update(content=7), "message content is a int"),
    "usage": (lambda r: r.update(usage=[1]), "usage is a list"),
    "count": (lambda r: r.update(usage={"prompt_tokens": "many"}), r"usage\.prompt_tokens is .*many.* no count of tokens"),
    "negative count": (lambda r: r.update(usage={"completion_tokens": -3}), "no count of tokens"),
    "count beyond a float": (lambda r: r.update(usage={"prompt_tokens": 10**400}), "no count of tokens"),
    "log-prob beyond a float": (
        lambda r: r["choices"][0]["logprobs"]["content"][0].update(logprob=10**400),
        "above 0 it is no log-prob",
    ),
    "endless count": (lambda r: r.update(usage={"completion_tokens": math.inf}), "no count of tokens"),
    "choices": (lambda r: r.update(choices=["x"]), "the reply is no completion"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_reply_that_is_not_as_it_should_be_is_a_fault_with_a_name(kind, tmp_path):
    change, message = BAD[kind]

    def bad(*_):
        reply = said(["1"], [("1", SURE)])
        change(reply)
        return 200, reply

    with ScriptedServer(bad) as server, pytest.raises(InputError, match=message):
        judge_at(server)
    assert len(server.calls) <= 3
    with ScriptedServer(lambda body, call: plain(body) if call % 4 else bad()) as server:
        summary = label_pairs(pairs(6), judge_at(server, retries=0, concurrency=1), tmp_path / "out.jsonl")
    assert sum(summary.failures.values()) == 3  # every fourth of 13 calls
    assert summary.labelled == 3


@contextmanager
def raw_server(sent):
    """Answers every connection with these bytes, and closes it. Gives its address."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve():
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection, suppress(OSError):
                    connection.recv(65536)
                    connection.sendall(sent)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    finally:
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)


def http(body, header=None):
    header = header or f"Content-Length: {len(body)}"
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n{header}\r\n\r\n".encode() + body


RAW = {
    "no HTTP": (b"\x00\xff nonsense\r\n\r\n", "the reply is no HTTP"),
    "chunks": (http(b"zz\r\ngarbage", "Transfer-Encoding: chunked"), "the reply is no HTTP"),
    "closed": (b"", "the connection broke"),
    "no UTF-8": (http(b'{"a": "\xff"}'), "the reply cannot be read .*utf-8"),
    "deep": (http(b"[" * 200_000), "the reply cannot be read"),
    "digits": (http(b'{"usage": ' + b"9" * 5000 + b"}"), "the reply cannot be read"),
}


@pytest.mark.parametrize("kind", RAW)
def test_bytes_that_are_no_reply_are_a_fault_with_a_name(kind):
    sent, message = RAW[kind]
    settings = {"timeout": 30.0, "retries": 1}
    with raw_server(sent) as url, pytest.raises(InputError, match=message):
        connect(ServerSettings(url, "m", **settings), PROMPT)


@pytest.mark.parametrize("usage", [{}, {"prompt_tokens": None}, {"prompt_tokens": 3.0}])
def test_usage_may_be_missing(usage):
    with ScriptedServer(lambda *_: (200, {**said(["1"], [("1", SURE)]), "usage": usage or None})) as server:
        assert judge_at(server).usage.tokens_in in (0, 3)


def test_half_a_surrogate_pair_can_be_stored(tmp_path):
    reply = said(["1"], [("1", {**SURE})])
    reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"].append({"token": "\ud800", "logprob": -9.0})
    with ScriptedServer(lambda *_: (200, reply)) as server:
        assert label_pairs(pairs(), judge_at(server), tmp_path / "out.jsonl").labelled == 3


# ------------------------------------------------------------------------------------------------------ keys and addresses


@pytest.mark.parametrize("key", ["", "  \n", "sk-a\nb", "sk-ключ", "sk\x00"])
def test_a_key_that_is_none_is_refused_and_not_shown(key, monkeypatch):
    if "\x00" in key:
        monkeypatch.setattr("softpref.judges.address.os.environ", {"OPENAI_API_KEY": key})
    else:
        monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(OptionError, match="OPENAI_API_KEY") as error:
        connect(ServerSettings("http://127.0.0.1:1/v1", "m"), PROMPT)
    assert not key.strip() or key not in str(error.value)


def test_a_key_from_a_file_ends_in_a_line_break(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-abc\n")
    with ScriptedServer(plain) as server:
        judge_at(server)
    assert server.headers[0]["authorization"] == "Bearer sk-abc"


@pytest.mark.parametrize("place", ["query", "path", "user", "server's words"])
def test_no_secret_is_stored_or_shown(place, tmp_path, monkeypatch, capfd):
    """It goes on the wire, and nowhere else: not in rows, summary, store or messages."""
    secret = "sk-QKEY1234567890"  # noqa: S105 (made up)
    url = {"query": "{}?api-key={}&api-version=7", "path": "{}/{}/v1", "user": "{}", "server's words": "{}"}[place]
    if place == "server's words":
        monkeypatch.setenv("OPENAI_API_KEY", secret)

    def script(body, _):
        if "Question 1?" in body["messages"][-1]["content"]:
            return 400, refusal(f"key {secret} may not ask this")
        return plain(body)

    with ScriptedServer(script) as server:
        at = url.format(server.url, secret)
        if place == "user":
            at = at.replace("http://", f"http://me:{secret}@")
        judge = connect(ServerSettings(at, "m", timeout=5), PROMPT)
        label_pairs(pairs(), judge, tmp_path / "out.jsonl")
    wire = json.dumps([server.paths, server.headers])
    assert secret in wire or "Basic bWU6c2st" in wire
    assert "?" not in at or "api-version=7" in judge.identity
    for file in tmp_path.iterdir():
        assert secret.encode() not in file.read_bytes(), file
    assert secret not in judge.identity + repr(judge) + "".join(capfd.readouterr())


def test_addresses_without_a_secret_stay_as_they_are():
    """An identity made of one is what it always was; and two deployments are two judges."""
    for url in ("http://localhost:8000/v1", "https://h.example/openai/deployments/gpt-4o-2024-08-06/", "http://[::1]:80/v1"):
        assert parse_address(url).shown == url
    one, other = (parse_address(f"https://h/v1/{32 * c}1") for c in "ab")
    assert one.shown != other.shown
    assert 32 * "a" not in one.shown


@pytest.mark.parametrize(
    "url", ["", "localhost:8000/v1", "http://", "http://[::1", "ftp://h/v1", "http://h:99999/v1", "http://h/v 1"]
)
def test_what_is_no_address_is_one_message(url):
    with pytest.raises(OptionError, match=r"base_url: .* is no address of a server; write it like http://localhost:8000/v1"):
        connect(ServerSettings(url, "m"), PROMPT)


# ------------------------------------------------------------------------------------------------------ tool calls


def called(city, **more):
    call = {"type": "function", "function": {"name": "weather", "arguments": json.dumps({"city": city})}}
    return [{"role": "assistant", "content": "", "tool_calls": [call], **more}]


def test_tool_calls_are_shown_and_what_is_not_shown_is_not_judged(tmp_path):
    prompt = [{"role": "user", "content": "Weather in Oslo?"}]
    thought, guessed = ([{"role": "assistant", "content": "4", "reasoning_content": why}] for why in ("sum", "guess"))
    rows = [PreferencePair(prompt, called("Oslo"), called("Rome")), PreferencePair(prompt, thought, guessed)]
    with ScriptedServer(plain) as server:
        summary = label_pairs(rows, judge_at(server), tmp_path / "out.jsonl")
    assert len(server.calls) == 1 + 2
    asked = sorted(body["messages"][-1]["content"] for body in server.calls if not is_probe(body))
    assert ['[Response 1]\n[tool call] weather({"city": "Oslo"})' in text for text in asked] == [True, False]
    assert summary.labelled == 1
    [(reason, count)] = summary.failures.items()
    assert (count, "differ only in what it is not shown (reasoning_content)" in reason) == (2, True)
