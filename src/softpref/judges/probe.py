"""The first call: what an endpoint can do is found out with a question, and what it refuses is asked otherwise."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from softpref.data.pairs import Message
from softpref.errors import InputError
from softpref.judges.address import KEY_VARIABLE
from softpref.judges.endpoint import LIMIT_NAMES, TOP_LOGPROBS, Capability, Endpoint, RefusedError, Reply
from softpref.judges.reading import is_a_distribution
from softpref.judges.retrying import GaveUpError, Retrying

if TYPE_CHECKING:
    from openai import AsyncOpenAI

# Statuses with which endpoints refuse a parameter; any other says something else.
REFUSING = (400, 403, 404, 405, 415, 422)

# A refusal of the parameter itself, rather than of its value.
_NEVER = re.compile(r"not (?:support|permit|allow)|unsupported|unknown|unrecognized|extra (?:field|input)", re.IGNORECASE)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Otherwise:
    """Another way of asking: the words of a refusal that name it, and what changes, None where nothing is left to change."""

    named: re.Pattern[str]
    change: Callable[[Capability, str], Capability | None]
    notice: str


def _other_limit(can: Capability, _: str) -> Capability | None:
    place = (*LIMIT_NAMES, None).index(can.limit_name)
    return replace(can, limit_name=(*LIMIT_NAMES, None)[place + 1]) if can.limit_name is not None else None


def _fewer_alternatives(can: Capability, reason: str) -> Capability | None:
    """As many as the next step has; none where the refusal says that there are none to be had."""
    if not can.top_logprobs:
        return None
    steps = (*TOP_LOGPROBS, 0)
    return replace(can, top_logprobs=0 if _NEVER.search(reason) else steps[steps.index(can.top_logprobs) + 1])


_WAYS = (
    _Otherwise(
        re.compile(r"max_(?:completion_)?tokens", re.IGNORECASE),
        _other_limit,
        "the token limit is asked for by another name or left out",
    ),
    _Otherwise(
        re.compile("temperature", re.IGNORECASE),
        lambda can, _: replace(can, temperature=False) if can.temperature else None,
        "it refuses a temperature: it is left out",
    ),
    _Otherwise(re.compile("log_?probs", re.IGNORECASE), _fewer_alternatives, "fewer or no log-probs are asked for"),
    _Otherwise(
        re.compile(r"(?<![\w'])n(?![\w'])|['\"]n['\"]|\bn\b"),
        lambda can, _: replace(can, samples_at_once=False) if can.samples_at_once and not can.top_logprobs else None,
        "it refuses n: verdicts are asked for one at a time",
    ),
    _Otherwise(
        re.compile(r"system (?:role|message|prompt)|role:? *['\"]?system|developer instruction", re.IGNORECASE),
        lambda can, _: replace(can, system=False) if can.system else None,
        "it knows no system message: its text stands before the question",
    ),
)


async def probe(
    endpoint: Endpoint, asked: str | list[Message], samples: int, retrying: Retrying, can: Capability | None = None
) -> tuple[Capability, Reply]:
    """Ask a real question, in every way that the endpoint's refusals leave. Calls are counted in ``retrying.usage``.

    Raises InputError when the endpoint cannot be reached, refuses the key, or refuses every way of asking.
    """
    can, notices = can or Capability(), dict[str, str]()
    async with endpoint.client() as client:
        while True:
            retrying.usage.calls += 1
            try:
                reply = await retrying(_call(endpoint, client, asked, can, samples), stop_if_absent=True)
            except RefusedError as error:
                can, notice = _asked_otherwise(endpoint, can, error)
                notices[notice] = f"{notice} ({error})"
                continue
            except GaveUpError as error:
                raise InputError(f"{endpoint.address.shown} cannot be used: {error}") from None
            retrying.usage.add(reply)
            for notice in notices.values():  # not before it has helped
                logger.warning("%s: %s", endpoint.address.shown, notice)
            notices.clear()
            if not can.top_logprobs or is_a_distribution(reply.record["positions"]):
                return can, reply
            if "finish" in reply.record and not reply.record["positions"] and not reply.record["text"]:
                return replace(can, top_logprobs=0), Reply({**reply.record, "texts": [""]})  # it thought, and said nothing
            logger.warning("%s: its replies hold no usable log-probs; verdicts are sampled", endpoint.address.shown)
            can = replace(can, top_logprobs=0)


def _call(
    endpoint: Endpoint, client: AsyncOpenAI, asked: str | list[Message], can: Capability, samples: int
) -> Callable[[], Awaitable[Reply]]:
    if can.top_logprobs:
        return lambda: endpoint.logprobs(client, asked, can)
    return lambda: endpoint.verdicts(client, asked, can, samples)


def _asked_otherwise(endpoint: Endpoint, can: Capability, error: RefusedError) -> tuple[Capability, str]:
    """The next way of asking, and what to say of it. Raises InputError where something else is refused, or no way is left."""
    where = endpoint.address.shown
    reason = str(error)
    if error.status == 404 and not any(way.named.search(reason) for way in _WAYS):
        hint = "" if endpoint.address.url.rstrip("/").endswith("/v1") else "; base_url is mostly given with its /v1"
        raise InputError(f"{where} does not know model {endpoint.model!r} or this path ({reason}){hint}")
    if error.status not in REFUSING:
        raise InputError(f"{where} cannot be used: {reason}")
    if error.status == 403 and not any(way.named.search(reason) for way in _WAYS):
        raise InputError(f"{where} refuses the key ({reason}): set {KEY_VARIABLE} to one that may use {endpoint.model!r}")
    for way in _in_turn(reason):
        changed = way.change(can, reason)
        if changed is not None:
            return changed, way.notice
    raise InputError(f"{where} refuses model {endpoint.model!r}, api {endpoint.api!r}: {reason}")


def _in_turn(reason: str) -> Iterator[_Otherwise]:
    """What the refusal names; where it names nothing that could be changed, all in turn."""
    named = [way for way in _WAYS if way.named.search(reason)]
    yield from named or (_WAYS[2], _WAYS[0], _WAYS[1], _WAYS[3])
