"""A judge's prompt is data: a TOML file with a criterion, templates, the spellings of its answers, and what it asks for."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from softpref.data.pairs import Message
from softpref.errors import InputError, nearest
from softpref.judges.base import Question
from softpref.judges.failures import plain_words, quoted
from softpref.judges.shown_text import shown_conversation, shown_response
from softpref.judges.verdicts import FIRST, GROUPS, SECOND, bare

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHIPPED = ("general", "harmless", "helpful", "plan", "summary")
ASKS_FOR = ("better", "worse")
# Applied to a text before it is put into a prompt.
Written = Callable[[str], str]
_PLACE = re.compile(r"\{(criterion|prompt|first|second)\}")
_FIELDS = {"name": str, "version": str, "asks_for": str, "criterion": str, "text": str, "chat": dict, "answers": dict}


@dataclass(frozen=True)
class JudgePrompt:
    """How a judge is asked, and how its answer is spelt.

    ``text`` is a completion template that ends where the answer begins; ``system`` and ``user`` are its chat form. They hold
    the places ``{criterion}``, ``{prompt}``, ``{first}``, ``{second}``. ``first`` and ``second`` list the spellings of both
    answers, without white space around them. ``verdicts`` are patterns for a verdict in text, with the named groups ``first``,
    ``second``, ``tie``, ``none``. With ``asks_for = "worse"`` the answers are turned round on reading.
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
    verdicts: tuple[str, ...] = ()

    @cached_property
    def identity(self) -> str:
        """Name, version, and a hash of everything in it: an edited prompt is another prompt."""
        parts = {name: value for name, value in asdict(self).items() if name != "verdicts" or value}
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        return f"{self.name}@{self.version}:{digest[:12]}"

    @cached_property
    def first_words(self) -> frozenset[str]:
        """The spellings of the first answer, without what wraps them."""
        return frozenset(map(bare, self.first))

    @cached_property
    def second_words(self) -> frozenset[str]:
        """The spellings of the second answer, without what wraps them."""
        return frozenset(map(bare, self.second))

    def as_text(self, question: Question, written: Written = str) -> str:
        """The completion prompt. ``written`` is applied to the texts of the question before they are put in."""
        return self._filled(self.text, question, written)

    def as_messages(self, question: Question, written: Written = str) -> list[Message]:
        """The chat prompt. ``written`` is applied to the texts of the question before they are put in."""
        system = [{"role": "system", "content": self._filled(self.system, question, written)}] if self.system else []
        return [*system, {"role": "user", "content": self._filled(self.user, question, written)}]

    def _filled(self, template: str, question: Question, written: Written) -> str:
        """All places at once: a response that holds ``{second}`` stays as it is."""
        values = {
            "criterion": self.criterion,
            "prompt": written(shown_conversation(question.prompt)),
            "first": written(shown_response(question.first)),
            "second": written(shown_response(question.second)),
        }
        return _PLACE.sub(lambda place: values[place[1]], template)


def load_prompt(name: str) -> JudgePrompt:
    """A shipped prompt by name, or one's own TOML file by path. Raises InputError naming the file, the key and the mend."""
    if name in SHIPPED:
        return parse_prompt((files("softpref.judges") / "prompts" / f"{name}.toml").read_text(encoding="utf-8"), name)
    path = Path(name)
    if path.suffix != ".toml":
        raise InputError(f"judge prompt {name!r} is unknown{nearest(name, SHIPPED)} (or give a path to a .toml file)")
    try:
        return parse_prompt(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def parse_prompt(text: str, where: str) -> JudgePrompt:
    """A prompt from TOML. Raises InputError."""
    values = _toml(text, where)
    patterns = values.pop("verdict", {})
    _check_fields(values, _FIELDS, where)
    _check_fields(values["chat"], {"system": str, "user": str}, f"{where}: chat")
    _check_fields(values["answers"], {"first": list, "second": list}, f"{where}: answers")
    if values["asks_for"] not in ASKS_FOR:
        raise InputError(f"{where}: asks_for is {quoted(values['asks_for'])}{nearest(values['asks_for'], ASKS_FOR)}")
    for key, template in (("text", values["text"]), ("chat.user", values["chat"]["user"])):
        missing = [place for place in ("prompt", "first", "second") if f"{{{place}}}" not in template]
        if missing:
            raise InputError(f"{where}: {key} has no {{{missing[0]}}}; the judge would not see it")
    first, second = (_spellings(values["answers"][side], f"{where}: answers.{side}") for side in ("first", "second"))
    if set(map(bare, first)) & set(map(bare, second)):
        raise InputError(f"{where}: answers.first and answers.second have a spelling in common: give each its own")
    head = {key: values[key] for key in ("name", "version", "asks_for", "criterion", "text")}
    chat = values["chat"]
    return JudgePrompt(
        **head, system=chat["system"], user=chat["user"], first=first, second=second, verdicts=_verdicts(patterns, where)
    )


def _toml(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise InputError(f"{where}: is not TOML of a judge prompt (nested too deep)") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where}: is not TOML ({plain_words(str(error))})") from None
    except ValueError:
        raise InputError(f"{where}: is not TOML of a judge prompt (a number has thousands of digits)") from None


def _spellings(values: Sequence[Any], where: str) -> tuple[str, ...]:
    """The spellings of one answer. Raises InputError for one that no token and no text can be."""
    if not values:
        raise InputError(f"{where}: is empty; give at least one spelling")
    for value in values:
        if not isinstance(value, (str, int)) or isinstance(value, bool):
            raise InputError(f'{where}: holds {_as_written(value)}; give spellings as text, such as "1"')
    found = tuple(_as_written(value) if isinstance(value, int) else value.strip() for value in values)
    for spelling in found:
        if not re.fullmatch(r"\w+(?:['.-]\w+)*", bare(spelling)):
            raise InputError(
                f"{where}: {quoted(spelling)} can never be read: an answer is one word, brackets and quotation marks around it "
                "left out. Give the word that tells the answers apart (1, A), and how it stands in the text as a pattern: "
                f"[verdict] patterns = ['...(?:(?P<first>A)|(?P<second>B))...']"
            )
    return found


def _verdicts(section: Any, where: str) -> tuple[str, ...]:
    """The patterns of ``[verdict]``. Raises InputError for one that is none, or that names no side."""
    if not isinstance(section, Mapping):
        raise InputError(f"{where}: verdict is {_as_written(section)}; give a table: [verdict] patterns = ['...']")
    if not section:
        return ()
    _check_fields(section, {"patterns": list}, f"{where}: verdict")
    groups: set[str] = set()
    for pattern in section["patterns"]:
        if not isinstance(pattern, str):
            raise InputError(f"{where}: verdict.patterns holds {_as_written(pattern)}; give regular expressions as text")
        try:
            named = set(re.compile(pattern).groupindex)
        except (re.error, OverflowError, RecursionError) as error:
            raise InputError(f"{where}: verdict.patterns: {quoted(pattern)} is no regular expression ({error})") from None
        if not named or not named <= set(GROUPS):
            raise InputError(f"{where}: verdict.patterns: {quoted(pattern)} needs named groups of {', '.join(GROUPS)}")
        groups |= named
    if not {FIRST, SECOND} <= groups:
        raise InputError(f"{where}: verdict.patterns: no pattern has the group {FIRST if FIRST not in groups else SECOND}")
    return tuple(section["patterns"])


def _check_fields(values: Mapping[str, Any], fields: Mapping[str, type], where: str) -> None:
    for key in values:
        if key not in fields:
            raise InputError(f"{where}: {key} is no key of a judge prompt{nearest(key, fields)}")
    for key, kind in fields.items():
        if not isinstance(values.get(key), kind):
            what = "is missing" if key not in values else f"is {_as_written(values[key])}"
            raise InputError(f"{where}: {key} {what}; give a {'table' if kind is dict else kind.__name__}")


def _as_written(value: Any) -> str:
    """For a message, cut; a number may have more digits than Python writes."""
    try:
        return plain_words(repr(value), 80)
    except ValueError:
        return "a number of thousands of digits"
