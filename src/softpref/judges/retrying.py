"""One call, made again with jittered back-off where its fault may pass; every call is counted."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from softpref.judges.endpoint import Reply, RetryableError

FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
# A server may ask for any wait; past this the question has failed for now.
LONGEST_RETRY_AFTER = 120.0

Result = TypeVar("Result")


class Prices(Protocol):
    """Per million tokens of prompt and of answer, None where unknown."""

    @property
    def price_in(self) -> float | None:
        """Of the prompt."""
        ...

    @property
    def price_out(self) -> float | None:
        """Of the answer."""
        ...


@dataclass
class Usage:
    """What a run has sent and used so far."""

    calls: int = 0
    retries: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def cost(self, prices: Prices) -> float | None:
        """In the currency of the prices; None without prices."""
        if prices.price_in is None or prices.price_out is None:
            return None
        return (self.tokens_in * prices.price_in + self.tokens_out * prices.price_out) / 1e6

    def add(self, reply: Reply) -> None:
        """Count the tokens of one reply."""
        self.tokens_in += reply.tokens_in
        self.tokens_out += reply.tokens_out


class GaveUpError(Exception):
    """As many calls as may be made have met a fault that may pass."""


@dataclass
class Retrying:
    """Makes calls again. A rate limit holds for every call of the key, not for the one that met it.

    Attributes:
        retries: further calls for one question at most.
        usage: where further calls are counted; the first one is counted by who makes it.
        over: whether no more calls are to be made.
    """

    retries: int
    usage: Usage
    over: Callable[[], bool] = lambda: False
    _cool_until: float = 0.0

    async def __call__(self, call: Callable[[], Awaitable[Result]], stop_if_absent: bool = False) -> Result:
        """The result of the first call that meets no fault. Raises GaveUpError, or what the call raises.

        ``stop_if_absent``: a server that is not there is not waited for.
        """
        attempt = 0
        while True:
            await self._cooled_down()
            try:
                return await call()
            except RetryableError as error:
                reason, absent = str(error), error.absent
                self.cool_down(error.wait)
            attempt += 1
            if absent and stop_if_absent:
                raise GaveUpError(reason)
            if attempt > self.retries or self.over():
                raise GaveUpError(f"gave up after {attempt} calls: {reason}")
            await asyncio.sleep(min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1)) * random.uniform(0.5, 1.5))  # noqa: S311 — jitter
            self.usage.calls += 1
            self.usage.retries += 1

    def cool_down(self, wait: float | None) -> None:
        """No call is sent before ``wait`` seconds are over."""
        if wait is not None:
            self._cool_until = max(self._cool_until, time.monotonic() + min(wait, LONGEST_RETRY_AFTER))

    async def _cooled_down(self) -> None:
        while (left := self._cool_until - time.monotonic()) > 0:
            await asyncio.sleep(left)
