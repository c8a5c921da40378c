"""No command writes over what it reads: its outputs are compared with its inputs before anything is read or paid for."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from softpref.data.files import writing
from softpref.errors import OptionError

# A path by the name of its option; None where the option is not given.
Named: TypeAlias = Mapping[str, "str | Path | Sequence[str] | None"]


def check_outputs(inputs: Named, files: Named | None = None, folders: Named | None = None) -> None:
    """Refuse outputs that are one of the inputs, are one another, or cannot be written.

    Two paths are one file however they are spelt: relative, through a symbolic link, or as two names of one file (hard link).
    An input that is no path at all, such as a name on the Hub, is none of the outputs.

    Raises OptionError for an output that is an input, StorageError for a place that takes no file.
    """
    seen = [(name, path) for name, value in inputs.items() for path in _paths(value)]
    for name, path in _named(folders):
        _check_folder(name, path, seen)
    for name, path in _named(files):
        _check_file(name, path, seen)
        seen.append((name, path))


def _paths(value: str | Path | Sequence[str] | None) -> list[Path]:
    """One path, several, or none."""
    values = [] if value is None else [value] if isinstance(value, str | Path) else value
    return [Path(one) for one in values]


def _named(outputs: Named | None) -> list[tuple[str, Path]]:
    return [(name, path) for name, value in (outputs or {}).items() for path in _paths(value)]


def _check_file(name: str, path: Path, seen: Sequence[tuple[str, Path]]) -> None:
    for other, used in seen:
        if is_same(path, used):
            spelt = "" if str(path) == str(used) else f" (as {path})"
            raise OptionError(f"{name} is the {other} file {used}{spelt}, which would be overwritten; give another file")
        if other == "data" and used.is_dir() and used.resolve() in path.resolve().parents:
            raise OptionError(f"{name} is {path}, in the folder {used} whose files are the data; give another place")
    if path.is_dir():
        raise OptionError(f"{name} is {str(path)!r}, which is a folder; name a file")
    _check_place(path)


def _check_folder(name: str, path: Path, seen: Sequence[tuple[str, Path]]) -> None:
    for other, used in seen:
        if used.is_dir() and is_same(path, used):
            raise OptionError(f"{name} is the {other} folder {used}, whose files would be overwritten; give another folder")
    if path.exists() and not path.is_dir():
        raise OptionError(f"{name} is {str(path)!r}, which is a file; name a folder")
    _check_place(path / "file")


def is_same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file or folder, or would."""
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    try:
        return one.samefile(other)
    except OSError:
        return False


def _check_place(path: Path) -> None:
    """Raises StorageError where the nearest folder that exists is a file, or may not be written to."""
    with writing(path):
        above = next(folder for folder in path.absolute().parents if folder.exists())
        if not above.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(above))
        if not os.access(above, os.W_OK):
            number = errno.EROFS if os.statvfs(above).f_flag & os.ST_RDONLY else errno.EACCES
            raise OSError(number, os.strerror(number), str(above))
