"""Published rows from a file, a folder or the Hub. No remote code is run: a data set that is a script is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softpref.data.readers import READERS, Rows, read_rows, suffix_of
from softpref.errors import InputError, OptionError, first_line
from softpref.extras import how_to_install

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+\Z")


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
    if path.is_dir() or (not path.is_file() and _HUB_NAME.match(place.data) and suffix_of(path) not in READERS):
        return list(enumerate(_load(place), start=1)), []
    for name in ("subset", "data_dir", "split", "revision"):
        if getattr(place, name) is not None:
            raise OptionError(f"{name} has no effect on the file {path}: leave it out")
    if suffix_of(path) not in READERS:
        raise InputError(f"{path}: is neither one of {', '.join(READERS)}, nor a folder, nor a name on the Hub")
    return read_rows(path)


# --- folders and the Hub


def _load(place: Place) -> Iterator[dict[str, Any]]:
    try:
        import datasets
    except ImportError:
        raise OptionError(f"{place.data}: {how_to_install('datasets')}") from None
    try:
        found = datasets.load_dataset(
            place.data, place.subset, data_dir=place.data_dir, split=place.split or "train", revision=place.revision
        )
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise InputError(f"{place.data}: cannot be loaded: {first_line(error)}") from error
    return iter(found)
