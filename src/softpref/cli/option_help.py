"""The help of a command, from its dataclass of options: docstrings, types, choices and defaults."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from inspect import cleandoc, get_annotations
from typing import Any

from softpref.cli.option_types import hints_of, is_list, is_mapping, is_switch, placeholder

INDENT, LEAST_WIDTH, MOST_WIDTH = 22, 50, 100


def documented(options: type) -> dict[str, str]:
    """The help of every option, from the ``Attributes:`` of the class and of those that it inherits from."""
    texts: dict[str, str] = {}
    for part in reversed(options.__mro__):
        _, _, attributes = cleandoc(part.__dict__.get("__doc__") or "").partition("Attributes:\n")
        for entry in re.split(r"\n(?=    \w)", attributes.split("\n\n")[0]):
            name, _, text = entry.strip().partition(": ")
            texts[name] = " ".join(text.replace("``", "").split())
    return {option.name: texts.get(option.name, "") for option in fields(options)}


def help_text(options: type, prog: str, positional: Sequence[str], short_groups: Sequence[str] = ()) -> str:
    """What ``--help`` prints. ``short_groups`` are those whose options may be written without the group's name."""
    width = max(LEAST_WIDTH, min(MOST_WIDTH, shutil.get_terminal_size().columns) - 2)
    words = " ".join(_positional(options, name) for name in positional)
    lines = [f"usage: {' '.join(filter(None, (prog, words, '[options]')))}", "", *_description(options, width)]
    if positional:
        lines += ["", "arguments:"]
        for name in positional:
            text = _CONFIG_HELP if name == "config" else documented(options)[name]
            lines += _entry(name_of_positional(name), text, width)
    for title, part in _sections(options):
        rows = [row for row in part if row.name not in positional and not is_dataclass(hints_of(options)[row.name])]
        if rows or title == "options":
            lines += ["", f"{title}:"]
            lines += [line for row in rows for line in _option(options, row, "", width)]
        if title == "options":
            lines += [] if "config" in positional else _entry("--config FILE", _CONFIG_HELP, width)
            lines += _entry("-h, --help", "Show this help.", width)
    for name, group in hints_of(options).items():
        if is_dataclass(group) and isinstance(group, type):
            lines += ["", *_group(options, name, short=name in short_groups, width=width)]
    return "\n".join(lines) + "\n"


_CONFIG_HELP = "YAML file with these options; the command line overrides it."


def _description(options: type, width: int) -> list[str]:
    paragraphs = cleandoc(options.__doc__ or "").partition("Attributes:\n")[0].strip().split("\n\n")
    lines = [line for paragraph in paragraphs for line in ("", *textwrap.wrap(" ".join(paragraph.split()), width))]
    return lines[1:]


def name_of_positional(name: str) -> str:
    """``DATA``; of several, the name of each: ``MODEL``."""
    return name.removesuffix("s").upper() if name in ("models", "runs") else name.upper()


def _positional(options: type, name: str) -> str:
    word = name_of_positional(name)
    if name == "config":
        return f"[{word}]"
    if is_list(hints_of(options)[name]):
        return f"{word} [{word} …]"
    [field] = [field for field in fields(options) if field.name == name]
    return word if is_required(field) else f"[{word}]"


def is_required(field: Field[Any]) -> bool:
    """Whether the option has no default."""
    return field.default is MISSING and field.default_factory is MISSING


def _sections(options: type) -> Iterator[tuple[str, list[Field[Any]]]]:
    """The options of the class itself, and of each class that it inherits from under the first line of its docstring."""
    by_owner: dict[type, list[Field[Any]]] = {options: []}
    for field in fields(options):
        owner = next(part for part in options.__mro__ if field.name in get_annotations(part))
        by_owner.setdefault(owner, []).append(field)
    for owner, part in by_owner.items():
        yield "options" if owner is options else cleandoc(owner.__doc__ or "").partition("\n")[0].rstrip("."), part


def _option(options: type, field: Field[Any], prefix: str, width: int, default: Any = MISSING) -> list[str]:
    """One option. ``default`` is what the command has in place of the class's own."""
    hint, text = hints_of(options)[field.name], documented(options)[field.name]
    name = f"{prefix}{field.name}"
    if default is MISSING:
        default = field.default if field.default_factory is MISSING else None
    if is_switch(hint):
        label = f"--{name}" if default is False else f"--{name}, --no-{name}"
    else:
        label = f"--{name} {placeholder(hint)}"
    notes = ["required"] if is_required(field) else []
    if default is True:
        notes.append("default: on")
    elif default not in (None, MISSING, "", {}, []) and not is_switch(hint):
        notes.append(f"default: {default}")
    if is_mapping(hint):
        notes.append(f"one key: --{name}.KEY VALUE")
    if aliases := field.metadata.get("aliases"):
        notes.append(f"also --{', --'.join(aliases)}")
    return _entry(label, f"{text} ({'; '.join(notes)})" if notes else text, width)


def _group(options: type, name: str, *, short: bool, width: int) -> list[str]:
    """The options of a field that is a dataclass itself, with the defaults of the command."""
    heading = f"{name}: {documented(options)[name]}"
    if short:
        heading += f" Each may be written without '{name}.'."
    lines = textwrap.wrap(heading, width)
    [owner] = [field for field in fields(options) if field.name == name]
    default = None if owner.default_factory is MISSING else owner.default_factory()
    own = {field.name for field in fields(options)}
    for field in fields(hints_of(options)[name]):
        prefix = "" if short and field.name not in own else f"{name}."
        lines += _option(hints_of(options)[name], field, prefix, width, getattr(default, field.name, MISSING))
    return lines


def _entry(label: str, text: str, width: int) -> list[str]:
    lines = textwrap.wrap(text, width - INDENT, break_on_hyphens=False)
    if len(label) + 4 <= INDENT and lines:
        return [f"  {label:<{INDENT - 2}}{lines[0]}", *(" " * INDENT + line for line in lines[1:])]
    return [f"  {label}", *(" " * INDENT + line for line in lines)]
