"""Options of a command from a dataclass: types and help by jsonargparse, the YAML file and errors in one line by us."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args, get_origin, get_type_hints

import yaml
from jsonargparse import ArgumentParser, Namespace

from softpref.data.limits import DEPTH, YAML_BYTES, YAML_DIGITS, YAML_VALUES
from softpref.data.read_options import ReadOptions
from softpref.errors import OptionError, nearest, printable

Options = TypeVar("Options")

_UNKNOWN = re.compile(r"Option '([^']+)' is not accepted|unrecognized arguments: --([^\s=]+)")
_UNKNOWN_IN_GROUP = re.compile(r"Group '([^']+)' does not accept option '([^']+)'")
_INVALID = re.compile(r'Parser key "([^"]+)":(.*)', re.DOTALL)
_GIVEN = re.compile(r"(?:Given|Got) value: (.*)")
_NO_GROUP = re.compile(r"Parser key \"([^\"]+)\":\s*Unable to load config '(.*)'")


class _Parser(ArgumentParser):
    """Raises OptionError with one message where the library prints usage and several lines."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Called by the library with what is wrong."""
        raise OptionError(self._one_line(message))

    def require_nothing(self) -> None:
        """For a file whose missing options may stand on the command line."""
        for action in self._actions:
            action.required = False

    def unknown(self, name: str) -> str:
        """What to say of an option that does not exist."""
        names = sorted({word.lstrip("-") for action in self._actions for word in action.option_strings} - {"h", name})
        hint = nearest(name, names)
        hint = hint if hint.startswith("; did you mean") else f"; see {self.prog} --help"
        return f"{name!r} is no option of {self.prog}{hint}"

    def _one_line(self, message: str) -> str:
        if unknown := _UNKNOWN.search(message):
            return self.unknown(unknown[1] or unknown[2])
        if unknown := _UNKNOWN_IN_GROUP.search(message):
            return self.unknown(f"{unknown[1]}.{unknown[2]}")
        if group := _NO_GROUP.search(message):
            return f"{group[1]} is {group[2]!r}, which is no group of options: write them below it, or --{group[1]}.NAME"
        if invalid := _INVALID.search(message):
            given = _GIVEN.search(invalid[2])
            expected = [action.help for action in self._actions if f"--{invalid[1]}" in action.option_strings]
            what = f" is {given[1]!r}, which does not fit" if given else " does not fit"
            what += " (text: put it in quotes)" if "<class 'str'>" in invalid[2].partition("Given value")[0] else ""
            return f"{invalid[1]}{what}: {expected[0] if expected else ' '.join(invalid[2].split())}"
        if message.startswith("the following arguments are required: "):
            return f"{message.partition(': ')[2]}: required and not given; see {self.prog} --help"
        return " ".join(message.split())


def parse_options(of: type[Options], prog: str, argv: Sequence[str]) -> Options:
    """An instance of the dataclass ``of`` from command-line arguments, over those of ``--config FILE`` where it is given.

    Fields that are mappings with any keys (``train``, ``loss_args``) are taken as the YAML says, and ``--train.KEY VALUE``
    sets one key of them: nothing in them is parsed a second time, so that text which looks like a number stays text.

    Raises OptionError naming the option, the file it stands in, and the nearest known one.
    """
    parser = _parser(of, prog)
    if {"-h", "--help"} & set(argv):
        parser.parse_args(["--help"])
    file, rest = _take_config(_short_reading(of, _joined_lists(of, argv)))
    mappings = _mappings(of)
    typed, free = (None, {}) if file is None else _read_config(of, prog, file, mappings)
    rest = _take_overrides(rest, mappings, free)
    values = parser.instantiate(parser.parse_args(rest, namespace=typed)).as_dict()
    values.pop("config", None)
    _refuse_nul({**values, **free})
    return of(**{**values, **free})


def _joined_lists(of: type, argv: Sequence[str]) -> list[str]:
    """``--data a.jsonl b.csv`` as a list, for options that take one value or several."""
    hints = get_type_hints(of)
    several = {f"--{field.name}" for field in fields(of) if list[str] in get_args(hints[field.name])}
    words: list[str] = []
    given: list[str] = []
    for word in [*argv, "--"]:
        if given and not word.startswith("--"):
            given.append(word)
            continue
        words += [given[0], json.dumps(given[1:])] if len(given) > 2 else given
        given = [word] if word in several else []
        words += [] if word in several else [word]
    return words[:-1]


def _refuse_nul(values: Any, name: str = "") -> None:
    """A NUL character ends a path for the system, and stands in no text that anyone means."""
    if isinstance(values, str) and "\0" in values:
        raise OptionError(f"{name} holds a NUL character (\\0): remove it")
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list | tuple) else ()
    for key, value in items:
        _refuse_nul(value, f"{name}.{key}" if name else str(key))


def _read_fields(of: type) -> frozenset[str]:
    """Options of ``reading`` that may be written without ``reading.``: those that are no options of the command itself."""
    own = {field.name for field in fields(of)}
    return frozenset({field.name for field in fields(ReadOptions)} - own if "reading" in own else ())


def _short_reading(of: type, argv: Sequence[str]) -> list[str]:
    """``--columns.chosen A`` is ``--reading.columns.chosen A``; ``--meta_columns a,b`` is a list."""
    short, words = _read_fields(of), []
    for word in argv:
        name = re.split(r"[.=]", word.removeprefix("--"), maxsplit=1)[0]
        words.append(f"--reading.{word[2:]}" if word.startswith("--") and name in short else word)
    for place, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option != "--reading.meta_columns" or (not equals and place + 1 == len(words)):
            continue
        value = value if equals else words[place + 1]
        listed = value if value.startswith("[") else json.dumps(value.split(","))
        words[place if equals else place + 1] = f"{option}={listed}" if equals else listed
    return words


def _with_short_reading(of: type, values: dict[Any, Any]) -> None:
    """The same in a file: ``columns:`` at the top is ``columns:`` below ``reading:``. Changes ``values``."""
    for name in _read_fields(of) & values.keys():
        group = values.get("reading") or {}
        if not isinstance(group, dict) or name in group:
            raise OptionError(f"{name} stands at the top and below reading: keep one of the two")
        values["reading"] = {**group, name: values.pop(name)}


def checked(of: type[Options], prog: str, name: str, values: Any) -> Options:
    """An instance of ``of`` from a mapping inside another option, ``name``. Raises OptionError naming it."""
    parser = _parser(of, prog)
    if not isinstance(values, dict):
        raise OptionError(f"{name} is {values!r}, which is no group of options: write them below it")
    try:
        _check_names(of, parser, values)
        given = parser.instantiate(parser.parse_object(values)).as_dict()
    except OptionError as error:
        raise OptionError(f"{name}: {error}") from None
    given.pop("config", None)
    return of(**given)


def _parser(of: type, prog: str) -> _Parser:
    parser = _Parser(prog=prog, allow_abbrev=False)
    parser.add_argument(
        "--config", metavar="FILE", help="YAML file with these options; arguments on the command line override it."
    )
    parser.add_class_arguments(of)
    return parser


# --------------------------------------------------------------------------------------------------- the YAML file


class _Loader(yaml.SafeLoader):
    """YAML, where 1e-6 is a number, a date is text, and a key that stands twice is an error.

    A value that YAML 1.1 takes for a switch (``no``, ``off``) stays text where its key wants text: ``save_strategy: no``.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Called by the library for every mapping."""
        seen: set[str] = set()
        for key, value in node.value:
            if str(key.value) in seen:
                raise yaml.constructor.ConstructorError(problem=f"{key.value} stands twice", problem_mark=key.start_mark)
            seen.add(str(key.value))
            if str(key.value).endswith("_strategy") and value.tag == _BOOL:
                value.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Called by the library for every whole number."""
        if len(str(node.value)) > YAML_DIGITS:
            problem = f"a number of more than {YAML_DIGITS} digits; give a smaller one, or put it in quotes if it is text"
            raise yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)
        return super().construct_yaml_int(node)

    def construct_yaml_bool(self, node: yaml.ScalarNode) -> bool:
        """Called by the library for every switch."""
        if str(node.value).lower() not in self.bool_values:
            problem = f"{str(node.value)!r} is no boolean; give true or false"
            raise yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)
        return bool(super().construct_yaml_bool(node))


_BOOL = "tag:yaml.org,2002:bool"
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor(_BOOL, _Loader.construct_yaml_bool)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(("timestamp", "float"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d[\d_]*\.[\d_]*([eE][-+]?\d+)?|\.\d[\d_]*([eE][-+]?\d+)?|\d[\d_]*[eE][-+]?\d+|\.(inf|nan))\Z"),
    list("-+.0123456789"),
)


def _yaml(text: str, name: str, key: str = "") -> Any:
    """The value of a YAML text: of ``key`` where it is one, which may want text. Raises OptionError naming ``name``."""
    if len(text) > YAML_BYTES:
        raise OptionError(f"{name}: is longer than {YAML_BYTES // 2**20} MiB, which no options are")
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_size(node)
        if key.endswith("_strategy") and node.tag == _BOOL:
            return node.value
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark and "\n" in text else ""
        raise OptionError(f"{name}: is not YAML ({line}{error.problem})") from None
    except yaml.YAMLError as error:
        raise OptionError(f"{name}: is not YAML ({' '.join(str(error).split())})") from None
    except RecursionError:
        raise OptionError(f"{name}: is nested more than {DEPTH} deep; no options are") from None
    except (ValueError, OverflowError) as error:
        raise OptionError(f"{name}: holds a value that is none of its kind ({error})") from None
    finally:
        loader.dispose()


def _check_size(root: yaml.Node) -> None:
    """Raises ConstructorError where the values, with every alias written out, are too many, too deep or without end."""
    sizes: dict[int, int | None] = {}

    def size(node: yaml.Node, depth: int) -> int:
        if depth > DEPTH:
            raise _too_much(node, f"nested more than {DEPTH} deep")
        if id(node) in sizes:
            known = sizes[id(node)]
            if known is None:
                raise _too_much(node, "an alias inside what it stands for")
            return known
        sizes[id(node)] = None
        below = node.value if isinstance(node, yaml.SequenceNode | yaml.MappingNode) else ()
        inner = [one for item in below for one in (item if isinstance(item, tuple) else (item,))]
        count = 1 + sum(size(one, depth + 1) for one in inner)
        if count > YAML_VALUES:
            raise _too_much(node, f"more than {YAML_VALUES:,} values once its aliases are written out")
        sizes[id(node)] = count
        return count

    size(root, 0)


def _too_much(node: yaml.Node, problem: str) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)


def _read_config(of: type, prog: str, file: Path, mappings: Mapping[str, Any]) -> tuple[Namespace, dict[str, Any]]:
    """The typed options of the file, checked, and its free mappings. Every fault of the file names the file."""
    values = _load(file)
    parser = _parser(of, prog)
    parser.require_nothing()
    try:
        _with_short_reading(of, values)
        _check_names(of, parser, values)
        free = {name: _free(name, values.pop(name), mappings[name]) for name in mappings if name in values}
        typed = parser.parse_object(values)
        parser.instantiate(typed)
    except OptionError as error:
        raise OptionError(f"{file}: {error}") from None
    return typed, free


def _check_names(of: type, parser: _Parser, values: dict[Any, Any]) -> None:
    """Refuse keys that are no option, and take out groups that are there and empty (``reading:`` and nothing below)."""
    hints = get_type_hints(of)
    for name in list(values):
        if name not in hints:
            raise OptionError(parser.unknown(str(name)))
        if is_dataclass(hints[name]):
            if values[name] is None:
                del values[name]
            elif not isinstance(values[name], dict):
                raise OptionError(f"{name} is {values[name]!r}, which is no group of options: write them below it")


def _load(file: Path) -> dict[Any, Any]:
    if not file.is_file():
        raise OptionError(f"{file}: no such file")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise OptionError(f"{file}: is not UTF-8") from None
    values = _yaml(text, str(file))
    if values is None:
        return {}
    if not isinstance(values, dict):
        what = "list" if isinstance(values, list) else "single value"
        raise OptionError(f"{file}: holds a {what}, not options; write one 'name: value' a line")
    return values


# --------------------------------------------------------------------------------------------------- free mappings


def _mappings(of: type) -> dict[str, Any]:
    """The fields that are mappings with any keys, with their defaults."""
    hints, found = get_type_hints(of), {}
    for field in fields(of):
        hint = hints[field.name]
        if any(get_origin(one) is dict for one in (hint, *get_args(hint))):
            found[field.name] = field.default if field.default_factory is MISSING else field.default_factory()
    return found


def _free(name: str, value: Any, default: Any) -> Any:
    if value is None:
        return default
    if not isinstance(value, dict):
        raise OptionError(f"{name} is {value!r}, which is no mapping: write {{name: value}}")
    for key in value:
        if not isinstance(key, str):
            raise OptionError(f"{name} has the key {key!r}, which is no name")
    return value


def _take_overrides(argv: Sequence[str], mappings: Mapping[str, Any], free: dict[str, Any]) -> list[str]:
    """Set ``--train.KEY VALUE`` and ``--train {KEY: VALUE}`` in ``free``; the other arguments are returned."""
    rest = []
    words = iter(argv)
    for word in words:
        option, equals, value = word.removeprefix("--").partition("=")
        name, _, key = option.partition(".")
        if not word.startswith("--") or name not in mappings:
            rest.append(word)
            continue
        if not equals:
            value = next(words, "--")
            if value.startswith("--"):
                raise OptionError(f"{option} needs a value")
        given = _yaml(value, option, key)
        free[name] = _with(free.get(name, mappings[name]), key, given) if key else _free(name, given, mappings[name])
    return rest


def _with(mapping: dict[str, Any] | None, key: str, value: Any) -> dict[str, Any]:
    """A copy with one value set; ``a.b`` is the key b of the mapping a."""
    first, _, deeper = key.partition(".")
    mapping = mapping or {}
    inner = mapping.get(first)
    return {**mapping, first: _with(inner if isinstance(inner, dict) else None, deeper, value) if deeper else value}


def _take_config(argv: Sequence[str]) -> tuple[Path | None, list[str]]:
    """The file after ``--config``, and the other arguments."""
    rest, files = [], []
    words = iter(argv)
    for word in words:
        option, equals, value = word.partition("=")
        if option != "--config":
            rest.append(word)
            continue
        value = value if equals else next(words, "")
        if not value or value.startswith("--"):
            raise OptionError("config needs a file: --config FILE")
        files.append(Path(value))
    if len(files) > 1:
        raise OptionError(f"--config is given {len(files)} times; give one file, and override it on the command line")
    return (files[0] if files else None), rest


def say(text: str = "") -> None:
    """One line for the person at the terminal."""
    sys.stdout.write(f"{printable(text)}\n")
    sys.stdout.flush()
