"""An OpenAI-compatible server on loopback that knows the right answer to everything, and has every fault on purpose."""

from __future__ import annotations

import hashlib
import json
import math
import random
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULTS = ("rate limit", "server error", "hang", "cut", "malformed", "html", "no log-probs", "wrong token", "duplicates")


def true_log_odds(asked: str) -> float:
    """What this judge thinks of a question: anything fixed will do, so a hash."""
    return (int(hashlib.sha256(asked.encode()).hexdigest()[:8], 16) / 2**32 - 0.5) * 6


class HostileServer:
    """``rate`` of the calls meet one of ``faults``; ``calls`` counts all that arrived, ``seen`` by question."""

    def __init__(self, rate=0.0, faults=FAULTS, seed=0, latency=0.0, hang=1.5, logprobs=True, slow_start=0):
        self.rate, self.faults, self.latency, self.hang, self.logprobs = rate, faults, latency, hang, logprobs
        self.slow_start = slow_start
        self.rng, self.lock = random.Random(seed), threading.Lock()
        self.calls, self.met, self.seen, self.under_way, self.most = 0, Counter(), Counter(), 0, 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.handle(self, body)

            def log_message(self, *_):
                pass

        self.http = PatientServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()

    def handle(self, handler, body):
        asked = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
        with self.lock:
            self.calls += 1
            first_calls = self.calls <= self.slow_start
            self.seen[asked] += 1
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            fault = self.rng.choice(self.faults) if self.rng.random() < self.rate else None
            if first_calls:
                fault = "server error"
            self.met[fault] += 1
        try:
            time.sleep(self.latency)
            self.reply(handler, body, asked, fault)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client has given this call up
        finally:
            with self.lock:
                self.under_way -= 1

    def reply(self, handler, body, asked, fault):
        if fault == "rate limit":
            return send(handler, 429, b'{"error": {"message": "slow down"}}', {"retry-after": "0.05"})
        if fault == "server error":
            return send(handler, 500, b'{"error": {"message": "oops"}}')
        if fault == "hang":
            time.sleep(self.hang)
        if fault == "cut":
            handler.close_connection = True
            return handler.connection.close()
        if fault == "malformed":
            return send(handler, 200, b'{"choices": [{"mess')
        if fault == "html":
            return send(handler, 200, b"<html>Bad gateway</html>", {"content-type": "text/html"})
        reply = completion(body, asked, fault, self.logprobs)
        return send(handler, 200, json.dumps(reply).encode())


class PatientServer(ThreadingHTTPServer):
    """The library's default keeps five connections waiting and resets the sixth: a fault that nobody planned."""

    daemon_threads = True
    request_queue_size = 256


def send(handler, status, content, headers=None):
    handler.send_response(status)
    for name, value in {"content-type": "application/json", **(headers or {})}.items():
        handler.send_header(name, value)
    handler.send_header("content-length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def completion(body, asked, fault, logprobs):
    """The right answer, spelt in two ways that must be summed, or one of the faults that come with HTTP 200."""
    z = true_log_odds(asked)
    first, second = math.log(0.96) - math.log1p(math.exp(-z)), math.log(0.96) - math.log1p(math.exp(z))
    top = {"1": first + math.log(0.75), " 1": first + math.log(0.25), "2": second, "The": math.log(0.02)}
    if fault == "wrong token":
        top = {"The": math.log(0.9), "1": math.log(0.03), "2": math.log(0.02)}
    sampled = max(top, key=top.get)
    content = [{"token": sampled, "logprob": top[sampled], "top_logprobs": as_listed(top)}]
    given = {"content": content} if logprobs and fault != "no log-probs" and body.get("logprobs") else None
    n = body.get("n", 1)
    texts = [sampled] * n
    if body.get("temperature"):
        rng = random.Random(asked)
        texts = ["1" if rng.random() < 1 / (1 + math.exp(-z)) else "2" for _ in range(n)]
    choices = [
        {"index": i, "finish_reason": "stop", "message": {"role": "assistant", "content": text}, "logprobs": given}
        for i, text in enumerate(texts)
    ]
    if fault == "duplicates":
        choices = choices * 3
    usage = {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101}
    return {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": choices, "usage": usage}


def as_listed(top):
    return [{"token": token, "logprob": logp} for token, logp in top.items()]


# ------------------------------------------------------------------------------------------------ a server by script


class ScriptedServer:
    """Answers every call with what ``script(body, call)`` gives: a status and a body, and headers where there are any.

    ``calls`` holds the body of every call, ``paths`` and ``headers`` what it was sent with.
    """

    def __init__(self, script):
        self.calls, self.paths, self.headers, lock = [], [], [], threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with lock:
                    outer.calls.append(body)
                    outer.paths.append(self.path)
                    outer.headers.append(dict(self.headers))
                    number = len(outer.calls)
                status, reply, *rest = script(body, number)
                content = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
                send(self, status, content, rest[0] if rest else None)

            def log_message(self, *_):
                pass

        self.http = PatientServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()


def said(texts, positions=None, finish="stop", usage=None, **message):
    """A chat completion: ``positions`` are (sampled token, {token: probability}) of the first choice."""
    content = [
        {"token": token, "logprob": math.log(top[token]), "top_logprobs": as_listed({t: math.log(p) for t, p in top.items()})}
        for token, top in positions or []
    ]
    choices = [
        {
            "index": i,
            "finish_reason": finish,
            "message": {"role": "assistant", "content": text, **message},
            "logprobs": {"content": content} if positions is not None else None,
        }
        for i, text in enumerate(texts)
    ]
    return {"choices": choices, "usage": usage or {"prompt_tokens": 10, "completion_tokens": 1}}


def refusal(message, **more):
    return {"error": {"message": message, **more}}
