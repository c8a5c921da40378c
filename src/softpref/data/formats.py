"""Files become validated pairs, completions or prompts; pairs become files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from softpref.data.files import atomic_write, strict_json
from softpref.data.pairs import Completion, PairSet
from softpref.data.places import Data, data_name, read_place
from softpref.data.read_options import ReadOptions
from softpref.data.validation import completions_from_rows, pairs_from_rows, prompts_from_rows
from softpref.errors import Fault


def read_pairs(data: Data, options: ReadOptions | None = None) -> PairSet:
    """Pairs from a file: validated, labelled where the file says how, oriented to p ≥ ½.

    Args:
        data: a file, several, a folder, a name on the Hub (``places.read_place``), or a table in memory: ``datasets.Dataset``,
            pandas, Arrow.

    Raises:
        DataError: every fault of the file together, by row and field.
        InputError: no such file, or a format that is not read.
    """
    notes: list[str] = []
    rows, faults = read_place(data, options, notes)
    return pairs_from_rows(rows, data_name(data), options, faults, notes)


def read_completions(data: Data, options: ReadOptions | None = None) -> list[Completion]:
    """``prompt`` + ``completion`` rows, from what ``read_pairs`` takes. Raises as it does."""
    rows, faults = read_place(data, options)
    return completions_from_rows(rows, data_name(data), faults, options)


def read_training_rows(data: Data, options: ReadOptions | None = None) -> PairSet | list[Completion]:
    """Pairs, or completions where the file has a ``completion`` column. Raises as ``read_pairs`` does."""
    notes: list[str] = []
    rows, faults = read_place(data, options, notes)
    return training_rows(rows, data_name(data), options, faults, notes)


def training_rows(
    rows: Iterable[tuple[int, Mapping[str, Any]]],
    name: str,
    options: ReadOptions | None = None,
    faults: Iterable[Fault] = (),
    notes: Sequence[str] = (),
) -> PairSet | list[Completion]:
    """``read_training_rows`` for rows that are in memory already."""
    rows, completion = list(rows), (options or ReadOptions()).columns.get("completion", "completion")
    if any(values.get(completion) is not None for _, values in rows):
        return completions_from_rows(rows, name, list(faults), options)
    return pairs_from_rows(rows, name, options, list(faults), notes)


def read_prompts(data: Data, options: ReadOptions | None = None) -> list[dict[str, Any]]:
    """Rows with a ``prompt``, whatever else they hold, as they stand in the file. Raises as ``read_pairs`` does."""
    return [values for _, values in read_numbered_prompts(data, options)]


def read_numbered_prompts(data: Data, options: ReadOptions | None = None) -> list[tuple[int, dict[str, Any]]]:
    """``read_prompts``, each row with its number in the file, for messages that name it."""
    rows, faults = read_place(data, options)
    return prompts_from_rows(rows, data_name(data), faults, options)


def write_rows(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """JSONL, written beside the target and moved into place: a reader never sees half a file."""
    with atomic_write(Path(path)) as file:
        for row in rows:
            file.write(row_line(row))


def row_line(row: Mapping[str, Any]) -> str:
    """One row as a line of JSONL; nan and infinities become null."""
    return strict_json(row) + "\n"
