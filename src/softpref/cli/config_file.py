"""A YAML text of options: bounded, with the line of every key, and each value as its option wants it."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from softpref.data.limits import DEPTH, YAML_BYTES, YAML_DIGITS, YAML_VALUES
from softpref.errors import OptionError

# Keys in one another: ("reading", "identical").
KeyPath = tuple[str, ...]


@dataclass(frozen=True)
class ConfigFile:
    """The options of a file, and the line of each."""

    path: Path
    values: dict[Any, Any]
    lines: dict[KeyPath, int]

    def place(self, path: KeyPath) -> str:
        """``recipe.yaml: line 4``: where the option, or the group around it, is written."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.path}: line {self.lines[path]}" if path else str(self.path)


def read_config(path: Path, is_text: Callable[[KeyPath], bool]) -> ConfigFile:
    """The options of a YAML file. Where ``is_text`` is true of a key, ``no`` and ``off`` stay text.

    Raises OptionError naming the file and the line.
    """
    if not path.is_file():
        raise OptionError(f"{path}: no such file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise OptionError(f"{path}: is not UTF-8") from None
    values, lines = _load(text, str(path), is_text)
    if values is None:
        return ConfigFile(path, {}, {})
    if not isinstance(values, dict):
        what = "list" if isinstance(values, list) else "single value"
        raise OptionError(f"{path}: holds a {what}, not options; write one 'name: value' a line")
    return ConfigFile(path, values, lines)


def yaml_value(text: str, name: str) -> Any:
    """The value of a YAML text that was given for the option ``name``. Raises OptionError naming it."""
    return _load(text, name, lambda path: is_strategy((*name.split("."), *path)))[0]


def is_strategy(path: KeyPath) -> bool:
    """Whether a key wants text that YAML 1.1 takes for a switch: ``save_strategy: no``."""
    return bool(path) and path[-1].endswith("_strategy")


class _Loader(yaml.SafeLoader):
    """YAML, where 1e-6 is a number, a date is text, and a duplicate key is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Called by the library for every mapping."""
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise yaml.constructor.ConstructorError(problem=f"duplicate key {key.value}", problem_mark=key.start_mark)
            seen.add(str(key.value))
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
            problem = f"{str(node.value)!r} is not a boolean; give true or false"
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


def _load(text: str, name: str, is_text: Callable[[KeyPath], bool]) -> tuple[Any, dict[KeyPath, int]]:
    if len(text) > YAML_BYTES:
        raise OptionError(f"{name}: is longer than {YAML_BYTES // 2**20} MiB, which no options are")
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, {}
        _check_size(node)
        lines: dict[KeyPath, int] = {}
        for path, number, value in _keys(node):
            lines[path] = number
            if value.tag == _BOOL and is_text(path):
                value.tag = "tag:yaml.org,2002:str"
        if node.tag == _BOOL and is_text(()):
            return node.value, {}
        return loader.construct_document(node), lines
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark and "\n" in text else ""
        raise OptionError(f"{name}: is not YAML ({line}{error.problem})") from None
    except yaml.YAMLError as error:
        raise OptionError(f"{name}: is not YAML ({' '.join(str(error).split())})") from None
    except RecursionError:
        raise OptionError(f"{name}: is nested more than {DEPTH} deep; no options are") from None
    except (ValueError, OverflowError) as error:
        raise OptionError(f"{name}: holds a value that does not fit its type ({error})") from None
    finally:
        loader.dispose()


def _keys(node: yaml.Node, above: KeyPath = ()) -> Iterator[tuple[KeyPath, int, yaml.Node]]:
    """Every key of mappings in mappings: its path, its line from 1, its value."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            path = (*above, str(key.value))
            yield path, key.start_mark.line + 1, value
            yield from _keys(value, path)


def _check_size(root: yaml.Node) -> None:
    """Raises ConstructorError where the values, with every alias written out, are too many, too deep or without end."""
    sizes: dict[int, int | None] = {}

    def size(node: yaml.Node, depth: int) -> int:
        if depth > DEPTH:
            raise _too_much(node, f"nested more than {DEPTH} deep")
        if id(node) in sizes:
            known = sizes[id(node)]
            if known is None:
                raise _too_much(node, "an alias inside its own value")
            return known
        sizes[id(node)] = None
        below = node.value if isinstance(node, yaml.SequenceNode | yaml.MappingNode) else ()
        inner = [part for item in below for part in (item if isinstance(item, tuple) else (item,))]
        count = 1 + sum(size(part, depth + 1) for part in inner)
        if count > YAML_VALUES:
            raise _too_much(node, f"more than {YAML_VALUES:,} values once its aliases are written out")
        sizes[id(node)] = count
        return count

    size(root, 0)


def _too_much(node: yaml.Node, problem: str) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)
