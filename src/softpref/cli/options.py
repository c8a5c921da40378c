"""Options of a command from a dataclass: types, help and YAML by jsonargparse, errors in one line by us."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml
from jsonargparse import ArgumentParser

from softpref.errors import OptionError, nearest

Options = TypeVar("Options")

_UNKNOWN = re.compile(r"(?:Option|Key) '([^']+)' is not accepted|unrecognized arguments: --([^\s=]+)")
_INVALID = re.compile(r'Parser key "([^"]+)":(.*)', re.DOTALL)


class _Parser(ArgumentParser):
    """Raises OptionError with one message where the library prints usage and several lines."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Called by the library with what is wrong."""
        raise OptionError(self._one_line(message))

    def _one_line(self, message: str) -> str:
        names = sorted({name.lstrip("-") for action in self._actions for name in action.option_strings} - {"h"})
        if unknown := _UNKNOWN.search(message):
            name = unknown[1] or unknown[2]
            return f"{name!r} is no option of {self.prog}{_nearest_or_help(name, names, self.prog)}"
        if invalid := _INVALID.search(message):
            given = re.search(r"Given value: (.*)", invalid[2])
            expected = [action.help for action in self._actions if f"--{invalid[1]}" in action.option_strings]
            what = f" is {given[1]!r}, which does not fit" if given else " does not fit"
            return f"{invalid[1]}{what}: {expected[0] if expected else ' '.join(invalid[2].split())}"
        return " ".join(message.split())


def _nearest_or_help(name: str, known: Sequence[str], prog: str) -> str:
    hint = nearest(name, known)
    return hint if hint.startswith("; did you mean") else f"; see {prog} --help"


def parse_options(of: type[Options], prog: str, argv: Sequence[str]) -> Options:
    """An instance of the dataclass ``of`` from command-line arguments, or from ``--config FILE`` with overrides.

    Raises OptionError naming the option, the file it stands in, and the nearest known one.
    """
    parser = _Parser(prog=prog)
    parser.add_argument(
        "--config", action="config", help="YAML file with these options; arguments after it override it."
    )
    parser.add_class_arguments(of)
    try:
        namespace = parser.parse_args(list(argv))
        values: Any = parser.instantiate_classes(namespace).as_dict()
        values.pop("config", None)
        return of(**values)
    except OptionError as error:
        raise OptionError(f"{_file_of(str(error), argv)}{error}") from None


def _file_of(message: str, argv: Sequence[str]) -> str:
    """The configuration file's name where the key at fault stands in it, for the front of the message."""
    for place, argument in enumerate(argv[:-1]):
        if argument != "--config":
            continue
        path = Path(argv[place + 1])
        if not path.is_file():
            raise OptionError(f"{path}: no such file") from None
        named = re.match(r"'?([\w.]+)", message)
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError):
            return f"{path}: "
        if named and isinstance(values, dict) and named[1].split(".")[0] in values:
            return f"{path}: "
    return ""


def say(text: str = "") -> None:
    """One line for the person at the terminal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
