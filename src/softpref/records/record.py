"""A file that one stage writes and another reads: JSON with a kind and a version, checked when it is read."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import msgspec

from softpref.data.files import write_json
from softpref.errors import InputError
from softpref.run_folder import read_json, read_lines

if TYPE_CHECKING:
    from typing_extensions import Self

KIND, VERSION = "record", "version"


@dataclass(frozen=True, kw_only=True)
class Record:
    """Base of the files' classes. A subclass names its ``kind``, the command that writes it, and the version of its layout.

    Files written before there were versions have neither kind nor version: they are version 0, read where the layout is
    still the same, and refused by the key that is not.
    """

    kind: ClassVar[str]
    written_by: ClassVar[str]
    version: ClassVar[int] = 1

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {KIND: self.kind, VERSION: self.version, **plain(self)}

    def write(self, file: str | Path) -> None:
        """The file, whole or not at all. Raises StorageError."""
        write_json(Path(file), self.as_dict())

    @classmethod
    def read(cls, file: str | Path) -> Self:
        """What ``write`` wrote. Raises InputError, naming the file and the key: it is missing, damaged, or of another kind."""
        values = read_json(Path(file))
        if values is None:
            raise InputError(f"{file}: no such file; {cls.written_by} writes it")
        return cls.from_dict(values, str(file))

    @classmethod
    def from_dict(cls, values: Any, name: str) -> Self:
        """The record that a JSON object holds; ``name`` says where it stands. Raises InputError."""
        if not isinstance(values, dict):
            raise InputError(f"{name}: expected an object as {cls.written_by} writes it, got {type(values).__name__}")
        cls._check_header(values, name)
        try:
            return msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            raise InputError(
                f"{name}: {key_and_problem(error)}; it was not written by {cls.written_by}, or was changed"
            ) from None

    @classmethod
    def _check_header(cls, values: dict[str, Any], name: str) -> None:
        kind, version = values.get(KIND, cls.kind), values.get(VERSION, 0)
        if kind != cls.kind:
            raise InputError(f"{name}: is a record of {kind!r}, not of {cls.kind!r}; {cls.written_by} writes that")
        if not isinstance(version, int) or isinstance(version, bool):
            raise InputError(f"{name}: version: expected a whole number, got {version!r}")
        if version > cls.version:
            raise InputError(f"{name}: is of version {version}, and this softpref reads {cls.version}; upgrade softpref")


def command_line() -> str:
    """The command that is running, as one would type it."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


Row = TypeVar("Row")


def read_rows(file: str | Path, kind: type[Row]) -> list[Row]:
    """The lines of a JSONL file as instances of a dataclass, none where there is no such file. Raises InputError."""
    rows = []
    for number, values in enumerate(read_lines(Path(file)), start=1):
        try:
            rows.append(msgspec.convert(values, kind))
        except msgspec.ValidationError as error:  # noqa: PERF203 (each line has its number)
            raise InputError(f"{file}: line {number}: {key_and_problem(error)}") from None
    return rows


def plain(value: Any) -> Any:
    """Dataclasses, mappings and sequences of them as what JSON knows, without what a class holds for itself."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


def key_and_problem(error: msgspec.ValidationError) -> str:
    """``Expected `int`, got `str` - at `$.a.b`` as ``a.b: expected int, got str``."""
    text, _, path = str(error).replace("`", "").partition(" - at ")
    text = text[:1].lower() + text[1:]
    key = path.removeprefix("$").removeprefix(".")
    return f"{key}: {text}" if key else text
