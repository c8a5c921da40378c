"""One row while it is read: checked fields come out, and what is wrong with the others is collected."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from softpref.data.pairs import Message, Text
from softpref.errors import Fault

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


def is_missing(value: Any) -> bool:
    """Whether a cell holds nothing: a null, or the NaN that pandas writes for one."""
    return value is None or (isinstance(value, float) and math.isnan(value))


@dataclass
class RowReader:
    """One row while it is read: hands out checked fields and collects what is wrong with the others."""

    row: int
    values: Mapping[str, Any]
    faults: list[Fault]
    shown: Mapping[str, str] = field(default_factory=dict)

    def fault(self, name: str, problem: str, mend: str) -> None:
        """Record one fault of this row, under the file's own name of the column."""
        self.faults.append(Fault(self.row, self.shown.get(name, name), problem, mend))

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
        """The text of a response: of its prompt's kind and, among messages, the assistant's, with results of tools between."""
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
        messages = []
        for position, message in enumerate(value, start=1):
            wrong, clean = _checked_message(message)
            if clean is None:
                self.fault(name, f"message {position} {wrong[0]}", wrong[1])
                return None
            messages.append(clean)
        return messages

    def tools(self) -> list[dict[str, Any]] | None:
        """The functions that a chat template describes to the model: a list of JSON schemas (or its JSON); None if absent."""
        value = self._parsed("tools")
        if value is None or value == []:
            return None
        if isinstance(value, list) and all(isinstance(tool, dict) for tool in value):
            return value
        self.fault("tools", f"{_shown(value)} is not a list of objects", "write a list of JSON schemas of functions")
        return None

    def _parsed(self, name: str) -> Any:
        value = self.values.get(name)
        if isinstance(value, str):
            with contextlib.suppress(ValueError, RecursionError):
                return json.loads(value)
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        """An object (in CSV: its JSON); empty when absent."""
        value = self._parsed(name)
        if value is None or isinstance(value, dict):
            return value or {}
        self.fault(name, f"{_shown(value)} is not an object", "write a JSON object, or remove it")
        return {}


_NO_CONTENT = ("has no text content", 'write {"role": …, "content": "text"}')
_TEXT_ALONE = "softpref trains on text alone: leave such rows out"


def _checked_message(message: Any) -> tuple[tuple[str, str], Message | None]:
    """What is wrong with a message and how to mend it, or the message with its content as text.

    Content parts are text where all of them are; null stands for no text beside ``tool_calls``.
    """
    if not isinstance(message, dict):
        return _NO_CONTENT, None
    role, content, calls = message.get("role"), message.get("content"), message.get("tool_calls")
    if not (isinstance(role, str) and role in ROLES):
        return (f"has the role {_shown(role)}", f"use one of {', '.join(sorted(ROLES))}"), None
    if calls is not None and not (isinstance(calls, list) and all(isinstance(call, dict) for call in calls)):
        return (f"has tool_calls {_shown(calls)}", "write a list of objects, or leave tool_calls out"), None
    if isinstance(content, list):
        if other := [part for part in content if isinstance(part, dict) and part.get("type", "text") != "text"]:
            return (f"holds a part of the type {_shown(other[0]['type'])}", _TEXT_ALONE), None
        content = _joined(content)
    elif content is None and calls:
        return ("", ""), dict(message)
    return (("", ""), {**message, "content": content}) if isinstance(content, str) else (_NO_CONTENT, None)


def _joined(parts: list[Any]) -> str | None:
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    written = [text for text in texts if isinstance(text, str)]
    return "".join(written) if written and len(written) == len(texts) else None


def _response_fault(prompt: Text, response: Text) -> tuple[str, str] | None:
    """What is wrong with a response to this prompt, and how to mend it."""
    if isinstance(prompt, str) != isinstance(response, str):
        return "is not of the prompt's kind", "give strings on all sides, or message lists on all sides"
    if isinstance(prompt, str) or isinstance(response, str):
        return None
    if len(response) > 1 and response[: len(prompt)] == prompt:
        return "repeats the prompt", "give only the assistant message that follows it"
    roles = [message["role"] for message in response]
    if set(roles) <= {"assistant", "tool"} and roles[0] == roles[-1] == "assistant":
        return None
    shown = _shown(roles[0]) if len(roles) == 1 else _shown(roles)
    problem = f"is a message of the role {shown}" if len(roles) == 1 else f"holds messages of the roles {shown}"
    return problem, "give the assistant's messages alone, with the results of its tools (role tool) between them"


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
