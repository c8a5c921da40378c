"""Where rows lie: a file, several files, a folder of files, a folder that ``datasets`` saved, or a name on the Hub.

A name on the Hub, and a saved folder with several splits, may be followed by its split: ``org/name:train``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from softpref.data.pairs import Reading
from softpref.data.read_options import ReadOptions
from softpref.data.readers import READERS, Rows, read_rows, suffix_of
from softpref.data.tables import is_table, plain_row, table_rows
from softpref.errors import Fault, InputError, OptionError, RowNumber
from softpref.extras import how_to_install

Data: TypeAlias = "str | Path | Sequence[str]"
_HUB_NAME = re.compile(r"([\w.-]+/[\w.-]+?)(?::([\w.-]+))?\Z")
_SAVED = ("dataset_info.json", "dataset_dict.json")
# Parts of names that tell the splits of one data set apart.
_SPLITS = {
    "train": "train",
    "test": "test",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
}
_SPLIT_WORD = re.compile(rf"(?:\A|[-_.])({'|'.join(_SPLITS)})(?=[-_.]|\Z)", re.IGNORECASE)


def read_place(data: Any, options: ReadOptions | None = None, notes: list[str] | None = None) -> Rows:
    """Numbered rows of whatever ``data`` names, and the faults of lines that are no rows; ``notes`` gains what was decided.

    ``data`` may also be a table that is in memory (``tables.is_table``). Rows of several files know their file.

    Raises InputError for what is not there or is not read, OptionError for a split that is missing or has no effect.
    """
    if is_table(data):
        return list(enumerate(table_rows(data), start=1)), []
    paths = [Path(one) for one in (data if isinstance(data, list | tuple) else [data])]
    _refuse_repeats(paths)
    options, notes = options or ReadOptions(), [] if notes is None else notes
    named = {name: getattr(options, name) for name in ("split", "subset", "revision")}
    parts = [_read_one(path, named, notes) for path in paths]
    if len(parts) == 1:
        return parts[0]
    return _joined(zip(paths, parts, strict=True))


def data_name(data: Any) -> str:
    """What messages and records call it."""
    if is_table(data):
        return f"a {type(data).__name__}"
    return ", ".join(map(str, data)) if isinstance(data, list | tuple) else str(data)


def with_prior_of(options: ReadOptions, reading: Reading) -> ReadOptions:
    """Options with the vote prior that was fitted to another data set, where they would fit one themselves.

    So that equal votes are equal labels in both: a prior that is fitted twice is two different ones.
    """
    fits = options.votes == "prior" and options.vote_prior is None
    return replace(options, vote_prior=reading.vote_prior) if fits else options


def held_out_options(options: ReadOptions, reading: Reading) -> ReadOptions:
    """Options for a second data set that is held against one that was read: the same, with the prior that was fitted there.

    A split is the first one's alone.
    """
    return replace(with_prior_of(options, reading), split=None, subset=None, revision=None)


def is_hub_name(path: Path) -> bool:
    """Whether a path that does not exist has the form of a name on the Hub."""
    return not path.exists() and suffix_of(path) not in READERS and _HUB_NAME.match(str(path)) is not None


def _refuse_repeats(paths: Sequence[Path]) -> None:
    for path in paths:
        if paths.count(path) > 1:
            raise OptionError(f"data: {path} is given twice")


def _joined(parts: Iterable[tuple[Path, Rows]]) -> Rows:
    rows: list[tuple[int, dict[str, Any]]] = []
    faults: list[Fault] = []
    for path, (more, wrong) in parts:
        rows += [(_in_file(number, path), row) for number, row in more]
        faults += [Fault(_in_file(fault.row, path), fault.field, fault.problem, fault.mend) for fault in wrong]
    return rows, faults


def _in_file(number: int, path: Path) -> RowNumber:
    return RowNumber(number, getattr(number, "record", number), getattr(number, "file", "") or str(path))


def _read_one(path: Path, named: dict[str, str | None], notes: list[str]) -> Rows:
    if is_hub_name(path):
        return _numbered(_from_hub(str(path), named)), []
    folder, split = _with_split(path, named["split"])
    if folder.is_dir() and any((folder / name).is_file() for name in _SAVED):
        _refuse_parts(path, {**named, "split": None})
        return _numbered(_saved(folder, split)), []
    if path.is_dir():
        _refuse_parts(path, {**named, "split": None})
        return _folder(path, named["split"], notes)
    _refuse_parts(path, named)
    return read_rows(path, notes)


def _with_split(path: Path, split: str | None) -> tuple[Path, str | None]:
    name, colon, last = str(path).rpartition(":")
    if colon and not path.exists() and Path(name).is_dir():
        return Path(name), last
    return path, split


def _refuse_parts(path: Path, named: dict[str, str | None]) -> None:
    for name, value in named.items():
        if value is not None:
            raise OptionError(f"{name} has no effect on {path}, which has no such parts: leave it out")


def _numbered(dataset: Any) -> list[tuple[int, dict[str, Any]]]:
    return [(number, plain_row(row)) for number, row in enumerate(dataset, start=1)]


# --- folders


def _files_in(folder: Path) -> list[Path]:
    hidden = [file for file in folder.rglob("*") if any(part.startswith(".") for part in file.relative_to(folder).parts)]
    return sorted(file for file in folder.rglob("*") if file.is_file() and file not in hidden and suffix_of(file) in READERS)


def _folder(folder: Path, split: str | None, notes: list[str]) -> Rows:
    """All files of a folder that are read, or those of one split."""
    files = _files_in(folder)
    if not files:
        raise InputError(f"{folder}: holds no file that is read ({', '.join(READERS)})")
    splits = {file: _split_of(file.relative_to(folder)) for file in files}
    known = sorted({name for name in splits.values() if name})
    wanted = None if split is None else _SPLITS.get(split, split)
    if wanted is None and len(known) > 1:
        raise OptionError(f"{folder}: holds {' and '.join(known)}: give --reading.split, or one file")
    if wanted is not None and wanted not in known:
        raise OptionError(f"{folder}: no file's name says that it is {split}")
    chosen = [file for file in files if wanted is None or splits[file] == wanted]
    notes.append(f"{len(chosen)} files of {folder}" if len(chosen) > 1 else str(chosen[0]))
    return _joined([(file, read_rows(file, notes)) for file in chosen])


def _split_of(file: Path) -> str | None:
    found = [_SPLITS[word.lower()] for part in file.parts for word in _SPLIT_WORD.findall(part)]
    return found[-1] if found else None


def _saved(folder: Path, split: str | None) -> Any:
    """What ``save_to_disk`` wrote, memory-mapped."""
    datasets = _datasets(str(folder))
    try:
        found = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise InputError(f"{folder}: cannot be loaded: {_first_line(error)}") from error
    if isinstance(found, dict):
        return found[_only_split(str(folder), list(found), split)]
    if split is not None:
        raise OptionError(f"{folder}: has no splits: leave out split")
    return found


# --- the Hub


def _from_hub(data: str, named: dict[str, str | None]) -> Any:
    """A data set of the Hub, memory-mapped from the local cache. No script is run: ``datasets`` 4 and later have none."""
    datasets = _datasets(data)
    match = _HUB_NAME.match(data)
    name, split = (match[1], match[2] or named["split"]) if match else (data, named["split"])
    subset, revision = named["subset"], named["revision"]
    try:
        if split is None:
            split = _only_split(name, datasets.get_dataset_split_names(name, subset, revision=revision), None)
        return datasets.load_dataset(name, subset, split=split, revision=revision)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        problem = "is no file here, and cannot be loaded from the Hub"
        raise InputError(f"{data}: {problem}: {_first_line(error)}") from error


def _only_split(name: str, splits: Sequence[str], wanted: str | None) -> str:
    if wanted is None and len(splits) == 1:
        return splits[0]
    if wanted is not None and wanted in splits:
        return wanted
    given = "has several splits" if wanted is None else f"has no split {wanted!r}"
    raise OptionError(f"{name}: {given}: give one of {', '.join(splits)} as {name}:{splits[0]} (or --reading.split)")


def _datasets(data: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise OptionError(f"{data}: {how_to_install('datasets')}") from None
    return datasets


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
