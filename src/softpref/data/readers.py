"""Files become numbered rows. What the rows mean is ``validation``'s business.

A row's number is the line on which it begins, counted from 1 as an editor does: blank lines and a CSV header count. In
JSONL that is the row; in a CSV file whose cells hold line breaks a spreadsheet, which counts records, shows a lower one.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from softpref.errors import Fault, InputError

Rows: TypeAlias = tuple[list[tuple[int, dict[str, Any]]], list[Fault]]


def read_rows(path: Path) -> Rows:
    """Numbered rows of a JSONL or CSV file, and the faults of lines that are no rows.

    Raises InputError for a file that is not there, or a format that is not read.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(READERS)
        raise InputError(f"{path}: the format {path.suffix or '(no suffix)'} is not read; give one of {known}")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    return reader(path)


# --- JSONL


class _RepeatedKeyError(ValueError):
    """An object in which one key stands twice; ``args[0]`` is the key."""


def _read_jsonl(path: Path) -> Rows:
    rows: list[tuple[int, dict[str, Any]]] = []
    faults: list[Fault] = []
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if not raw.strip():
                continue
            value = _json_row(raw, number)
            if isinstance(value, Fault):
                faults.append(value)
            else:
                rows.append((number, value))
    return rows, faults


def _json_row(raw: bytes, number: int) -> dict[str, Any] | Fault:
    try:
        text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        value = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique_keys)
    except UnicodeDecodeError:
        return Fault(number, "line", "is not UTF-8", "save the file as UTF-8")
    except _RepeatedKeyError as error:
        return Fault(number, str(error), "stands twice in one object", "keep the one that is meant")
    except (ValueError, RecursionError) as error:
        return Fault(number, "line", f"is not JSON ({error})", "write one JSON object a line")
    if isinstance(value, dict):
        return value
    return Fault(number, "line", f"is a {type(value).__name__}", "write one JSON object a line")


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number in JSON")


def _unique_keys(items: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(items)
    if len(found) < len(items):
        raise _RepeatedKeyError(_repeated([key for key, _ in items])[0])
    return found


def _repeated(names: list[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


# --- CSV


def _read_csv(path: Path) -> Rows:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    rows: list[tuple[int, dict[str, Any]]] = []
    faults: list[Fault] = []
    # bytes that are not UTF-8 become lone surrogates, so that the cell that holds them can be named
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        records = _records(file, faults)
        number, header = next(records, (0, []))
        if not _is_utf8("".join(header)):
            return [], [Fault(number, "header", "is not UTF-8", "save the file as UTF-8 CSV")]
        mend = "give every column a name of its own"
        faults += [Fault(number, name, "stands twice in the header", mend) for name in _repeated(header)]
        for number, cells in records:
            found = _cell_faults(number, header, cells)
            faults += found
            if not found:
                rows.append((number, {key: _cell(key, cell) for key, cell in zip(header, cells, strict=True)}))
    return rows, faults


def _records(file: Any, faults: list[Fault]) -> Iterator[tuple[int, list[str]]]:
    """Records with the number of their first line, without blank lines, up to the first that cannot be read."""
    reader = csv.reader(file, strict=True)
    first = 1
    try:
        for cells in reader:
            if cells:
                yield first, cells
            first = reader.line_num + 1
    except csv.Error as error:
        mend = "close every quote, and double those inside a cell"
        faults.append(Fault(first, "row", f"cannot be read ({error})", mend))


def _cell_faults(number: int, header: list[str], cells: list[str]) -> list[Fault]:
    if len(cells) != len(header):
        problem = f"has not the header's {len(header)} cells"
        return [Fault(number, "row", problem, "quote commas and line breaks inside cells")]
    return [
        Fault(number, name, "is not UTF-8", "save the file as UTF-8 CSV")
        for name, cell in zip(header, cells, strict=True)
        if not _is_utf8(cell)
    ]


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# An empty response is a response; an empty number is none.
_TEXT_COLUMNS = frozenset({"prompt", "chosen", "rejected", "response_1", "response_2", "completion"})


def _cell(column: str, cell: str) -> str | list[Any] | None:
    if not cell and column not in _TEXT_COLUMNS:
        return None
    messages = _messages(cell)
    return cell if messages is None else messages


def _messages(cell: str) -> list[Any] | None:
    """The messages in a cell, which has no other way of holding them than JSON.

    Only a list of objects of which one has a role or content counts: a story in brackets is a story, other JSON is text.
    """
    if not cell.lstrip().startswith("[{"):
        return None
    try:
        parsed = json.loads(cell)
    except (ValueError, RecursionError):
        return None
    found = isinstance(parsed, list) and any(isinstance(one, dict) and one.keys() & {"role", "content"} for one in parsed)
    return parsed if found else None


READERS: dict[str, Callable[[Path], Rows]] = {".jsonl": _read_jsonl, ".csv": _read_csv}
