"""Options of a command from a dataclass: its fields are the options, their types the checks, its docstring the help."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from softpref.cli.config_file import ConfigFile, KeyPath, is_strategy, read_config, yaml_value
from softpref.cli.option_help import help_text, is_required, name_of_positional
from softpref.cli.option_types import (
    converted,
    from_word,
    hints_of,
    is_list,
    is_mapping,
    is_switch,
    members,
    value_hint,
    wants_text,
)
from softpref.errors import OptionError, nearest, printable

Options = TypeVar("Options")

# A group whose options may be written without its name: --columns.chosen for --reading.columns.chosen.
SHORT_GROUP = "reading"


def parse_options(of: type[Options], prog: str, argv: Sequence[str], positional: Sequence[str] = ("data",)) -> Options:
    """An instance of the dataclass ``of`` from command-line arguments, over those of ``--config FILE`` where it is given.

    Args:
        of: the dataclass. A field with ``metadata={"aliases": ("old",)}`` may be given by its other names too.
        prog: the command, for the help and for hints.
        argv: the arguments after the command. ``--name VALUE``, ``--name=VALUE``, ``--group.name VALUE``, and for a field that
            is a boolean ``--name``, ``--no-name`` and ``--name true``. A hyphen in a name is an underscore.
        positional: options that may be given without their names, in this order; those that ``of`` lacks are left out. One
            that is a list takes all words. ``config`` is the YAML file.

    Fields that are mappings with any keys (``train``, ``loss_args``) are taken as the YAML says, and ``--train.KEY VALUE``
    sets one key of them.

    Raises OptionError naming the option, the line of the file where it is written, and the nearest known one.
    """
    names = [name for name in positional if name == "config" or name in hints_of(of)]
    if {"-h", "--help"} & set(argv):
        sys.stdout.write(help_text(of, prog, names, [SHORT_GROUP] if _short_options(of) else []))
        raise SystemExit(0)
    arguments = _Arguments(of, prog, names)
    arguments.read(argv)
    values = {} if arguments.config is None else _from_file(of, prog, arguments.config)
    for path, value in arguments.values:
        _put(values, path, value)
    _refuse_unwritable(values)
    return _instance(of, prog, values)


def checked(of: type[Options], prog: str, name: str, values: Any) -> Options:
    """An instance of ``of`` from a mapping inside another option, ``name``. Raises OptionError naming it."""
    if not isinstance(values, dict):
        raise OptionError(_no_mapping(name, values))
    try:
        return _instance(of, prog, _typed(of, prog, values, ()))
    except OptionError as error:
        raise OptionError(f"{name}: {error}") from None


def _instance(of: type[Options], prog: str, values: Mapping[str, Any], default: Options | None = None) -> Options:
    """The dataclass with these values, over those of ``default``, which a command may set for a group of options."""
    hints, groups = hints_of(of), {}
    missing = []
    for option in fields(of):  # type: ignore[arg-type]  # a dataclass
        if is_dataclass(hints[option.name]) and option.name in values:
            groups[option.name] = _instance(hints[option.name], prog, values[option.name], _default(option))
        elif is_required(option) and option.name not in values:
            missing.append(option.name)
    if default is not None:
        return replace(default, **{**values, **groups})  # type: ignore[type-var]
    if missing:
        raise OptionError(f"{', '.join(missing)}: required; see {prog} --help")
    return of(**{**values, **groups})


def _default(option: Field[Any]) -> Any:
    """The group of options that a command has where nothing of it is given."""
    return None if option.default_factory is MISSING else option.default_factory()


def _put(values: dict[str, Any], path: KeyPath, value: Any) -> None:
    """Set one value in mappings inside one another; those on the way are copied."""
    *above, last = path
    for key in above:
        inner = values.get(key)
        values[key] = dict(inner) if isinstance(inner, dict) else {}
        values = values[key]
    values[last] = value


def _refuse_unwritable(values: Any, name: str = "") -> None:
    """The system ends a path at a NUL character, and no text that is meant has one; half a character can be written nowhere."""
    if isinstance(values, str) and "\0" in values:
        raise OptionError(f"{name} holds a NUL character (\\0): remove it")
    if isinstance(values, str) and any("\ud800" <= character <= "\udfff" for character in values):
        raise OptionError(f"{name} is {values!r}, which is not UTF-8: rename the file, or give the text in UTF-8")
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list | tuple) else ()
    for key, value in items:
        _refuse_unwritable(value, f"{name}.{key}" if name else str(key))


# ------------------------------------------------------------------------------------------------------------ names


def _aliases(of: type) -> dict[str, str]:
    return {alias: option.name for option in fields(of) for alias in option.metadata.get("aliases", ())}


def _short_options(of: type) -> frozenset[str]:
    """Options of ``reading`` that may be written without ``reading.``: those that the command has no option of that name for."""
    hints = hints_of(of)
    group = hints.get(SHORT_GROUP)
    return frozenset(hints_of(group)) - hints.keys() if isinstance(group, type) and is_dataclass(group) else frozenset()


def _unknown(of: type, prog: str, name: str, above: KeyPath = ()) -> OptionError:
    """For a name in the group ``above`` that is no option: the nearest one, or where to look."""
    prefix = "".join(f"{group}." for group in above)
    known = {f"{prefix}{option}" for option in {*_all_names(of), *_short_options(of), *_aliases(of)}}
    hint = nearest(f"{prefix}{name}", known if above else known | {"config", "help"})
    hint = hint if hint.startswith("; did you mean") else f"; see {prog} --help"
    return OptionError(f"unknown option {prefix + name!r}{hint}")


def _all_names(of: type, above: str = "") -> Iterator[str]:
    for name, hint in hints_of(of).items():
        yield f"{above}{name}"
        if isinstance(hint, type) and is_dataclass(hint):
            yield from _all_names(hint, f"{above}{name}.")


def _resolved(of: type, prog: str, name: str) -> tuple[KeyPath, Any]:
    """The path of a dotted name, and the type of what it holds. Raises OptionError where there is no such option."""
    first, *below = name.split(".")
    path: KeyPath = (_aliases(of).get(first, first), *below)
    if path[0] in _short_options(of):
        path = (SHORT_GROUP, *path)
    hint: Any = of
    for place, key in enumerate(path):
        if is_dataclass(hint) and isinstance(hint, type) and key in hints_of(hint):
            hint = hints_of(hint)[key]
        elif is_mapping(hint) and key:
            # keys below the first are of mappings in the mapping
            hint = value_hint(hint) if value_hint(hint) is not Any or place == len(path) - 1 else dict[str, Any]
        else:
            raise _unknown(of, prog, name)
    return path, hint


# ----------------------------------------------------------------------------------------------------- command line


@dataclass
class _Arguments:
    """The command line, read: the options in the order in which they were given, each with its typed value."""

    of: type
    prog: str
    positional: list[str]
    config: Path | None = None
    values: list[tuple[KeyPath, Any]] = field(default_factory=list)

    def read(self, argv: Sequence[str]) -> None:
        """Take every argument. Raises OptionError for one that is unknown, or whose value does not fit."""
        plain: list[str] = []
        rest = list(argv)
        while rest:
            word = rest.pop(0)
            if word == "--":
                plain += rest
                break
            if word.startswith("-") and word != "-":
                self._option(word, rest)
            else:
                plain.append(word)
        self._plain(plain)

    def _option(self, word: str, rest: list[str]) -> None:
        name, equals, value = word.lstrip("-").partition("=")
        first, dot, below = name.partition(".")
        name = f"{first.replace('-', '_')}{dot}{below}"
        if not word.startswith("--"):
            raise _unknown(self.of, self.prog, word)
        if name == "config":
            self._take_config(value if equals else _next(rest, "config"))
            return
        if not equals and (negated := self._negated(name)):
            self.values.append((negated, False))
            return
        path, hint = _resolved(self.of, self.prog, name)
        if is_switch(hint) and not equals:
            value = rest.pop(0) if rest and rest[0].lower() in ("true", "false", "null") else "true"
        elif not equals:
            value = _next(rest, name)
            more = self._more(hint, rest)
            if more:
                self.values.append((path, converted(hint, [value, *more], name)))
                return
        self._set(path, hint, value, name)

    def _more(self, hint: Any, rest: list[str]) -> list[str]:
        """The words after the first value of an option that takes one text or several: ``--data a.jsonl b.csv``."""
        more: list[str] = []
        while is_list(hint) and str in members(hint) and rest and not rest[0].startswith("-"):
            if "config" in self.positional and rest[0].endswith((".yaml", ".yml")):
                break
            more.append(rest.pop(0))
        return more

    def _negated(self, name: str) -> KeyPath | None:
        """The switch that ``--no-NAME`` turns off, if there is one."""
        if not name.startswith("no_") or name in hints_of(self.of):
            return None
        path, hint = _resolved(self.of, self.prog, name.removeprefix("no_"))
        return path if is_switch(hint) else None

    def _set(self, path: KeyPath, hint: Any, word: str, name: str) -> None:
        if is_dataclass(hint) and isinstance(hint, type):
            value: Any = _typed(hint, self.prog, yaml_value(word, name), path)
        else:
            value = from_word(hint, word, name)
        self.values.append((path, value))

    def _take_config(self, file: str) -> None:
        if self.config is not None:
            raise OptionError("config is given twice; give one file, and override it on the command line")
        self.config = Path(file)

    def _plain(self, words: list[str]) -> None:
        """Words without a name, as the options that ``positional`` names."""
        given = {path[0] for path, _ in self.values} | ({"config"} if self.config else set())
        for name in self.positional:
            if not words:
                return
            if name in given:
                raise OptionError(f"{name} is given twice: as {words[0]!r} and as --{name}; keep one of the two")
            if name == "config":
                self._take_config(words.pop(0))
                continue
            hint = hints_of(self.of)[name]
            several = is_list(hint) and (len(words) > 1 or str not in members(hint))
            value = converted(hint, words, name) if several else from_word(hint, words[0], name)
            self.values.append(((name,), value))
            words = [] if several else words[1:]
        if words:
            takes = " ".join(map(name_of_positional, self.positional))
            known = f"takes {takes}, then options as --NAME VALUE" if takes else "takes options as --NAME VALUE"
            raise OptionError(f"unexpected argument {words[0]!r}; {self.prog} {known}")


def _next(rest: list[str], name: str) -> str:
    if not rest or rest[0].startswith("--"):
        raise OptionError(f"{name} needs a value: --{name} {'FILE' if name == 'config' else 'VALUE'}")
    return rest.pop(0)


# ------------------------------------------------------------------------------------------------------------- file


def _from_file(of: type, prog: str, path: Path) -> dict[str, Any]:
    """The typed options of a YAML file. Every fault names the file, and the line where there is one."""
    config = read_config(path, lambda key: is_strategy(key) or _is_text(of, prog, key))
    try:
        return _typed(of, prog, config.values, (), config)
    except OptionError as error:
        raise _with_place(error, config, ()) from None


def _is_text(of: type, prog: str, path: KeyPath) -> bool:
    try:
        return wants_text(_resolved(of, prog, ".".join(path))[1])
    except OptionError:
        return False


def _typed(of: type, prog: str, values: Any, above: KeyPath, config: ConfigFile | None = None) -> dict[str, Any]:
    """The values of one group of options, each as its type wants it; ``above`` is where the group is."""
    if not isinstance(values, dict):
        raise OptionError(_no_mapping(".".join(above), values))
    typed, hints = {}, hints_of(of)
    for key, value in _by_own_names(of, values).items():
        path = (*above, str(key))
        if value is None and key in hints and (is_dataclass(hints[key]) or is_mapping(hints[key])):
            # a group that is written and empty: reading: and nothing below
            continue
        try:
            if key not in hints:
                raise _unknown(of, prog, str(key), above)
            typed[key] = _typed_value(of, prog, value, path, config)
        except OptionError as error:
            raise _with_place(error, config, path) from None
    return typed


def _no_mapping(name: str, value: Any) -> str:
    return f"{name} is {value!r}; give a mapping of options: {{name: value}}"


def _typed_value(of: type, prog: str, value: Any, path: KeyPath, config: ConfigFile | None) -> Any:
    hint = hints_of(of)[path[-1]]
    if not (isinstance(hint, type) and is_dataclass(hint)):
        return converted(hint, value, ".".join(path))
    [option] = [option for option in fields(of) if option.name == path[-1]]
    group = _typed(hint, prog, value, path, config)
    # contradictions inside the group are the file's
    _instance(hint, prog, group, _default(option))
    return group


class _PlacedError(OptionError):
    """An error that names its file and line already."""


def _with_place(error: OptionError, config: ConfigFile | None, path: KeyPath) -> OptionError:
    if config is None or isinstance(error, _PlacedError):
        return error
    return _PlacedError(f"{config.place(path)}: {error}")


def _by_own_names(of: type, values: Mapping[Any, Any]) -> dict[Any, Any]:
    """The values under the names of the fields: aliases replaced, and ``columns`` at the top put below ``reading``."""
    aliases, short = _aliases(of), _short_options(of)
    own: dict[Any, Any] = {}
    for key, value in values.items():
        name = aliases.get(key, key)
        if name in own:
            raise OptionError(f"{key} is given twice, also as {name}; keep one of the two")
        own[name] = value
    for name in short & own.keys():
        group = own.get(SHORT_GROUP) or {}
        if not isinstance(group, dict) or name in group:
            raise OptionError(f"{name} is given twice, at the top and below {SHORT_GROUP}; keep one of the two")
        own[SHORT_GROUP] = {**group, name: own.pop(name)}
    return own


def say(text: str = "") -> None:
    """One line for the person at the terminal."""
    sys.stdout.write(f"{printable(text)}\n")
    sys.stdout.flush()
