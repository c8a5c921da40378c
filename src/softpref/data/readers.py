"""Files become numbered rows. What the rows mean is ``validation``'s business.

A row's number is the line on which it begins, counted from 1 as an editor does: blank lines and a CSV header count. In a JSON
array and in Parquet, which have no lines, it is the row's place.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from softpref.data.delimited import read_delimited
from softpref.data.json_rows import read_json
from softpref.data.packed import unpacked
from softpref.data.tables import plain_row
from softpref.errors import Fault, InputError, OptionError
from softpref.extras import how_to_install

Rows: TypeAlias = tuple[list[tuple[int, dict[str, Any]]], list[Fault]]


def read_rows(path: Path, notes: list[str] | None = None) -> Rows:
    """Numbered rows of a file, and the faults of lines that are no rows; ``notes`` gains what was decided about its form.

    Raises InputError for a file that is not there or cannot be unpacked, or a format that is not read; OptionError where a
    package is missing.
    """
    suffix = suffix_of(path)
    if suffix not in READERS:
        raise InputError(f"{path}: the format {suffix or '(no suffix)'} is not read; give one of {', '.join(READERS)}")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    faults: list[Fault] = []
    return READERS[suffix](path, faults, [] if notes is None else notes), faults


def suffix_of(path: Path) -> str:
    """What a file's name says of its format: ``.jsonl``, ``.csv.gz``."""
    return "".join(path.suffixes[-2:]).lower() if path.suffix.lower() == ".gz" else path.suffix.lower()


def _json(path: Path, faults: list[Fault], _: list[str]) -> list[tuple[int, dict[str, Any]]]:
    with path.open("rb") as file:
        return read_json(file, faults)


def _packed(path: Path, faults: list[Fault], notes: list[str]) -> list[tuple[int, dict[str, Any]]]:
    with unpacked(path) as plain:
        return READERS[plain.suffix.lower()](plain, faults, notes)


def _parquet(path: Path, *_: list[Any]) -> list[tuple[int, dict[str, Any]]]:
    try:
        import pyarrow as pa  # type: ignore[import-untyped]
        from pyarrow import parquet
    except ImportError:
        raise OptionError(f"{path}: {how_to_install('pyarrow')}") from None
    try:
        with parquet.ParquetFile(path) as file:
            rows = [row for batch in file.iter_batches() for row in batch.to_pylist()]
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise InputError(f"{path}: is not Parquet ({next(iter(str(error).splitlines()), '')})") from None
    return [(number, plain_row(row)) for number, row in enumerate(rows, start=1)]


READERS: dict[str, Callable[[Path, list[Fault], list[str]], list[tuple[int, dict[str, Any]]]]] = {
    ".jsonl": _json,
    ".csv": read_delimited,
    ".tsv": read_delimited,
    ".json": _json,
    ".parquet": _parquet,
    ".jsonl.gz": _packed,
    ".json.gz": _packed,
    ".csv.gz": _packed,
    ".tsv.gz": _packed,
}
