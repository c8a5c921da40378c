"""One call to an OpenAI-compatible endpoint: what is sent, what may come back, and what each fault means.

Seen in the wild, told apart here: log-probs missing with HTTP 200, an HTML page with HTTP 200, a sampled token outside the
listed alternatives, fewer alternatives than asked for, an unknown name for the token limit.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from softpref.data.pairs import Message
from softpref.errors import InputError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

KEY_VARIABLE = "OPENAI_API_KEY"
# An answer may be wrapped: "**(1)**".
ANSWER_TOKENS = 4
TOP_LOGPROBS = (20, 5)
LIMIT_NAMES = ("max_tokens", "max_completion_tokens")


class RetryableError(Exception):
    """A fault that may pass. ``wait`` is what the server asked for, in seconds."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class RefusedError(Exception):
    """A fault that asking again would not mend."""


@dataclass(frozen=True)
class Capability:
    """What the probe found: how many alternatives a position may list (0: no log-probs), and the token limit's name."""

    top_logprobs: int
    limit_name: str = LIMIT_NAMES[0]


@dataclass(frozen=True)
class Reply:
    """One reply: what is kept of it (plain values, for the store), and the tokens that it was charged."""

    record: dict[str, Any]
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True)
class Endpoint:
    """Where a model is reached. The key comes from the environment and stands in no log, store or report."""

    base_url: str
    model: str
    api: str
    timeout: float

    def client(self) -> AsyncOpenAI:
        """A client for one event loop. Retries are ours, so that every call is counted."""
        from openai import AsyncOpenAI, DefaultAioHttpClient

        key = os.environ.get(KEY_VARIABLE, "none")
        # the client's default transport looks through all its connections twice a call
        transport = DefaultAioHttpClient()
        return AsyncOpenAI(base_url=self.base_url, api_key=key, timeout=self.timeout, max_retries=0, http_client=transport)

    async def logprobs(self, client: AsyncOpenAI, asked: str | list[Message], can: Capability) -> Reply:
        """The first answer tokens and their alternatives: ``{"sampled": […], "positions": [{token: log-prob}], "text"}``."""
        wanted: dict[str, Any] = {can.limit_name: ANSWER_TOKENS, "temperature": 0}
        if self.api == "chat":
            wanted |= {"logprobs": True, "top_logprobs": can.top_logprobs}
        else:
            wanted |= {"logprobs": can.top_logprobs}
        choices, tokens = await self._send(client, asked, wanted)
        return Reply(_logprob_record(choices[0], self.api), *tokens)

    async def verdicts(self, client: AsyncOpenAI, asked: str | list[Message], can: Capability, n: int) -> Reply:
        """n sampled verdicts, or fewer, as the endpoint has it: ``{"texts": […]}``."""
        choices, tokens = await self._send(client, asked, {can.limit_name: ANSWER_TOKENS, "temperature": 1, "n": n})
        return Reply({"texts": [_text(choice, self.api) for choice in choices[:n]]}, *tokens)

    async def _send(
        self, client: AsyncOpenAI, asked: str | list[Message], wanted: Mapping[str, Any]
    ) -> tuple[list[dict[str, Any]], tuple[int, int]]:
        import openai

        path, question = ("/chat/completions", "messages") if self.api == "chat" else ("/completions", "prompt")
        body = {"model": self.model, question: asked, **wanted}
        try:
            # plain values in and out: building the client's typed models takes longer than the rest of a call
            reply: Any = await client.post(path, body=body, cast_to=object)
        except openai.RateLimitError as error:
            raise RetryableError("rate limit", _retry_after(error)) from error
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise InputError(f"{self.base_url} refuses the key: set {KEY_VARIABLE} to a valid one") from error
        except (openai.APIConnectionError, openai.InternalServerError, json.JSONDecodeError) as error:
            raise RetryableError(type(error).__name__) from error
        except openai.APIStatusError as error:
            raise RefusedError(f"HTTP {error.status_code}: {_message(error)}") from error
        except openai.APIError as error:
            raise RetryableError(type(error).__name__) from error
        return _choices(reply), _tokens(reply)


async def probe(endpoint: Endpoint, asked: str | list[Message]) -> tuple[Capability, Reply]:
    """Find out with a real question what the endpoint can do. The alternatives asked for go down, the limit's name changes.

    Raises InputError when the endpoint cannot be reached or refuses every way of asking.
    """
    reason = ""
    async with endpoint.client() as client:
        for limit in LIMIT_NAMES:
            for top in (*TOP_LOGPROBS, 0):
                can = Capability(top, limit)
                try:
                    if not top:
                        return can, await endpoint.verdicts(client, asked, can, 1)
                    reply = await endpoint.logprobs(client, asked, can)
                    if reply.record["positions"]:
                        return can, reply
                    return Capability(0, limit), reply
                except RefusedError as error:
                    reason = str(error)
                except RetryableError as error:
                    raise InputError(f"{endpoint.base_url} cannot be used: {error} on the first call") from error
    raise InputError(f"{endpoint.base_url} refuses model {endpoint.model!r}, api {endpoint.api!r}: {reason}")


def _choices(reply: Any) -> list[dict[str, Any]]:
    # a proxy's error page comes as a str with HTTP 200
    choices = reply.get("choices") if isinstance(reply, dict) else None
    if not isinstance(choices, list) or not choices or not all(isinstance(choice, dict) for choice in choices):
        raise RetryableError("the reply is no completion")
    return choices


def _tokens(reply: Mapping[str, Any]) -> tuple[int, int]:
    usage = reply.get("usage") or {}
    return int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)


def _text(choice: Mapping[str, Any], api: str) -> str:
    text = (choice.get("message") or {}).get("content") if api == "chat" else choice.get("text")
    return str(text or "")


def _logprob_record(choice: Mapping[str, Any], api: str) -> dict[str, Any]:
    logprobs = choice.get("logprobs") or {}
    sampled: list[str] = []
    positions: list[dict[str, float]] = []
    try:
        if api == "chat":
            for position in logprobs.get("content") or []:
                sampled.append(position["token"])
                listed = [*(position.get("top_logprobs") or []), position]
                positions.append(_merged((one["token"], one["logprob"]) for one in listed))
        else:
            sampled = list(logprobs.get("tokens") or [])
            positions = [_merged(top.items()) for top in logprobs.get("top_logprobs") or [] if top]
    except (AttributeError, KeyError, TypeError) as error:
        raise RetryableError("the reply's log-probs are not as an OpenAI-compatible endpoint gives them") from error
    return {"text": _text(choice, api), "sampled": sampled, "positions": positions}


def _merged(listed: Any) -> dict[str, float]:
    """Alternatives by text. The sampled token stands among them or beside them, so the same text is taken once."""
    found: dict[str, float] = {}
    for token, logp in listed:
        if logp is not None and math.isfinite(logp):
            found[token] = max(logp, found.get(token, -math.inf))
    return found


def _retry_after(error: Any) -> float | None:
    try:
        return max(0.0, float(error.response.headers.get("retry-after")))
    except (AttributeError, TypeError, ValueError):
        return None


def _message(error: Any) -> str:
    return str(getattr(error, "message", error)).splitlines()[0][:200]
