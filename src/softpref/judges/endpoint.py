"""One call to an OpenAI-compatible endpoint: what is sent, what may come back, and what each fault means.

Seen in the wild, told apart here: log-probs missing with HTTP 200, an HTML page or an error with HTTP 200, a sampled token
outside the listed alternatives, fewer alternatives than asked for, parameters that an endpoint does not know, one flagged row,
a key without credit, a server that is not there.
"""

from __future__ import annotations

import json
import logging
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from softpref.data.pairs import Message
from softpref.errors import InputError
from softpref.judges.address import KEY_VARIABLE, NO_KEY, Address, read_key, redacted
from softpref.judges.failures import plain_words
from softpref.judges.replies import (
    Choice,
    ErrorInReplyError,
    MalformedReplyError,
    NoCompletionError,
    read_reply,
)
from softpref.judges.verdicts import after_thinking

if TYPE_CHECKING:
    from openai import AsyncOpenAI

# An answer may be wrapped: "**(1)**".
ANSWER_TOKENS = 4
TOP_LOGPROBS = (20, 5)
LIMIT_NAMES = ("max_tokens", "max_completion_tokens")
# How a provider names an account that is used up: it comes with HTTP 429, and no waiting mends it.
QUOTA_CODES = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "quota_exceeded")
# A fault of what one row says, rather than of how it is asked.
ROW_STATUSES = (400, 403, 413, 422, 451)


class RetryableError(Exception):
    """A fault that may pass. ``wait`` is what the server asked for, in seconds; ``absent``: nothing was there to answer."""

    def __init__(self, reason: str, wait: float | None = None, absent: bool = False) -> None:
        super().__init__(reason)
        self.wait, self.absent = wait, absent


class RefusedError(Exception):
    """A fault that asking again would not mend, with the HTTP status and the server's words."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status

    @property
    def is_of_the_row(self) -> bool:
        """Whether another row may well be answered."""
        return self.status in ROW_STATUSES


@dataclass(frozen=True)
class Capability:
    """What the probe found out about an endpoint, and so how it is asked.

    Attributes:
        top_logprobs: alternatives that a position may list; 0: no log-probs.
        limit_name: the token limit's name; None: it takes no limit.
        temperature: whether it takes one.
        samples_at_once: whether it takes ``n``.
        system: whether it takes a message of the role system.
    """

    top_logprobs: int = TOP_LOGPROBS[0]
    limit_name: str | None = LIMIT_NAMES[0]
    temperature: bool = True
    samples_at_once: bool = True
    system: bool = True


@dataclass(frozen=True)
class Asking:
    """What is asked of every answer: tokens at most, the temperature (None: 0 for log-probs, 1 for samples), further keys."""

    max_tokens: int = ANSWER_TOKENS
    temperature: float | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """One reply: what is kept of it (plain values, for the store), and the tokens that it was charged."""

    record: dict[str, Any]
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True)
class Endpoint:
    """Where a model is reached. The key comes from the environment and stands in no log, store or report."""

    address: Address
    model: str
    api: str
    timeout: float
    asking: Asking = field(default_factory=Asking)
    key: str = field(default_factory=read_key, repr=False)

    def client(self) -> AsyncOpenAI:
        """A client for one event loop. Retries are ours, so that every call is counted."""
        from openai import AsyncOpenAI, DefaultAioHttpClient

        for name in ("httpx", "httpx2", "openai", "aiohttp"):
            if self.address.secrets:  # these log the address as it goes on the wire
                logging.getLogger(name).setLevel(logging.WARNING)
        # the client's default transport looks through all its connections twice a call; a redirect would take the key along
        transport = DefaultAioHttpClient(follow_redirects=False)
        return AsyncOpenAI(
            base_url=self.address.url,
            api_key=self.key,
            timeout=self.timeout,
            max_retries=0,
            http_client=transport,
            default_query=dict(self.address.query) or None,
            default_headers=self.address.headers or None,
        )

    async def logprobs(self, client: AsyncOpenAI, asked: str | list[Message], can: Capability) -> Reply:
        """The first answer tokens and their alternatives: ``{"sampled": […], "positions": [{token: log-prob}], "text"}``."""
        if self.api == "chat":
            wanted: dict[str, Any] = {"logprobs": True, "top_logprobs": can.top_logprobs}
        else:
            wanted = {"logprobs": can.top_logprobs}
        choices, tokens = await self._send(client, asked, {**self._limits(can, 0), **wanted}, can)
        choice = _without_thoughts(choices[0])
        record = {"text": choice.text, "sampled": list(choice.sampled), "positions": list(choice.positions)}
        return Reply(record | self._ending(choices[:1]), *tokens)

    async def verdicts(self, client: AsyncOpenAI, asked: str | list[Message], can: Capability, n: int) -> Reply:
        """n sampled verdicts, or fewer, as the endpoint has it: ``{"texts": […]}``."""
        wanted = {"n": n} if can.samples_at_once and n > 1 else {}
        choices, tokens = await self._send(client, asked, {**self._limits(can, 1), **wanted}, can)
        return Reply({"texts": [choice.text for choice in choices[:n]]} | self._ending(choices[:n]), *tokens)

    def _limits(self, can: Capability, temperature: float) -> dict[str, Any]:
        limit = {} if can.limit_name is None else {can.limit_name: self.asking.max_tokens}
        given = self.asking.temperature
        return {**limit, "temperature": temperature if given is None else given} if can.temperature else limit

    def _ending(self, choices: list[Choice]) -> dict[str, Any]:
        """What else is kept of choices: thoughts, and whether one came to its end."""
        kept: dict[str, Any] = {}
        if any(choice.reasoning for choice in choices):
            kept["reasoning"] = [choice.reasoning for choice in choices]
        if any(choice.finish == "length" for choice in choices):
            kept |= {"finish": "length", "limit": self.asking.max_tokens}
        return kept

    async def _send(
        self, client: AsyncOpenAI, asked: str | list[Message], wanted: Mapping[str, Any], can: Capability
    ) -> tuple[list[Choice], tuple[int, int]]:
        path, question = ("/chat/completions", "messages") if self.api == "chat" else ("/completions", "prompt")
        asked = asked if can.system or isinstance(asked, str) else _without_system(asked)
        body = {"model": self.model, question: asked, **wanted, **self.asking.extra_body}
        try:
            # plain values in and out: building the client's typed models takes longer than the rest of a call
            reply: Any = await client.post(path, body=body, cast_to=object)
            return read_reply(reply, self.api)
        except ErrorInReplyError as error:
            raise self._by_status(_code(error.body), error.body, None) from None
        except MalformedReplyError as error:
            raise RefusedError(self.without_secrets(str(error))) from None
        except (NoCompletionError, json.JSONDecodeError) as error:
            reason = "the reply is cut off or no JSON" if isinstance(error, json.JSONDecodeError) else str(error)
            raise RetryableError(self.without_secrets(reason)) from None
        except Exception as error:
            fault = self._fault(error)
            if fault is error:
                raise
            raise fault from error

    def without_secrets(self, text: str) -> str:
        """A text of the server's without what it may repeat of the key or the address."""
        own = () if self.key == NO_KEY else (self.key,)
        return redacted(text, (*own, *self.address.secrets))

    # --- what a fault means

    def _fault(self, error: Exception) -> Exception:
        """What an error of the client's is. An error of another kind is returned as it is: it is ours."""
        import aiohttp
        import openai

        if isinstance(error, openai.APIStatusError):
            return self._by_status(error.status_code, error.body, error)
        if isinstance(error, (openai.APIConnectionError, OSError)):
            return _of_connection(error, self.timeout)
        if isinstance(error, aiohttp.ClientError):
            return RetryableError(self.without_secrets(f"the reply is no HTTP ({plain_words(str(error))})"))
        if isinstance(error, UnicodeEncodeError):
            return RefusedError("the texts hold half of a surrogate pair, which is no character and cannot be sent", 400)
        if isinstance(error, openai.APIError):
            return RetryableError(self.without_secrets(f"{type(error).__name__}: {plain_words(str(error))}"))
        if isinstance(error, (ValueError, RecursionError)):
            # no UTF-8, a number of thousands of digits, lists nested too deep
            return RetryableError(self.without_secrets(f"the reply cannot be read ({plain_words(str(error))})"))
        return error

    def _by_status(self, status: int, body: Any, error: Any) -> Exception:
        said = self.without_secrets(_words(body, error))
        reason = f"HTTP {status}: {said}" if said else f"HTTP {status}"
        if status == 401:
            return InputError(f"{self.address.shown} refuses the key ({reason}): set {KEY_VARIABLE} to a valid one")
        if status == 402 or (status == 429 and _is_quota(body)):
            return InputError(f"{self.address.shown} answers no more ({reason}): see to the account, and run the command again")
        if 300 <= status < 400:
            return InputError(self._redirected(status, error))
        if status == 429:
            return RetryableError(f"rate limit ({reason})", _retry_after(error))
        if status in (408, 409, 425) or status >= 500:
            return RetryableError(reason, _retry_after(error))
        return RefusedError(reason, status)

    def _redirected(self, status: int, error: Any) -> str:
        headers = getattr(getattr(error, "response", None), "headers", {})
        target = self.without_secrets(plain_words(str(headers.get("location", "nowhere")).partition("?")[0]))
        return (
            f"{self.address.shown} redirects to {target} (HTTP {status}); prompts and key are not sent after it: "
            "give that address as base_url if it is the right one"
        )


def _without_system(messages: list[Message]) -> list[Message]:
    """For a model that knows no such role: what it says stands before the first message."""
    if messages[0]["role"] != "system":
        return messages
    first = messages[1]
    return [{**first, "content": f"{messages[0]['content']}\n\n{first['content']}"}, *messages[2:]]


def _without_thoughts(choice: Choice) -> Choice:
    """The tokens of the answer alone: those of a thousand thoughts would fill the store and tell nothing."""
    if choice.reasoning and not choice.text:
        return replace(choice, sampled=(), positions=())
    whole = "".join(choice.sampled)
    begin = after_thinking(whole)
    if choice.reasoning and not begin:
        # the server took the thoughts out of the text, and not out of the tokens
        begin = whole.rfind(choice.text)
    ends = accumulate(map(len, choice.sampled))
    place = next((i for i, end in enumerate(ends) if end > begin), 0)
    if not place:
        return choice
    reasoning = choice.reasoning or whole[:begin]
    return replace(choice, sampled=choice.sampled[place:], positions=choice.positions[place:], reasoning=reasoning)


def _words(body: Any, error: Any) -> str:
    """The server's own message, wherever it stands in the body; a page of HTML is no message."""
    text: Any = body
    for _ in range(3):
        if not isinstance(text, Mapping):
            break
        text = text.get("message") or text.get("error") or text.get("detail") or ""
    if not isinstance(text, str):
        text = json.dumps(text, ensure_ascii=False, default=str) if text else ""
    response = getattr(getattr(error, "response", None), "text", "")
    text = text or response
    return "" if "<html" in text.lower() else plain_words(text)


def _code(body: Any) -> int:
    code = body.get("code") if isinstance(body, Mapping) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 400


def _is_quota(body: Any) -> bool:
    if not isinstance(body, Mapping):
        return False
    inner = body.get("error")
    named = [body.get("code"), body.get("type"), *([inner.get("code"), inner.get("type")] if isinstance(inner, Mapping) else [])]
    return any(name in QUOTA_CODES for name in named)


def _of_connection(error: Exception, timeout: float) -> RetryableError:
    """By its cause: refused, unknown host, TLS, or no reply in time."""
    for cause in _causes(error):
        if isinstance(cause, ConnectionRefusedError):
            return RetryableError("connection refused: nothing listens there", absent=True)
        if isinstance(cause, socket.gaierror):
            return RetryableError("its host name is unknown (DNS)", absent=True)
        if isinstance(cause, (ssl.SSLError, ssl.CertificateError)):
            return RetryableError(f"TLS failed ({plain_words(str(cause))})", absent=True)
    names = [type(cause).__name__ for cause in _causes(error)]
    # the client calls a connection that the server closed a timeout
    if "ServerDisconnectedError" not in names and any("timeout" in name.lower() for name in names):
        return RetryableError(f"no reply within {timeout:g} s")
    return RetryableError("the connection broke")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and every one that led to it."""
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        others = [value for value in (getattr(one, "os_error", None), getattr(one, "certificate_error", None)) if value]
        waiting += [one.__cause__, one.__context__, *others]


def _retry_after(error: Any) -> float | None:
    try:
        return max(0.0, float(error.response.headers.get("retry-after")))
    except (AttributeError, TypeError, ValueError):
        return None
