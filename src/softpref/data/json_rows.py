"""Rows of JSON: one object a line, or one array of objects. A row's number is its line, or its place in the array."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import IO, Any, TypeAlias

from softpref.data.limits import DEPTH, too_deep
from softpref.errors import Fault

Numbered: TypeAlias = tuple[int, dict[str, Any]]


class _RepeatedKeyError(ValueError):
    """An object in which one key stands twice; ``args[0]`` is the key."""


def read_json(file: IO[bytes], faults: list[Fault]) -> list[Numbered]:
    """Numbered rows of a file whose first character says whether it is an array or lines. Adds to ``faults``."""
    start = _first_character(file)
    file.seek(0)
    if start != b"[":
        return list(_lines(file, faults))
    value = _parsed(file.read(), 1)
    if isinstance(value, Fault):
        # a file of lines whose first is a list: every line is named
        file.seek(0)
        return list(_lines(file, faults))
    return list(_items(value, faults))


def _first_character(file: IO[bytes]) -> bytes:
    for line in file:
        text = line.removeprefix(b"\xef\xbb\xbf").strip()
        if text:
            return text[:1]
    return b""


def _lines(file: IO[bytes], faults: list[Fault]) -> Iterator[Numbered]:
    for number, raw in enumerate(file, start=1):
        if raw.strip():
            yield from _row(_parsed(raw, number), number, "write one JSON object a line", faults)


def _items(values: list[Any], faults: list[Fault]) -> Iterator[Numbered]:
    for number, value in enumerate(values, start=1):
        yield from _row(value, number, "let every element be one object", faults)


def _row(value: Any, number: int, mend: str, faults: list[Fault]) -> Iterator[Numbered]:
    if isinstance(value, dict):
        deep = [key for key, one in value.items() if too_deep(one)]
        if not deep:
            yield number, value
        faults += [Fault(number, key, f"is nested more than {DEPTH} deep", "flatten it, or leave it out") for key in deep]
    else:
        faults.append(value if isinstance(value, Fault) else Fault(number, "line", f"is a {type(value).__name__}", mend))


def _parsed(raw: bytes, number: int) -> Any:
    """The value of one JSON text, or what is wrong with it. NaN and the infinities are taken: what reads them refuses them."""
    try:
        return json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"), object_pairs_hook=_unique_keys)
    except UnicodeDecodeError:
        return Fault(number, "line", "is not UTF-8", "save the file as UTF-8")
    except _RepeatedKeyError as error:
        return Fault(number, str(error), "stands twice in one object", "keep the one that is meant")
    except RecursionError:
        return Fault(number, "line", f"is nested more than {DEPTH} deep", "flatten it, or leave it out")
    except ValueError as error:
        return Fault(number, "line", f"is not JSON ({error})", "write one JSON object a line")


def _unique_keys(items: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(items)
    if len(found) < len(items):
        raise _RepeatedKeyError(repeated([key for key, _ in items])[0])
    return found


def repeated(names: list[str]) -> list[str]:
    """The names that stand there more than once."""
    return [name for name, count in Counter(names).items() if count > 1]
