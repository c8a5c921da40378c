"""ShareGPT's conversations, [{"from": "human", "value": "…"}, …], as messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ROLES = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "model", "bot", "chatgpt"), "assistant"),
    **dict.fromkeys(("tool", "observation"), "tool"),
    "system": "system",
}


def as_messages(value: Any) -> Any:
    """Turns with ``from`` and ``value`` as messages; any other value as it is.

    A speaker who is not known keeps the name, which reading then refuses.

    >>> as_messages([{"from": "human", "value": "Tea?"}, {"from": "gpt", "value": "Yes."}])
    [{'role': 'user', 'content': 'Tea?'}, {'role': 'assistant', 'content': 'Yes.'}]
    """
    if _is_turn(value):
        return [_message(value)]
    if isinstance(value, list) and value and all(map(_is_turn, value)):
        return [_message(turn) for turn in value]
    return value


def _is_turn(value: Any) -> bool:
    return isinstance(value, Mapping) and {"from", "value"} <= value.keys() and "role" not in value


def _message(turn: Mapping[str, Any]) -> dict[str, Any]:
    return {"role": _ROLES.get(str(turn["from"]).casefold(), turn["from"]), "content": turn["value"]}
