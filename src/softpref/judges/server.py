"""A judge behind any OpenAI-compatible endpoint, at the full speed that its concurrency limit allows.

A probe call finds out what the endpoint can do: log-probs of its answer tokens, or else sampled verdicts. After that every
question is one call, made again with jittered back-off where a fault may pass; nothing is made up when it does not.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import math
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from softpref.data.pairs import Message
from softpref.errors import InterruptedRunError, OptionError, nearest
from softpref.extras import require
from softpref.judges.address import parse_address
from softpref.judges.base import JUDGE, ROW, UNASKED, Answer, Question
from softpref.judges.endpoint import ANSWER_TOKENS, Asking, Capability, Endpoint, RefusedError, RetryableError
from softpref.judges.probe import probe
from softpref.judges.prompt import JudgePrompt
from softpref.judges.reading import MASS_FLOOR, SAID, read_record
from softpref.judges.retrying import GaveUpError, Retrying, Usage
from softpref.judges.shown_text import unseen_difference
from softpref.judges.watch import JudgeFailedError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

APIS = ("chat", "completions")
Arrived: TypeAlias = "asyncio.Queue[Answer | None]"
PROBES = (
    Question("Name a fruit.", "An apple.", "A hammer."),
    Question("Name a colour of the sky.", "A spoon.", "Blue."),
    Question("What is 2 + 2?", "2 + 2 is 4.", "It is 7."),
)
# Callers at work before a first answer has been read.
FIRST_CALLERS = 2

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerSettings:
    """Where the judge is and how hard it may be asked. Raises OptionError, also without the packages that reach a server.

    Attributes:
        base_url: the endpoint, with its /v1.
        model: the name that the endpoint knows the model by.
        api: chat or completions.
        concurrency: calls under way at once.
        timeout: seconds for one call.
        retries: calls made again for one question after a rate limit, a server error or a broken connection.
        samples: verdicts per order where the endpoint gives no log-probs.
        max_tokens: tokens of an answer at most, those of the judge's reasoning among them.
        temperature: of the judge; None: 0 for log-probs, 1 for sampled verdicts.
        extra_body: further keys of every request, as the endpoint knows them.
        max_failed: share of the last 50 judgements that may fail; more stop the run, and 1 never does.
        prior: the a of the Beta(a, a) prior for sampled verdicts.
        mass_floor: the share of probability that the two answers must have together.
        max_calls: calls of this run at most, retries among them.
        max_cost: cost of this run at most, in the currency of the prices.
        price_in: per million tokens of prompt.
        price_out: per million tokens of answer.
    """

    base_url: str = field(repr=False)  # it may hold a key
    model: str
    api: str = "chat"
    concurrency: int = 16
    timeout: float = 60.0
    retries: int = 5
    samples: int = 8
    max_tokens: int = ANSWER_TOKENS
    temperature: float | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    max_failed: float | None = None
    prior: float = 1.0
    mass_floor: float = MASS_FLOOR
    max_calls: int | None = None
    max_cost: float | None = None
    price_in: float | None = None
    price_out: float | None = None

    def __post_init__(self) -> None:
        require("judge server", "openai", "aiohttp")
        if self.api not in APIS:
            raise OptionError(f"api is {self.api!r}{nearest(self.api, APIS)}")
        if min(self.concurrency, self.samples) < 1 or self.retries < 0 or not (self.timeout > 0 and self.prior > 0):
            raise OptionError("concurrency and samples must be at least 1, timeout and prior above 0, retries at least 0")
        if self.max_tokens < 1:
            raise OptionError(f"max_tokens is {self.max_tokens}; it must be at least 1")
        if self.temperature is not None and not 0 <= self.temperature < math.inf:
            raise OptionError(f"temperature is {self.temperature:g}; it must be 0 or above")
        if self.max_failed is not None and not 0 < self.max_failed <= 1:
            raise OptionError(f"max_failed is {self.max_failed:g}; it must lie in (0, 1]")
        for name in self.extra_body:
            if name in _OWN_KEYS:
                raise OptionError(f"extra_body holds {name!r}, which the judge sets: {_OWN_KEYS[name]}")
        if self.max_cost is not None and (self.price_in is None or self.price_out is None):
            raise OptionError("max_cost needs price_in and price_out, per million tokens")

    @property
    def asking(self) -> Asking:
        """What is asked of every answer."""
        return Asking(self.max_tokens, self.temperature, self.extra_body)


# Keys of a request that have an option, or that the reading of the reply depends on.
_OWN_KEYS = {
    "model": "give judge_model",
    "messages": "give judge_prompt",
    "prompt": "give judge_prompt",
    "n": "give samples",
    "max_tokens": "give max_tokens",
    "max_completion_tokens": "give max_tokens",
    "temperature": "give judge_temperature",
    "logprobs": "the probe finds out how many there are",
    "top_logprobs": "the probe finds out how many there are",
    "stream": "replies are read whole",
}


def connect(settings: ServerSettings, prompt: JudgePrompt) -> ServerJudge:
    """Probe the endpoint and give the judge that it can be.

    Raises InputError when the endpoint cannot be used at all, or when its answers to the first questions cannot be read.
    """
    address = parse_address(settings.base_url)
    endpoint = Endpoint(address, settings.model, settings.api, settings.timeout, settings.asking)
    usage = Usage()
    retrying = Retrying(settings.retries, usage)
    can: Capability | None = None
    for question in PROBES:
        asked = _asked(question, prompt, settings.api)
        can, reply = asyncio.run(probe(endpoint, asked, settings.samples, retrying, can))
        judge = ServerJudge(settings, prompt, endpoint, can, usage)
        failure = judge.read(question, reply.record).failure
        if failure is None:
            return judge
        if "finish" in reply.record:
            break  # the next one would be cut as well
    calls = f"after {usage.calls} calls" if usage.calls > 1 else "after the first call"
    unread = f"{address.shown}: {settings.model!r} gives no answer that can be read ({failure}): stopped {calls}"
    raise JudgeFailedError(unread + judge.mend(unread))


@dataclass
class ServerJudge:
    """See the module. Made by ``connect``."""

    settings: ServerSettings
    prompt: JudgePrompt
    endpoint: Endpoint
    capability: Capability
    usage: Usage = field(default_factory=Usage)
    _retrying: Retrying = field(init=False, repr=False)
    _stopping: bool = False
    _interrupted: bool = False
    _proved: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def __post_init__(self) -> None:
        self._retrying = Retrying(self.settings.retries, self.usage, lambda: self._stopping or self._spent())

    @property
    def identity(self) -> str:
        """Endpoint, model, prompt and what is asked of it. Speed, budget and the rule of reading are no part of it."""
        s = self.settings
        asked = "logprobs" if self.capability.top_logprobs else f"votes:{s.samples}:prior:{s.prior:g}"
        limits = f":max_tokens:{s.max_tokens}" if s.max_tokens != ANSWER_TOKENS else ""
        limits += f":temperature:{s.temperature:g}" if s.temperature is not None else ""
        limits += f":extra:{_digest(s.extra_body)}" if s.extra_body else ""
        return f"server:{self.endpoint.address.shown}:{s.model}:{s.api}:{self.prompt.identity}:{asked}{limits}"

    @property
    def max_failed(self) -> float | None:
        """Share of the last judgements that may fail; None for the usual one."""
        return self.settings.max_failed

    def mend(self, reason: str) -> str:
        """What may help where its answers were read and were none."""
        if SAID not in reason:
            return ""
        return (
            f"; write the answers of {self.prompt.name!r} as this judge spells them (a TOML file for --judge_prompt: [answers], "
            "or [verdict] patterns), give it more --max_tokens, or set another --mass_floor"
        )

    def stop(self) -> None:
        """Send no more; the calls under way come back."""
        self._stopping = True

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
        loop, before = asyncio.new_event_loop(), signal.getsignal(signal.SIGTERM)
        try:
            yield from self._drive(loop, iter(questions))
        finally:
            # which sets the signals that it has listened to back to the system's own
            loop.close()
            if callable(before):
                with suppress(ValueError):
                    signal.signal(signal.SIGTERM, before)

    def reread(self, question: Question, raw: str) -> Answer:
        """The answer in a stored reply, by the present rule of reading. It costs no call."""
        return self.read(question, json.loads(raw))

    def _drive(self, loop: asyncio.AbstractEventLoop, questions: Iterator[Question]) -> Iterator[Answer]:
        self._stopping = self._interrupted = False
        self._proved = asyncio.Event()
        self._listen(loop)
        client = self.endpoint.client()
        arrived: Arrived = asyncio.Queue()
        callers = [loop.create_task(self._call(client, questions, arrived, i)) for i in range(self.settings.concurrency)]
        calling = loop.create_task(self._all_done(callers, arrived))
        try:
            while (answer := _next(loop, arrived)) is not None:
                yield answer
            loop.run_until_complete(calling)
        finally:
            loop.run_until_complete(_close(client, [calling, *callers]))
        if self._interrupted:
            raise KeyboardInterrupt
        if self._spent() and next(questions, None) is not None:
            raise InterruptedRunError(f"the budget is reached after {self.usage.calls} calls; what was judged is stored")

    async def _call(self, client: AsyncOpenAI, questions: Iterator[Question], arrived: Arrived, place: int) -> None:
        """One of ``concurrency``: it sends the next question as soon as it has an answer, before that is looked at.

        All but the first few wait for a first answer that can be read: a judge that gives none is not asked by all of them.
        """
        try:
            if place >= FIRST_CALLERS:
                await self._proved.wait()
            while not (self._stopping or self._spent()) and (question := next(questions, None)) is not None:
                answer = await self._until_answered(client, question)
                if answer.failure is None:
                    self._proved.set()
                arrived.put_nowait(answer)
        finally:
            if place < FIRST_CALLERS:
                self._proved.set()

    async def _all_done(self, callers: Sequence[asyncio.Task[None]], arrived: Arrived) -> None:
        """Put the end behind the last answer. Where a caller fails, the others send no more, and its fault is raised."""
        done, under_way = await asyncio.wait(callers, return_when=asyncio.FIRST_EXCEPTION)
        if under_way:
            self._stopping = True
            await asyncio.wait(under_way)
        arrived.put_nowait(None)
        await asyncio.gather(*done, *under_way)

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ctrl-C or SIGTERM sends no more and lets the calls under way come back, for they are paid; a second ends at once."""
        before = signal.getsignal(signal.SIGTERM)

        def stop() -> None:
            self._stopping = self._interrupted = True
            loop.remove_signal_handler(signal.SIGINT)
            loop.remove_signal_handler(signal.SIGTERM)
            signal.signal(signal.SIGTERM, before)
            logger.warning("waiting for the calls under way; Ctrl-C again gives them up")

        # elsewhere than in the main thread, or on Windows, Ctrl-C ends at once
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(signal.SIGINT, stop)
            # where nobody takes SIGTERM it ends the process, as ever
            if callable(before):
                loop.add_signal_handler(signal.SIGTERM, stop)

    def _spent(self) -> bool:
        s, cost = self.settings, self.usage.cost(self.settings)
        too_many = s.max_calls is not None and self.usage.calls >= s.max_calls
        return too_many or (s.max_cost is not None and cost is not None and cost >= s.max_cost)

    async def _until_answered(self, client: AsyncOpenAI, question: Question) -> Answer:
        """One question, answered or failed."""
        alike = unseen_difference(question.first, question.second)
        if alike is not None:
            return Answer(question, failure=alike, blame=UNASKED)
        self.usage.calls += 1
        try:
            return await self._retrying(lambda: self._once(client, question))
        except RefusedError as error:
            return Answer(question, failure=str(error), blame=ROW if error.is_of_the_row else JUDGE)
        except GaveUpError as error:
            return Answer(question, failure=str(error))

    async def _once(self, client: AsyncOpenAI, question: Question) -> Answer:
        asked = _asked(question, self.prompt, self.settings.api)
        if not self.capability.top_logprobs:
            return self.read(question, await self._verdicts(client, asked))
        reply = await self.endpoint.logprobs(client, asked, self.capability)
        self.usage.add(reply)
        if not reply.record["positions"] and "finish" not in reply.record:
            raise RetryableError("the reply has no log-probs, though the endpoint gave them before")
        return self.read(question, reply.record)

    async def _verdicts(self, client: AsyncOpenAI, asked: str | list[Message]) -> dict[str, Any]:
        """As many verdicts as wanted; an endpoint that gives one at a time is asked again, and each call counts."""
        record: dict[str, Any] = {"texts": []}
        while True:
            missing = self.settings.samples - len(record["texts"])
            reply = await self.endpoint.verdicts(client, asked, self.capability, missing)
            self.usage.add(reply)
            record = {**record, **reply.record, "texts": record["texts"] + reply.record["texts"]}
            if len(record["texts"]) >= self.settings.samples:
                return record
            self.usage.calls += 1

    def read(self, question: Question, record: Mapping[str, Any]) -> Answer:
        """The answer in a reply, or why there is none."""
        reading = read_record(record, self.prompt, self.settings.mass_floor, self.settings.prior)
        return Answer(question, reading.first_logp, reading.second_logp, reading.mass, _written(record), reading.failure)


def _written(record: Mapping[str, Any]) -> str:
    """As JSON. Half a surrogate pair, which a server may send, is no text that could be stored as it is."""
    raw = json.dumps(record, ensure_ascii=False)
    return raw if raw.isascii() or all(not 0xD800 <= ord(c) <= 0xDFFF for c in raw) else json.dumps(record)


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:8]


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
