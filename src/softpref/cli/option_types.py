"""Values of options: what a type hint accepts, from YAML or from a word of the command line, and what it is called."""

from __future__ import annotations

import re
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from softpref.cli.config_file import yaml_value
from softpref.errors import OptionError, nearest

_SWITCHES = {"true": True, "false": False}
_NUMBERS = {
    int: re.compile(r"[-+]?\d{1,20}\Z"),
    float: re.compile(r"[-+]?(\d+\.?\d*([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?|\.?inf|\.?nan)\Z"),
}
# A scalar's name, and the placeholder of its value in the help.
_NAMES = {str: "text in quotes", int: "a whole number", float: "a number", bool: "true or false"}
_PLACEHOLDERS = {str: "TEXT", int: "N", float: "X", bool: "true|false"}


def members(hint: Any) -> tuple[Any, ...]:
    """The alternatives of ``A | B``; a hint without any is its own."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def hints_of(options: type) -> dict[str, Any]:
    """The type of every option, by name."""
    return get_type_hints(options)


def is_switch(hint: Any) -> bool:
    """Whether ``--name`` alone means true."""
    return bool in members(hint)


def is_mapping(hint: Any) -> bool:
    """Whether the option takes any keys: ``--train.KEY VALUE``."""
    return any(get_origin(member) is dict for member in members(hint))


def is_list(hint: Any) -> bool:
    """Whether the option takes several values: ``[a, b]`` or ``a,b``."""
    return any(get_origin(member) in (list, tuple) for member in members(hint))


def value_hint(hint: Any) -> Any:
    """The type of a mapping's values."""
    [mapping] = [member for member in members(hint) if get_origin(member) is dict]
    return get_args(mapping)[1]


def wants_text(hint: Any) -> bool:
    """Whether ``no`` and ``off`` are text here: the option takes text or one of several words, and is no switch."""
    return not is_switch(hint) and any(member is str or get_origin(member) is Literal for member in members(hint))


def choices(hint: Any) -> tuple[str, ...]:
    """The words of a ``Literal``; none for another type."""
    return tuple(str(word) for member in members(hint) if get_origin(member) is Literal for word in get_args(member))


def converted(hint: Any, value: Any, name: str) -> Any:
    """A value of YAML as the option wants it. Raises OptionError naming what the option takes."""
    for member in members(hint):
        if _fits(member, value):
            return _as(member, value, name)
    raise OptionError(f"{name} is {value!r}{_wanted(hint, value)}")


def from_word(hint: Any, word: str, name: str) -> Any:
    """A word of the command line as the option wants it. Raises OptionError naming what the option takes."""
    if word == "null" and type(None) in members(hint):
        return None
    listed = word.startswith("[") and word.endswith("]")
    if is_list(hint) and str in members(hint) and not listed:
        return word
    if is_list(hint) and not listed:
        return converted(hint, [_plain(item_hint(hint), part.strip()) for part in word.split(",")], name)
    if is_list(hint) or is_mapping(hint) or hint is Any:
        return converted(hint, yaml_value(word, name), name)
    return converted(hint, _plain(hint, word), name)


def item_hint(hint: Any) -> Any:
    """The type of a list's items; of a tuple with several types, the first."""
    return next(get_args(member)[0] for member in members(hint) if get_origin(member) in (list, tuple))


def _plain(hint: Any, word: str) -> Any:
    """A number or a switch where the hint has one and the word is one; else the word."""
    types = members(hint)
    for kind in (int, float):
        if kind in types and _NUMBERS[kind].match(word):
            return kind(word.replace(".inf", "inf").replace(".nan", "nan"))
    return _SWITCHES.get(word.lower(), word) if bool in types else word


def _fits(hint: Any, value: Any) -> bool:
    """Whether the value is of the kind; items of lists and mappings are looked at later."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    kind = get_origin(hint) or hint
    if kind in (int, float) and isinstance(value, bool):
        return False
    kinds: dict[Any, Any] = {Any: object, float: (int, float), tuple: (list, tuple)}
    return isinstance(value, kinds.get(kind, kind))


def _as(hint: Any, value: Any, name: str) -> Any:
    if get_origin(hint) is dict:
        return _as_mapping(get_args(hint)[1], value, name)
    if get_origin(hint) in (list, tuple):
        return _as_list(hint, value, name)
    return float(value) if hint is float else value


def _as_mapping(hint: Any, value: dict[Any, Any], name: str) -> dict[str, Any]:
    for key in value:
        if not isinstance(key, str):
            raise OptionError(f"{name}: keys must be text, got {key!r}; put it in quotes")
    return {key: converted(hint, item, f"{name}.{key}") for key, item in value.items()}


def _as_list(hint: Any, value: list[Any] | tuple[Any, ...], name: str) -> Any:
    kinds = [kind for kind in get_args(hint) if kind is not Ellipsis]
    if len(kinds) > 1 and len(value) != len(kinds):
        raise OptionError(f"{name} is {list(value)!r}; give {len(kinds)} values")
    kinds = kinds if len(kinds) > 1 else kinds * len(value)
    return get_origin(hint)(converted(kind, item, name) for kind, item in zip(kinds, value, strict=True))


def _wanted(hint: Any, value: Any) -> str:
    if words := choices(hint):
        return nearest(str(value), words)
    return f"; give {type_name(hint)}"


def type_name(hint: Any) -> str:
    """What an option takes: ``a number or null``."""
    return " or ".join(_NAMES.get(member) or _compound_name(member) for member in members(hint))


def _compound_name(hint: Any) -> str:
    if hint is type(None):
        return "null"
    if get_origin(hint) in (list, tuple):
        return "a list: [A, B]"
    if get_origin(hint) is dict:
        return "a mapping: {name: value}"
    return "a value"


def placeholder(hint: Any) -> str:
    """What stands for the value in the help: ``N``, ``{sum,mean}``."""
    if words := choices(hint):
        return f"{{{','.join(words)}}}"
    kinds = [member for member in members(hint) if member is not type(None)]
    if is_list(hint) and str not in kinds:
        return f"{placeholder(item_hint(hint))},…"
    kinds = [kind for kind in kinds if get_origin(kind) not in (list, tuple)]
    return "{…}" if is_mapping(hint) else "|".join(_PLACEHOLDERS.get(kind, "VALUE") for kind in kinds)
