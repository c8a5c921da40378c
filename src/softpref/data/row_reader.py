"""One row while it is read: checked fields come out, and what is wrong with the others is collected."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from softpref.data.pairs import Message, Text
from softpref.errors import Fault

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


@dataclass
class RowReader:
    """One row while it is read: hands out checked fields and collects what is wrong with the others."""

    row: int
    values: Mapping[str, Any]
    faults: list[Fault]

    def fault(self, name: str, problem: str, mend: str) -> None:
        """Record one fault of this row."""
        self.faults.append(Fault(self.row, name, problem, mend))

    def has(self, name: str) -> bool:
        """Whether the field is there and not empty. An empty CSV cell and a JSON null are both 'not there'."""
        return self.values.get(name) is not None

    def number(self, name: str, low: float, high: float, mend: str) -> float | None:
        """A finite number in [low, high], from a number or its text."""
        value = self.values.get(name)
        try:
            number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            number = math.nan
        if low <= number <= high and math.isfinite(number):
            return number
        problem = "is missing" if value is None else f"{_shown(value)} is not a number in [{low:g}, {high:g}]"
        self.fault(name, problem, mend)
        return None

    def text(self, name: str) -> Text | None:
        """A string, or a list of messages (in CSV: its JSON)."""
        value = self.values.get(name)
        if isinstance(value, str):
            return self._messages(name, json_list) if (json_list := _json_list(value)) is not None else value
        if isinstance(value, list):
            return self._messages(name, value)
        what = "is missing" if value is None else f"is {_shown(value)}"
        self.fault(name, what, "give a string or a list of {role, content} messages")
        return None

    def _messages(self, name: str, value: list[Any]) -> list[Message] | None:
        if not value:
            self.fault(name, "is an empty list of messages", "give at least one message, or drop the row")
            return None
        for position, message in enumerate(value, start=1):
            if not (isinstance(message, dict) and isinstance(message.get("content"), str)):
                self.fault(name, f"message {position} has no text content", 'write {"role": …, "content": "text"}')
                return None
            if message.get("role") not in ROLES:
                role = _shown(message.get("role"))
                self.fault(name, f"message {position} has the role {role}", f"use one of {', '.join(sorted(ROLES))}")
                return None
        return [dict(message) for message in value]

    def mapping(self, name: str) -> dict[str, Any]:
        """An object (in CSV: its JSON); empty when absent."""
        value = self.values.get(name)
        if isinstance(value, str):
            with contextlib.suppress(json.JSONDecodeError):
                value = json.loads(value)
        if value is None or isinstance(value, dict):
            return value or {}
        self.fault(name, f"{_shown(value)} is not an object", "write a JSON object, or remove it")
        return {}


def _json_list(value: str) -> list[Any] | None:
    """The messages in a CSV cell. Only text that *is* a JSON list of objects counts; a story in brackets is a story."""
    if not value.lstrip().startswith("[{"):
        return None
    try:
        parsed = json.loads(value)
    except json.JSONDecodeError:
        return None
    return parsed if isinstance(parsed, list) else None


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:59] + "…"
