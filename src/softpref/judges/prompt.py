"""A judge's prompt is data: a TOML file with a criterion, templates, the spellings of its answers, and what it asks for."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from softpref.data.pairs import Message, text_of
from softpref.errors import InputError, nearest
from softpref.judges.base import Question

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHIPPED = ("general", "harmless", "helpful", "plan", "summary")
ASKS_FOR = ("better", "worse")
_PLACE = re.compile(r"\{(criterion|prompt|first|second)\}")
_FIELDS = {"name": str, "version": str, "asks_for": str, "criterion": str, "text": str, "chat": dict, "answers": dict}


@dataclass(frozen=True)
class JudgePrompt:
    """How a judge is asked, and how its answer is spelt.

    ``text`` is a completion template that ends where the answer begins; ``system`` and ``user`` are its chat form. They hold
    the places ``{criterion}``, ``{prompt}``, ``{first}``, ``{second}``. ``first`` and ``second`` list the spellings of both
    answers, without white space around them. With ``asks_for = "worse"`` the answers are turned round on reading.
    """

    name: str
    version: str
    asks_for: str
    criterion: str
    text: str
    system: str
    user: str
    first: tuple[str, ...]
    second: tuple[str, ...]

    @cached_property
    def identity(self) -> str:
        """Name, version, and a hash of everything in it: an edited prompt is another prompt."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return f"{self.name}@{self.version}:{digest[:12]}"

    def as_text(self, question: Question) -> str:
        """The completion prompt."""
        return self._filled(self.text, question)

    def as_messages(self, question: Question) -> list[Message]:
        """The chat prompt."""
        system = [{"role": "system", "content": self._filled(self.system, question)}] if self.system else []
        return [*system, {"role": "user", "content": self._filled(self.user, question)}]

    def _filled(self, template: str, question: Question) -> str:
        """All places at once: a response that holds ``{second}`` stays as it is."""
        values = {
            "criterion": self.criterion,
            "prompt": _conversation(question.prompt),
            "first": text_of(question.first),
            "second": text_of(question.second),
        }
        return _PLACE.sub(lambda place: values[place[1]], template)


def load_prompt(name: str) -> JudgePrompt:
    """A shipped prompt by name, or one's own TOML file by path. Raises InputError naming the file, the key and the mend."""
    if name in SHIPPED:
        return parse_prompt((files("softpref.judges") / "prompts" / f"{name}.toml").read_text(encoding="utf-8"), name)
    path = Path(name)
    if path.suffix != ".toml":
        raise InputError(f"judge prompt {name!r} is unknown{nearest(name, SHIPPED)} (or give a path to a .toml file)")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    return parse_prompt(path.read_text(encoding="utf-8"), str(path))


def parse_prompt(text: str, where: str) -> JudgePrompt:
    """A prompt from TOML. Raises InputError."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where}: is not TOML ({error})") from None
    _check_fields(values, _FIELDS, where)
    _check_fields(values["chat"], {"system": str, "user": str}, f"{where}: chat")
    _check_fields(values["answers"], {"first": list, "second": list}, f"{where}: answers")
    if values["asks_for"] not in ASKS_FOR:
        raise InputError(f"{where}: asks_for is {values['asks_for']!r}{nearest(values['asks_for'], ASKS_FOR)}")
    for key, template in (("text", values["text"]), ("chat.user", values["chat"]["user"])):
        missing = [place for place in ("prompt", "first", "second") if f"{{{place}}}" not in template]
        if missing:
            raise InputError(f"{where}: {key} has no {{{missing[0]}}}; the judge would not see it")
    first, second = (tuple(str(spelling).strip() for spelling in values["answers"][side]) for side in ("first", "second"))
    if not first or not second or set(first) & set(second) or "" in {*first, *second}:
        raise InputError(f"{where}: answers.first and answers.second need at least one spelling each, and none in common")
    head = {key: values[key] for key in ("name", "version", "asks_for", "criterion", "text")}
    return JudgePrompt(**head, system=values["chat"]["system"], user=values["chat"]["user"], first=first, second=second)


def _check_fields(values: Mapping[str, Any], fields: Mapping[str, type], where: str) -> None:
    for key in values:
        if key not in fields:
            raise InputError(f"{where}: {key} is no key of a judge prompt{nearest(key, fields)}")
    for key, kind in fields.items():
        if not isinstance(values.get(key), kind):
            what = "is missing" if key not in values else f"is {values[key]!r}"
            raise InputError(f"{where}: {key} {what}; give a {'table' if kind is dict else kind.__name__}")


def _conversation(prompt: Any) -> str:
    """A prompt as the judge reads it: a string as it is, messages by role."""
    if isinstance(prompt, str):
        return prompt
    return "\n\n".join(f"{message['role'].capitalize()}: {message['content']}" for message in prompt)
