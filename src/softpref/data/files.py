"""The one way files are written: whole or not at all, and a disk that refuses is one message.

JSON is written so that every reader takes it.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
import socket
import stat
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any

from softpref.errors import StorageError

CACHE_VARIABLE = "SOFTPREF_CACHE"

_AGAIN = "make room, and run the command again"
# errno: what is wrong, what to do
_REASONS = {
    errno.ENOSPC: ("the disk is full", _AGAIN),
    errno.EDQUOT: ("the disk quota is used up", _AGAIN),
    errno.EFBIG: ("the file would be larger than this system allows", "raise the limit (ulimit -f), and run the command again"),
    errno.EROFS: ("the disk is read-only", "give a place that can be written"),
    errno.EACCES: ("permission denied", "give a place that you may write to"),
    errno.EPERM: ("operation not permitted", "give a place that you may write to"),
    errno.EISDIR: ("it is a folder", "give the name of a file"),
    errno.ENOENT: ("its folder is gone, or takes no files", "give another place"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "give another place"),
    errno.EEXIST: ("a part of the path is a file, not a folder", "give another place"),
    errno.ENAMETOOLONG: ("the name is too long", "give a shorter one"),
    errno.ELOOP: ("the path is a loop of links", "give another place"),
    errno.EIO: ("the disk reports a fault", "check the disk, and run the command again"),
    errno.ESTALE: ("the network disk has lost the file", "run the command again"),
}
# How libraries written in Rust (safetensors, tokenizers) name an errno.
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
# torch.save keeps the errno to itself.
_TORCH_WRITER = re.compile(r"PytorchStreamWriter failed|unexpected pos|inline_container")
# Less free space than this, in bytes, is a full disk, where a library only says that writing failed.
_FULL = 1 << 16
UNCHANGED = "what was there before is unchanged"
# Suffix of a file that is being written.
PART = ".part"


def cache_folder() -> Path:
    """Where caches lie unless said otherwise: $SOFTPREF_CACHE, or softpref in the user's cache folder."""
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "softpref"


# --- what a disk refuses --------------------------------------------------------------------------------------------------


def storage_reason(error: BaseException, path: Path) -> tuple[str, str] | None:
    """What is wrong with the disk that ``path`` is on, and what to do; None where the error is no fault of storage.

    Reads the errno of an OSError, and the text of safetensors', tokenizers' and torch's errors.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return _REASONS.get(error.errno)
    if number := _OS_ERROR.search(str(error)):
        return _REASONS.get(int(number[1]))
    if isinstance(error, RuntimeError) and _TORCH_WRITER.search(str(error)):
        return _REASONS[errno.ENOSPC] if is_full(path) else ("writing failed", "check the disk, and run the command again")
    return None


def is_full(path: Path) -> bool:
    """Whether the disk that holds ``path``, or would hold it, has no room left."""
    there = next((one for one in (path, *path.absolute().parents) if one.exists()), Path("/"))
    return shutil.disk_usage(there).free < _FULL


@contextmanager
def writing(path: Path, safe: str = UNCHANGED) -> Iterator[None]:
    """In here, what the disk refuses is a StorageError that names ``path`` and says what is ``safe``.

    An error about another file, and any error that is no fault of storage, passes.
    """
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        reason = storage_reason(error, path)
        if reason is None or not _concerns(error, path):
            raise
        what, mend = reason
        raise StorageError(f"{path}: cannot be written: {what}; {mend}. {safe[0].upper()}{safe[1:]}") from error


def _concerns(error: Exception, path: Path) -> bool:
    """Whether the error names no file, or ``path``: what lies in it, a folder that holds it, or a part file beside it."""
    path = path.absolute()
    given = [name for name in (getattr(error, "filename", None), getattr(error, "filename2", None)) if name]
    names = [Path(os.fsdecode(name)).absolute() for name in given]
    return not names or any(name == path or name in path.parents or path in name.parents or _is_part(name) for name in names)


def _is_part(name: Path) -> bool:
    return name.name.startswith(".") and name.suffix == PART


# --- writing --------------------------------------------------------------------------------------------------------------


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[str]]:
    """A text file that appears whole or not at all; see ``atomic_bytes``."""
    with atomic_bytes(path) as file:
        text = TextIOWrapper(file, encoding="utf-8", newline="")
        try:
            yield text
            text.flush()
        finally:
            with suppress(OSError, ValueError):
                text.detach()


@contextmanager
def atomic_bytes(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears whole or not at all: written beside the target, flushed to disk, then moved into its place.

    A link is followed, the permissions of a file that was there stay, and a device or a pipe is written to as it is.
    Raises StorageError where the disk refuses; the earlier file is then unchanged, and nothing is left beside it.
    """
    with writing(path):
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if target.exists() and not target.is_file():
            with target.open("wb") as file:
                yield file
                file.flush()
            return
        _remove_leftovers(target)
        beside = target.with_name(f"{_leftover_prefix(target)}{os.getpid()}.{uuid.uuid4().hex[:8]}{PART}")
        try:
            with beside.open("xb") as file:
                _like_before(file, target)
                yield file
                file.flush()
                os.fsync(file.fileno())
            beside.replace(target)
            sync_folder(target.parent)
        finally:
            beside.unlink(missing_ok=True)


def _like_before(file: IO[bytes], target: Path) -> None:
    if target.is_file():
        with suppress(OSError):
            os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))


def _leftover_prefix(target: Path) -> str:
    """Names the target and this machine; a name that is long already is cut."""
    return f".{os.fsdecode(os.fsencode(target.name)[:120])}.{zlib.crc32(socket.gethostname().encode()):08x}."


def _remove_leftovers(target: Path) -> None:
    """What processes of this machine that were killed while they wrote this file have left beside it."""
    prefix = _leftover_prefix(target)
    for file in target.parent.iterdir():
        if file.name.startswith(prefix) and file.suffix == PART:
            pid = file.name.removeprefix(prefix).partition(".")[0]
            if pid.isdigit() and not is_alive(int(pid)):
                file.unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    """Whether a process of this machine has this number."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def sync_folder(folder: Path) -> None:
    """Have the folder's entries on disk, where the system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def append_text(path: Path, text: str, sync: bool = False) -> None:
    """Add text to the end of a file: all of it or, where the disk refuses, none. ``sync`` has it on disk before returning.

    Raises StorageError.
    """
    with writing(path, "what was written before is kept"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            try:
                rest = memoryview(text.encode())
                while rest:
                    rest = rest[file.write(rest) :]
                if sync:
                    os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise


def write_json(path: Path, value: Any) -> None:
    """Indented strict JSON, atomically."""
    with atomic_write(path) as file:
        file.write(strict_json(value, indent=2) + "\n")


def strict_json(value: Any, indent: int | None = None) -> str:
    """JSON as its standard has it: nan and the infinities, which Python would write as they are, become null.

    Half a surrogate pair, which UTF-8 cannot hold (in a file's name, say), is written by its number.
    """
    try:
        text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    except ValueError:
        value = _finite(value)
        text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent, allow_nan=False)
    return text


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value
