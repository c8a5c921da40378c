"""How much of its concurrency limit the server judge uses, and whether its memory grows with the number of judgements.

    python benchmarks/judge_throughput.py [--judgements 10000] [--latency 0.2] [--concurrency 32]

A server on loopback, in a process of its own, answers every call after a fixed latency. The ideal rate is concurrency /
latency. Prints a table; memory is this process's resident set at a tenth of the judgements and at the end. Beside other work
every call waits for a core as well: ``chrt -f 10 python …`` holds that off.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import tempfile
import time
from pathlib import Path

from softpref.judges.base import Question
from softpref.judges.both_orders import ask
from softpref.judges.prompt import load_prompt
from softpref.judges.server import ServerSettings, connect
from softpref.judges.store import JudgementStore

TOP = [{"token": "1", "logprob": -0.3}, {"token": "2", "logprob": -1.4}]
REPLY = {
    "id": "x",
    "object": "chat.completion",
    "created": 0,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "1"},
            "logprobs": {"content": [{"token": "1", "logprob": -0.3, "top_logprobs": TOP}]},
        }
    ],
    "usage": {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101},
}
BODY = json.dumps(REPLY).encode()
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY


class FixedLatency(asyncio.Protocol):
    """A minimal HTTP/1.1 server with keep-alive: every request is answered alike, a fixed time after it is there."""

    def __init__(self, latency):
        self.latency, self.received = latency, b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) == length:
            self.received = b""
            asyncio.get_running_loop().call_later(self.latency, self.transport.write, ANSWER)


async def serve(port_out, latency):
    server = await asyncio.get_running_loop().create_server(lambda: FixedLatency(latency), "127.0.0.1", 0)
    port_out.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def run_server(port_out, latency):
    asyncio.run(serve(port_out, latency))


def resident_mib():
    """This process's resident set, in MiB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def questions(n):
    """Made one at a time: the benchmark itself must not hold them all."""
    for i in range(n):
        yield Question(f"Question {i}: " + "some words of context " * 20, f"Answer {i}", f"Another answer {i}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judgements", type=int, default=10_000)
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--concurrency", type=int, default=32)
    options = parser.parse_args()
    receiver, sender = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=run_server, args=(sender, options.latency), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{receiver.recv()}/v1"
    judge = connect(ServerSettings(url, "m", concurrency=options.concurrency), load_prompt("general"))
    seen, memory = 0, []

    def count(_):
        nonlocal seen
        seen += 1
        if seen in (options.judgements // 10, options.judgements):
            memory.append(resident_mib())

    with tempfile.TemporaryDirectory() as folder, JudgementStore(Path(folder) / "store.sqlite") as store:
        started = time.perf_counter()
        ask(judge, questions(options.judgements), store, count)
        seconds = time.perf_counter() - started
    server.kill()
    rate, ideal = options.judgements / seconds, options.concurrency / options.latency
    print("| judgements | latency, s | concurrency | seconds | per second | of the ideal | MiB at a tenth | MiB at the end |")
    print("|---|---|---|---|---|---|---|---|")
    print(
        f"| {options.judgements} | {options.latency} | {options.concurrency} | {seconds:.1f} | {rate:.1f} | {rate / ideal:.1%} "
        f"| {memory[0]:.0f} | {memory[1]:.0f} |"
    )


if __name__ == "__main__":
    main()
