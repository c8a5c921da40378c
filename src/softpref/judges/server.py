"""A judge behind any OpenAI-compatible endpoint, at the full speed that its concurrency limit allows.

A probe call finds out what the endpoint can do: log-probs of its answer tokens, or else sampled verdicts. After that every
question is one call, made again with jittered back-off where a fault may pass; nothing is made up when it does not.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from softpref.data.pairs import Message
from softpref.errors import InterruptedRunError, OptionError, nearest
from softpref.judges.base import Answer, Question
from softpref.judges.endpoint import Capability, Endpoint, RefusedError, Reply, RetryableError, probe
from softpref.judges.prompt import JudgePrompt
from softpref.judges.reading import MASS_FLOOR, read_logprobs, read_verdicts

if TYPE_CHECKING:
    from openai import AsyncOpenAI

APIS = ("chat", "completions")
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
# A server may ask for any wait; past this the question has failed for now.
LONGEST_RETRY_AFTER = 120.0
Arrived: TypeAlias = "asyncio.Queue[Answer | None]"
PROBE = Question("Name a fruit.", "An apple.", "A hammer.")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerSettings:
    """Where the judge is and how hard it may be asked.

    Attributes:
        base_url: the endpoint, with its /v1.
        model: the name that the endpoint knows the model by.
        api: chat or completions.
        concurrency: calls under way at once.
        timeout: seconds for one call.
        retries: calls made again for one question after a rate limit, a server error or a broken connection.
        samples: verdicts per order where the endpoint gives no log-probs.
        prior: the a of the Beta(a, a) prior for sampled verdicts.
        mass_floor: the share of probability that the two answers must have together.
        max_calls: calls of this run at most, retries among them.
        max_cost: cost of this run at most, in the currency of the prices.
        price_in: per million tokens of prompt.
        price_out: per million tokens of answer.
    """

    base_url: str
    model: str
    api: str = "chat"
    concurrency: int = 16
    timeout: float = 60.0
    retries: int = 5
    samples: int = 8
    prior: float = 1.0
    mass_floor: float = MASS_FLOOR
    max_calls: int | None = None
    max_cost: float | None = None
    price_in: float | None = None
    price_out: float | None = None

    def __post_init__(self) -> None:
        if self.api not in APIS:
            raise OptionError(f"api is {self.api!r}{nearest(self.api, APIS)}")
        if min(self.concurrency, self.samples) < 1 or self.retries < 0 or not (self.timeout > 0 and self.prior > 0):
            raise OptionError("concurrency and samples must be at least 1, timeout and prior above 0, retries at least 0")
        if self.max_cost is not None and (self.price_in is None or self.price_out is None):
            raise OptionError("max_cost needs price_in and price_out, per million tokens")


@dataclass
class Usage:
    """What a run has sent and used so far."""

    calls: int = 0
    retries: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def cost(self, settings: ServerSettings) -> float | None:
        """In the currency of the prices; None without prices."""
        if settings.price_in is None or settings.price_out is None:
            return None
        return (self.tokens_in * settings.price_in + self.tokens_out * settings.price_out) / 1e6

    def add(self, reply: Reply) -> None:
        """Count the tokens of one reply."""
        self.tokens_in += reply.tokens_in
        self.tokens_out += reply.tokens_out


def connect(settings: ServerSettings, prompt: JudgePrompt) -> ServerJudge:
    """Probe the endpoint and give the judge that it can be. Raises InputError when it cannot be used at all."""
    endpoint = Endpoint(settings.base_url, settings.model, settings.api, settings.timeout)
    capability, reply = asyncio.run(probe(endpoint, _asked(PROBE, prompt, settings.api)))
    usage = Usage(calls=1)
    usage.add(reply)
    return ServerJudge(settings, prompt, endpoint, capability, usage)


@dataclass
class ServerJudge:
    """See the module. Made by ``connect``."""

    settings: ServerSettings
    prompt: JudgePrompt
    endpoint: Endpoint
    capability: Capability
    usage: Usage = field(default_factory=Usage)
    _cool_until: float = 0.0
    _stopping: bool = False

    @property
    def identity(self) -> str:
        """Endpoint, model, prompt and what is asked of it. Speed, budget and the rule of reading are no part of it."""
        s = self.settings
        asked = "logprobs" if self.capability.top_logprobs else f"votes:{s.samples}:prior:{s.prior:g}"
        return f"server:{s.base_url}:{s.model}:{s.api}:{self.prompt.identity}:{asked}"

    @property
    def method(self) -> dict[str, Any]:
        """How p comes about, for the label's record."""
        if self.capability.top_logprobs:
            return {"answers": "log-probs"}
        return {"answers": "sampled verdicts", "n": self.settings.samples, "prior": self.settings.prior}

    def answer(self, questions: Iterable[Question]) -> Iterator[Answer]:
        """Answers as they come, ``concurrency`` calls under way; a question is taken only when it is sent.

        Raises InterruptedRunError when the budget is reached, after the calls under way have come back; InputError when the
        endpoint refuses the key.
        """
        loop = asyncio.new_event_loop()
        try:
            yield from self._drive(loop, iter(questions))
        finally:
            loop.close()

    def reread(self, question: Question, raw: str) -> Answer:
        """The answer in a stored reply, by the present rule of reading. It costs no call."""
        return self._read(question, json.loads(raw))

    def _drive(self, loop: asyncio.AbstractEventLoop, questions: Iterator[Question]) -> Iterator[Answer]:
        self._stopping = False
        self._listen(loop)
        client = self.endpoint.client()
        arrived: Arrived = asyncio.Queue()
        callers = [loop.create_task(self._call(client, questions, arrived)) for _ in range(self.settings.concurrency)]
        calling = loop.create_task(self._all_done(callers, arrived))
        try:
            while (answer := _next(loop, arrived)) is not None:
                yield answer
            loop.run_until_complete(calling)
        finally:
            loop.run_until_complete(_close(client, [calling, *callers]))
        if self._stopping:
            raise KeyboardInterrupt
        if self._spent() and next(questions, None) is not None:
            raise InterruptedRunError(f"the budget is reached after {self.usage.calls} calls; what was judged is stored")

    async def _call(self, client: AsyncOpenAI, questions: Iterator[Question], arrived: Arrived) -> None:
        """One of ``concurrency``: it sends the next question as soon as it has an answer, before that is looked at."""
        while not (self._stopping or self._spent()) and (question := next(questions, None)) is not None:
            self.usage.calls += 1
            arrived.put_nowait(await self._until_answered(client, question))

    async def _all_done(self, callers: Sequence[asyncio.Task[None]], arrived: Arrived) -> None:
        """Put the end behind the last answer. Where a caller fails, the others send no more, and its fault is raised."""
        done, under_way = await asyncio.wait(callers, return_when=asyncio.FIRST_EXCEPTION)
        if under_way:
            self._stopping = True
            await asyncio.wait(under_way)
        arrived.put_nowait(None)
        await asyncio.gather(*done, *under_way)

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ctrl-C sends no more and lets the calls under way come back, for they are paid; a second one ends at once."""

        def stop() -> None:
            self._stopping = True
            loop.remove_signal_handler(signal.SIGINT)
            logger.warning("waiting for the calls under way; Ctrl-C again gives them up")

        # elsewhere than in the main thread, or on Windows, Ctrl-C ends at once
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(signal.SIGINT, stop)

    def _spent(self) -> bool:
        s, cost = self.settings, self.usage.cost(self.settings)
        too_many = s.max_calls is not None and self.usage.calls >= s.max_calls
        return too_many or (s.max_cost is not None and cost is not None and cost >= s.max_cost)

    async def _until_answered(self, client: AsyncOpenAI, question: Question) -> Answer:
        """One question, its call counted already; every further call is counted here."""
        attempt, reason = 0, ""
        while True:
            await self._cooled_down()
            try:
                return await self._once(client, question)
            except RefusedError as error:
                return Answer(question, failure=str(error))
            except RetryableError as error:
                reason = str(error)
                self._cool_down(error.wait)
            attempt += 1
            if attempt > self.settings.retries or self._stopping or self._spent():
                return Answer(question, failure=f"gave up after {attempt} calls: {reason}")
            await asyncio.sleep(min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1)) * random.uniform(0.5, 1.5))  # noqa: S311 — jitter
            self.usage.calls += 1
            self.usage.retries += 1

    async def _once(self, client: AsyncOpenAI, question: Question) -> Answer:
        asked = _asked(question, self.prompt, self.settings.api)
        if not self.capability.top_logprobs:
            return self._read(question, await self._verdicts(client, asked))
        reply = await self.endpoint.logprobs(client, asked, self.capability)
        self.usage.add(reply)
        if not reply.record["positions"]:
            raise RetryableError("the reply has no log-probs, though the endpoint gave them before")
        return self._read(question, reply.record)

    async def _verdicts(self, client: AsyncOpenAI, asked: str | list[Message]) -> dict[str, Any]:
        """As many verdicts as wanted; an endpoint that gives one at a time is asked again, and each call counts."""
        texts: list[str] = []
        while True:
            reply = await self.endpoint.verdicts(client, asked, self.capability, self.settings.samples - len(texts))
            self.usage.add(reply)
            texts += reply.record["texts"]
            if len(texts) >= self.settings.samples:
                return {"texts": texts}
            self.usage.calls += 1

    def _read(self, question: Question, record: dict[str, Any]) -> Answer:
        if "texts" in record:
            reading = read_verdicts(record["texts"], self.prompt, self.settings.prior)
        else:
            reading = read_logprobs(record["positions"], record["sampled"], self.prompt, self.settings.mass_floor)
        raw = json.dumps(record, ensure_ascii=False)
        return Answer(question, reading.first_logp, reading.second_logp, reading.mass, raw, reading.failure)

    # A rate limit holds for every call of the key, not for the one that met it.

    def _cool_down(self, wait: float | None) -> None:
        if wait is not None:
            self._cool_until = max(self._cool_until, time.monotonic() + min(wait, LONGEST_RETRY_AFTER))

    async def _cooled_down(self) -> None:
        while (left := self._cool_until - time.monotonic()) > 0:
            await asyncio.sleep(left)


def _asked(question: Question, prompt: JudgePrompt, api: str) -> str | list[Message]:
    return prompt.as_messages(question) if api == "chat" else prompt.as_text(question)


def _next(loop: asyncio.AbstractEventLoop, arrived: Arrived) -> Answer | None:
    """The next answer, None at the end. The loop runs only where none has arrived, so that few can wait."""
    if not arrived.empty():
        return arrived.get_nowait()
    getting = loop.create_task(arrived.get())
    try:
        return loop.run_until_complete(getting)
    except BaseException:
        getting.cancel()
        raise


async def _close(client: AsyncOpenAI, tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await client.close()
