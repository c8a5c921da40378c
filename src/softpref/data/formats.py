"""Files become validated pairs, completions or prompts; pairs become files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from softpref.data.files import atomic_write, strict_json
from softpref.data.pairs import Completion, PairSet
from softpref.data.read_options import ReadOptions
from softpref.data.readers import read_rows
from softpref.data.validation import completions_from_rows, pairs_from_rows, prompts_from_rows
from softpref.errors import Fault


def read_pairs(path: str | Path, options: ReadOptions | None = None) -> PairSet:
    """Pairs from a file: validated, labelled where the file says how, oriented to p ≥ ½.

    Raises:
        DataError: every fault of the file together, by row and field.
        InputError: no such file, or a format that is not read.
    """
    notes: list[str] = []
    rows, faults = read_rows(Path(path), notes)
    return pairs_from_rows(rows, str(path), options, faults, notes)


def read_completions(path: str | Path) -> list[Completion]:
    """``prompt`` + ``completion`` rows from a file. Raises as ``read_pairs`` does."""
    rows, faults = read_rows(Path(path))
    return completions_from_rows(rows, str(path), faults)


def read_training_rows(path: str | Path, options: ReadOptions | None = None) -> PairSet | list[Completion]:
    """Pairs, or completions where the file has a ``completion`` column. Raises as ``read_pairs`` does."""
    notes: list[str] = []
    rows, faults = read_rows(Path(path), notes)
    return training_rows(rows, str(path), options, faults, notes)


def training_rows(
    rows: Iterable[tuple[int, Mapping[str, Any]]],
    name: str,
    options: ReadOptions | None = None,
    faults: Iterable[Fault] = (),
    notes: Sequence[str] = (),
) -> PairSet | list[Completion]:
    """``read_training_rows`` for rows that are in memory already."""
    rows = list(rows)
    if any(values.get("completion") is not None for _, values in rows):
        return completions_from_rows(rows, name, list(faults))
    return pairs_from_rows(rows, name, options, list(faults), notes)


def read_prompts(path: str | Path) -> list[dict[str, Any]]:
    """Rows with a ``prompt``, whatever else they hold, as they stand in the file. Raises as ``read_pairs`` does."""
    return [values for _, values in read_numbered_prompts(path)]


def read_numbered_prompts(path: str | Path) -> list[tuple[int, dict[str, Any]]]:
    """``read_prompts``, each row with its number in the file, for messages that name it."""
    rows, faults = read_rows(Path(path))
    return prompts_from_rows(rows, str(path), faults)


def write_rows(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """JSONL, written beside the target and moved into place: a reader never sees half a file."""
    with atomic_write(Path(path)) as file:
        for row in rows:
            file.write(row_line(row))


def row_line(row: Mapping[str, Any]) -> str:
    """One row as a line of JSONL; nan and infinities become null."""
    return strict_json(row) + "\n"
