"""Writing that survives a pulled plug, in JSON that every reader takes."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

CACHE_VARIABLE = "SOFTPREF_CACHE"


def cache_folder() -> Path:
    """Where caches lie unless said otherwise: $SOFTPREF_CACHE, or softpref in the user's cache folder."""
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "softpref"


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[str]]:
    """A text file that appears whole or not at all: written beside the target, flushed to disk, then moved into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Indented strict JSON, atomically."""
    with atomic_write(path) as file:
        file.write(strict_json(value, indent=2) + "\n")


def strict_json(value: Any, indent: int | None = None) -> str:
    """JSON as its standard has it: nan and the infinities, which Python would write as they are, become null."""
    try:
        return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value
