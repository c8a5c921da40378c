"""Files become rows, rows become files. What the rows mean is ``validation``'s business."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from softpref.data.files import atomic_write
from softpref.data.pairs import Completion, PairSet, PreferencePair
from softpref.data.read_options import ReadOptions
from softpref.data.validation import completions_from_rows, pairs_from_rows
from softpref.errors import DataError, Fault, InputError

Rows: TypeAlias = tuple[list[tuple[int, dict[str, Any]]], list[Fault]]


def read_pairs(path: str | Path, options: ReadOptions | None = None) -> PairSet:
    """Pairs from a JSONL or CSV file: validated, labelled where the file says how, oriented to p ≥ ½.

    Raises:
        DataError: every fault of the file together, by row and field.
        InputError: no such file, or a format that is not read.
    """
    rows, faults = _read_rows(Path(path))
    return pairs_from_rows(rows, str(path), options, faults)


def read_completions(path: str | Path) -> list[Completion]:
    """``prompt`` + ``completion`` rows from a JSONL or CSV file. Raises as ``read_pairs`` does."""
    rows, faults = _read_rows(Path(path))
    return completions_from_rows(rows, str(path), faults)


def read_training_rows(path: str | Path, options: ReadOptions | None = None) -> PairSet | list[Completion]:
    """Pairs, or completions where the file has a ``completion`` column. Raises as ``read_pairs`` does."""
    rows, faults = _read_rows(Path(path))
    return training_rows(rows, str(path), options, faults)


def training_rows(
    rows: Iterable[tuple[int, Mapping[str, Any]]],
    name: str,
    options: ReadOptions | None = None,
    faults: Iterable[Fault] = (),
) -> PairSet | list[Completion]:
    """``read_training_rows`` for rows that are in memory already."""
    rows = list(rows)
    if any("completion" in values for _, values in rows):
        return completions_from_rows(rows, name, list(faults))
    return pairs_from_rows(rows, name, options, list(faults))


def read_prompts(path: str | Path) -> list[dict[str, Any]]:
    """Rows with a ``prompt``, whatever else they hold, as they stand in the file. Raises as ``read_pairs`` does."""
    rows, faults = _read_rows(Path(path))
    for number, values in rows:
        if not isinstance(values.get("prompt"), str | list):
            faults.append(Fault(number, "prompt", "is missing", "give a string or a list of {role, content} messages"))
    if not rows and not faults:
        faults.append(Fault(0, "file", "holds no rows", "give at least one prompt"))
    if faults:
        raise DataError(str(path), faults)
    return [values for _, values in rows]


def write_rows(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """JSONL, written beside the target and moved into place: a reader never sees half a file."""
    with atomic_write(Path(path)) as file:
        for row in rows:
            file.write(row_line(row))


def row_line(row: Mapping[str, Any]) -> str:
    """One row as a line of JSONL."""
    return json.dumps(row, ensure_ascii=False) + "\n"


def pair_row(pair: PreferencePair) -> dict[str, Any]:
    """A pair as the row that ``read_pairs`` reads back."""
    row: dict[str, Any] = {"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}
    if pair.soft_label is not None:
        row["soft_label"] = pair.soft_label
    if pair.weight != 1.0:
        row["weight"] = pair.weight
    if pair.id:
        row["id"] = pair.id
    for name in ("label_source", "meta"):
        if getattr(pair, name):
            row[name] = dict(getattr(pair, name))
    if pair.swapped:
        row.setdefault("label_source", {})["sides_exchanged"] = True
    return row


def _read_rows(path: Path) -> Rows:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(READERS)
        raise InputError(f"{path}: the format {path.suffix or '(no suffix)'} is not read; give one of {known}")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    return reader(path)


def _read_jsonl(path: Path) -> Rows:
    rows: list[tuple[int, dict[str, Any]]] = []
    faults: list[Fault] = []
    for number, raw in _lines(path):
        try:
            value = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"), parse_constant=_no_constant)
        except UnicodeDecodeError:
            faults.append(Fault(number, "line", "is not UTF-8", "save the file as UTF-8"))
            continue
        except ValueError as error:
            faults.append(Fault(number, "line", f"is not JSON ({error})", "write one JSON object a line"))
            continue
        if isinstance(value, dict):
            rows.append((number, value))
        else:
            faults.append(Fault(number, "line", f"is a {type(value).__name__}", "write one JSON object a line"))
    return rows, faults


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if raw.strip():
                yield number, raw


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number in JSON")


def _read_csv(path: Path) -> Rows:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    rows: list[tuple[int, dict[str, Any]]] = []
    faults: list[Fault] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            # rows count from 1 with the header as row 1, as a spreadsheet numbers them
            for number, values in enumerate(reader, start=2):
                if None in values or None in values.values():
                    problem = f"has not the header's {len(reader.fieldnames or ())} cells"
                    faults.append(Fault(number, "row", problem, "quote commas and line breaks inside cells"))
                    continue
                rows.append((number, {key: _cell(key, cell) for key, cell in values.items()}))
    except (csv.Error, UnicodeDecodeError) as error:
        faults.append(Fault(len(rows) + 2, "row", f"cannot be read ({error})", "save the file as UTF-8 CSV"))
    return rows, faults


# An empty response is a response; an empty number is none.
_TEXT_COLUMNS = frozenset({"prompt", "chosen", "rejected", "response_1", "response_2", "completion"})


def _cell(column: str, cell: str) -> str | None:
    return cell if cell or column in _TEXT_COLUMNS else None


READERS: dict[str, Callable[[Path], Rows]] = {".jsonl": _read_jsonl, ".csv": _read_csv}
