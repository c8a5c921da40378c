"""What an OpenAI-compatible endpoint sent, checked: numbers are numbers, log-probs are log-probs, a message is a message.

Whatever is not as it should be is a fault with a name; nothing here is guessed, and nothing is taken for an answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from softpref.judges.failures import quoted

# Log-probs in half precision come out a little above 0; more is no log-prob.
ABOVE_ZERO = 0.01
# Probabilities of different tokens at one position, likewise rounded, add up to this at most.
MOST_TOGETHER = 1.05
# What a server has for −∞ is a very low number; below this a token was not a choice.
LEAST = -1000.0


class NoCompletionError(Exception):
    """An answer with HTTP 200 that is no completion: a proxy's page, a reply cut off. It may pass."""


class ErrorInReplyError(Exception):
    """HTTP 200, and an error in the body instead of choices: ``body`` is what it says."""

    def __init__(self, body: Any) -> None:
        super().__init__(str(body))
        self.body = body


class MalformedReplyError(Exception):
    """A completion with a part that is not of its kind. The same server would send it again."""


@dataclass(frozen=True)
class Choice:
    """One answer. ``text`` is what the judge said, ``reasoning`` what the server keeps apart from it.

    ``sampled`` are its tokens and ``positions`` their alternatives, token text → log-prob in nats, both empty where no
    log-probs came. ``finish`` is ``length`` where the token limit cut it.
    """

    text: str
    reasoning: str = ""
    finish: str | None = None
    sampled: tuple[str, ...] = ()
    positions: tuple[dict[str, float], ...] = ()


def read_reply(reply: Any, api: str) -> tuple[list[Choice], tuple[int, int]]:
    """The choices of a reply, and the tokens of prompt and answer that it was charged.

    Raises NoCompletionError, ErrorInReplyError or MalformedReplyError.
    """
    if isinstance(reply, Mapping) and not reply.get("choices") and reply.get("error"):
        raise ErrorInReplyError(reply["error"])
    # a proxy's error page comes as a str with HTTP 200
    choices = reply.get("choices") if isinstance(reply, Mapping) else None
    if not isinstance(choices, list) or not choices or not all(isinstance(choice, Mapping) for choice in choices):
        raise NoCompletionError(f"the reply is no completion: {quoted(reply if isinstance(reply, str) else repr(reply))}")
    return [_choice(choice, api) for choice in choices], _tokens(reply.get("usage"))


def _choice(choice: Mapping[str, Any], api: str) -> Choice:
    finish = choice.get("finish_reason")
    text, reasoning = _message(choice.get("message")) if api == "chat" else (_string(choice.get("text"), "text"), "")
    sampled, positions = (_chat_logprobs if api == "chat" else _completion_logprobs)(_logprobs(choice))
    return Choice(text, reasoning, finish if isinstance(finish, str) else None, tuple(sampled), tuple(positions))


def _message(message: Any) -> tuple[str, str]:
    """What was said, and what was thought. A refusal is something said."""
    if message is None:
        return "", ""
    if not isinstance(message, Mapping):
        raise MalformedReplyError(f"the reply's message is a {type(message).__name__}, not an object")
    content, thoughts = message.get("content"), [message.get(name) for name in ("reasoning_content", "reasoning")]
    if isinstance(content, list):
        content, inner = _parts(content)
        thoughts.append(inner)
    said = _string(content, "message content") or _string(message.get("refusal"), "refusal")
    return said, "\n".join(thought for thought in thoughts if isinstance(thought, str) and thought)


def _parts(parts: Iterable[Any]) -> tuple[str, str]:
    """Content in parts: those of text are said, those of thinking are not."""
    said, thought = [], []
    for part in parts:
        if not isinstance(part, Mapping):
            raise MalformedReplyError(f"a part of the reply's content is a {type(part).__name__}, not an object")
        if part.get("type") in ("text", "output_text"):
            said.append(_string(part.get("text"), "text of a content part"))
        else:
            thought.append(str(part.get("thinking") or part.get("text") or ""))
    return "".join(said), "\n".join(thought)


def _string(value: Any, what: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise MalformedReplyError(f"the reply's {what} is a {type(value).__name__}, not a string")
    return value


def _tokens(usage: Any) -> tuple[int, int]:
    if usage is None:
        return 0, 0
    if not isinstance(usage, Mapping):
        raise MalformedReplyError(f"the reply's usage is a {type(usage).__name__}, not an object")
    return _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")


def _count(usage: Mapping[str, Any], name: str) -> int:
    value = usage.get(name)
    if value is None:
        return 0
    count = _number(value)
    if not count.is_integer() or count < 0:
        raise MalformedReplyError(f"the reply's usage.{name} is {quoted(repr(value))}, which is no count of tokens")
    return int(count)


def _number(value: Any) -> float:
    """As a float; nan for what is no number, inf for a whole number that no float holds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value > 0 or -1)


# --- log-probs


def _logprobs(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    logprobs = choice.get("logprobs") or {}
    if not isinstance(logprobs, Mapping):
        raise MalformedReplyError(f"the reply's logprobs are a {type(logprobs).__name__}, not an object")
    return logprobs


def _chat_logprobs(logprobs: Mapping[str, Any]) -> tuple[list[str], list[dict[str, float]]]:
    sampled, positions = [], []
    for position in _listed(logprobs.get("content"), "logprobs.content"):
        alternatives = [*_listed(_field(position, "top_logprobs"), "top_logprobs"), position]
        sampled.append(_token(_field(position, "token")))
        positions.append(_merged((_field(one, "token"), _field(one, "logprob")) for one in alternatives))
    return sampled, positions


def _completion_logprobs(logprobs: Mapping[str, Any]) -> tuple[list[str], list[dict[str, float]]]:
    sampled = [_token(token) for token in _listed(logprobs.get("tokens"), "logprobs.tokens")]
    positions = []
    for top in _listed(logprobs.get("top_logprobs"), "logprobs.top_logprobs"):
        if top is not None and not isinstance(top, Mapping):
            raise MalformedReplyError(f"an entry of the reply's top_logprobs is a {type(top).__name__}, not an object")
        positions.append(_merged((top or {}).items()))
    return (sampled, positions) if any(positions) else (sampled, [])


def _listed(value: Any, what: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise MalformedReplyError(f"the reply's {what} is a {type(value).__name__}, not a list")
    return value


def _field(position: Any, name: str) -> Any:
    if not isinstance(position, Mapping):
        raise MalformedReplyError(f"an entry of the reply's log-probs is a {type(position).__name__}, not an object")
    return position.get(name)


def _token(token: Any) -> str:
    if not isinstance(token, str):
        raise MalformedReplyError(f"a token of the reply's log-probs is {quoted(repr(token))}, not a string")
    return token


def _merged(listed: Iterable[tuple[Any, Any]]) -> dict[str, float]:
    """Alternatives by text. The sampled token stands among them or beside them, so the same text is taken once."""
    merged: dict[str, float] = {}
    for token, value in listed:
        logp = _logprob(value)
        if logp is not None:
            merged[_token(token)] = max(logp, merged.get(token, -math.inf))
    together = sum(map(math.exp, merged.values()))
    if together > MOST_TOGETHER:
        raise MalformedReplyError(
            f"the reply's log-probs at one position give {together:.3g} together, and probabilities give 1 at most"
        )
    return merged


def _logprob(value: Any) -> float | None:
    """In nats; None for a token that was not a choice. A number that no probability has is a fault."""
    if value is None or value == -math.inf:
        return None
    logprob = _number(value)
    if math.isnan(logprob):
        raise MalformedReplyError(f"the reply has {quoted(repr(value))} for a log-prob, which is no number")
    if logprob > ABOVE_ZERO:
        raise MalformedReplyError(f"the reply has a log-prob of {logprob:g}: above 0 it is no log-prob")
    return min(0.0, logprob) if logprob > LEAST else None
