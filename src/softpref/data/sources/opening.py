"""Published rows from a file, a folder or the Hub. No remote code is run: a data set that is a script is refused."""

from __future__ import annotations

import gzip
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softpref.data.readers import READERS, Rows, read_rows
from softpref.errors import InputError, OptionError

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+\Z")
MISSING = "needs {}: pip install 'softpref[hub]'"


@dataclass(frozen=True)
class Place:
    """Where the rows lie: a file, or what ``datasets.load_dataset`` takes, a folder or a name on the Hub.

    ``subset`` is the Hub's name of a configuration; ``revision`` a branch, tag or commit. All but ``data`` are for the
    Hub and for folders: a file has no parts.
    """

    data: str
    subset: str | None = None
    data_dir: str | None = None
    split: str | None = None
    revision: str | None = None


def open_rows(place: Place) -> Rows:
    """Numbered rows, and the faults of lines that are no rows; rows without a line of their own count from 1.

    Raises InputError for a file that is not there, a format that is not read, a data set that cannot be loaded, and parts named
    of a file; OptionError where a package is missing.
    """
    path = Path(place.data)
    if path.is_dir() or (not path.is_file() and _HUB_NAME.match(place.data) and _suffix(path) not in _FILES):
        return list(enumerate(_load(place), start=1)), []
    for name in ("subset", "data_dir", "split", "revision"):
        if getattr(place, name) is not None:
            raise OptionError(f"{name} has no effect on the file {path}: leave it out")
    if _suffix(path) not in _FILES:
        raise InputError(f"{path}: is neither one of {', '.join(_FILES)}, nor a folder, nor a name on the Hub")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    return _FILES[_suffix(path)](path)


def _suffix(path: Path) -> str:
    return "".join(path.suffixes[-2:]).lower() if path.suffix.lower() == ".gz" else path.suffix.lower()


# --- files


def _lines(path: Path) -> Rows:
    with _as_jsonl(path) as plain:
        return read_rows(plain)


@contextmanager
def _as_jsonl(path: Path) -> Iterator[Path]:
    """Lines of JSON by another name, or packed, where the reader looks for them."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "rows.jsonl"
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as packed, plain.open("wb") as file:
            try:
                shutil.copyfileobj(packed, file)
            except (EOFError, gzip.BadGzipFile) as error:
                raise InputError(f"{path}: cannot be unpacked ({error})") from None
        yield plain


def _parquet(path: Path) -> Rows:
    try:
        import pyarrow as pa  # type: ignore[import-untyped]
        from pyarrow import parquet
    except ImportError:
        raise OptionError(f"{path}: {MISSING.format('pyarrow')}") from None
    try:
        with parquet.ParquetFile(path) as file:
            rows = [row for batch in file.iter_batches() for row in batch.to_pylist()]
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: is not Parquet ({_first_line(error)})") from None
    return list(enumerate(rows, start=1)), []


_FILES: dict[str, Callable[[Path], Rows]] = {
    **READERS,
    ".json": _lines,
    ".json.gz": _lines,
    ".jsonl.gz": _lines,
    ".parquet": _parquet,
}


# --- folders and the Hub


def _load(place: Place) -> Iterator[dict[str, Any]]:
    try:
        import datasets
    except ImportError:
        raise OptionError(f"{place.data}: {MISSING.format('datasets')}") from None
    try:
        found = datasets.load_dataset(
            place.data, place.subset, data_dir=place.data_dir, split=place.split or "train", revision=place.revision
        )
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise InputError(f"{place.data}: cannot be loaded: {_first_line(error)}") from error
    return iter(found)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
