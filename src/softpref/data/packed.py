"""Packed files, unpacked into a temporary one, up to a limit."""

from __future__ import annotations

import gzip
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from softpref.data.limits import UNPACKED_BYTES, UNPACKED_RATIO
from softpref.errors import InputError

_AT_ONCE = 2**20


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """A temporary file of the same name without ``.gz``.

    Raises InputError for a file that cannot be unpacked, or that grows as no text does.
    """
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / path.stem
        limit = max(UNPACKED_BYTES, UNPACKED_RATIO * path.stat().st_size)
        try:
            with gzip.open(path) as packed, plain.open("wb") as file:
                _copy(packed, file, path, limit)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{path}: cannot be unpacked ({error}); pack it anew, or give it unpacked") from None
        yield plain


def _copy(packed: gzip.GzipFile, file: IO[bytes], path: Path, limit: int) -> None:
    size = 0
    while part := packed.read(_AT_ONCE):
        size += len(part)
        if size > limit:
            raise InputError(
                f"{path}: unpacks to more than {limit // 2**20} MiB, {UNPACKED_RATIO} times its size or more, which no text "
                "does; if it is what you want, give it unpacked"
            )
        file.write(part)
