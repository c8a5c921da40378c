"""What a judge is shown of a prompt and of a response: their text, and the tools that they call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from softpref.data.pairs import Text


def shown_response(response: Text) -> str:
    """A string as it is; of messages the contents, each followed by its tool calls, and their roles where there are several."""
    if isinstance(response, str):
        return response
    if len(response) == 1:
        return _message(response[0])
    return "\n".join(_message(m) if m.get("role") == "assistant" else f"[{m.get('role')}] {_message(m)}" for m in response)


def shown_conversation(prompt: Text) -> str:
    """A prompt: a string as it is, messages by role."""
    if isinstance(prompt, str):
        return prompt
    return "\n\n".join(f"{message['role'].capitalize()}: {_message(message)}" for message in prompt)


def unseen_difference(one: Text, other: Text) -> str | None:
    """Why a judge could not tell two different responses apart, or None where it can."""
    if one == other or shown_response(one) != shown_response(other):
        return None
    keys = sorted(_keys(one) | _keys(other)) or ["the form of their messages"]
    return f"both responses read the same to the judge: they differ only in what it is not shown ({', '.join(keys)})"


def has_tool_calls(text: Text) -> bool:
    """Whether any message of it calls a tool."""
    return not isinstance(text, str) and any(_calls(message) for message in text)


def _message(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    said = content if isinstance(content, str) else "" if content is None else json.dumps(content, ensure_ascii=False)
    return "\n".join([*([said] if said or not _calls(message) else []), *map(_call, _calls(message))])


def _calls(message: Mapping[str, Any]) -> list[Any]:
    calls = message.get("tool_calls")
    return list(calls) if isinstance(calls, (list, tuple)) else []


def _call(call: Any) -> str:
    """``[tool call] weather({"city": "Oslo"})``. Arguments come as JSON text or as an object; keys are sorted."""
    function = call.get("function", call) if isinstance(call, Mapping) else call
    if not isinstance(function, Mapping):
        return f"[tool call] {json.dumps(call, ensure_ascii=False, default=str)}"
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            return f"[tool call] {function.get('name')}({arguments})"
    written = json.dumps(arguments, ensure_ascii=False, sort_keys=True, default=str)
    return f"[tool call] {function.get('name')}({written})"


def _keys(text: Text) -> set[str]:
    return set() if isinstance(text, str) else {key for m in text for key, value in m.items() if key not in _SHOWN and value}


_SHOWN = ("role", "content", "tool_calls")
