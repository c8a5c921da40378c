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
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if low <= number <= high and math.isfinite(number):
            return number
        problem = "is missing" if value is None else f"{_shown(value)} is not a number in [{low:g}, {high:g}]"
        self.fault(name, problem, mend)
        return None

    def text(self, name: str) -> Text | None:
        """A string, or a list of messages. A string that holds JSON is a string; the CSV reader has parsed messages."""
        value = self.values.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, list):
            return self._messages(name, value)
        what = "is missing" if value is None else f"is {_shown(value)}"
        self.fault(name, what, "give a string or a list of {role, content} messages")
        return None

    def response(self, name: str, prompt: Text | None) -> Text | None:
        """The text of a response: of its prompt's kind and, among messages, exactly one, the assistant's."""
        response = self.text(name)
        if response is None or prompt is None:
            return response
        wrong = _response_fault(prompt, response)
        if wrong:
            self.fault(name, *wrong)
        return None if wrong else response

    def check_characters(self) -> None:
        """A fault for every field with half a character in it: it could neither be tokenised nor saved."""
        for name, value in self.values.items():
            if not (_writable(name) and _writable(value)):
                problem = "holds half a character (a surrogate without its other half)"
                self.fault(name, problem, "write the whole character, or remove it")

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
            with contextlib.suppress(ValueError, RecursionError):
                value = json.loads(value)
        if value is None or isinstance(value, dict):
            return value or {}
        self.fault(name, f"{_shown(value)} is not an object", "write a JSON object, or remove it")
        return {}


def _response_fault(prompt: Text, response: Text) -> tuple[str, str] | None:
    """What is wrong with a response to this prompt, and how to mend it."""
    if isinstance(prompt, str) != isinstance(response, str):
        return "is not of the prompt's kind", "give strings on all sides, or message lists on all sides"
    if isinstance(prompt, str) or isinstance(response, str):
        return None
    if len(response) > 1 and response[: len(prompt)] == prompt:
        return "repeats the prompt", "give only the assistant message that follows it"
    mend = "give exactly one assistant message"
    if len(response) != 1:
        return f"holds {len(response)} messages", mend
    role = response[0]["role"]
    return None if role == "assistant" else (f"is a message of the role {_shown(role)}", mend)


def _writable(value: Any) -> bool:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
        return True
    if isinstance(value, dict):
        return all(_writable(key) and _writable(one) for key, one in value.items())
    return not isinstance(value, list) or all(map(_writable, value))


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except ValueError:  # an integer of more digits than Python will write
        return f"a very long {type(value).__name__}"
    return text if len(text) <= 60 else text[:59] + "…"
