"""One writer at a time: a lock on an output that the system releases when its process ends, however it ends."""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from softpref.data.files import writing
from softpref.errors import InputError

logger = logging.getLogger(__name__)

LOCK_FILE = ".softpref.lock"

# Outputs that this process holds, and how often: a stage may hold what its caller holds.
_HELD: dict[Path, int] = {}
# What a disk without locks answers.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextmanager
def only_writer(output: str | Path, what: str, job: str | None = None, *, is_file: bool = False) -> Iterator[None]:
    """Hold ``output`` against every other process; the lock file, and a folder made for it alone, are gone afterwards.

    Args:
        output: a folder, which is made where it is not there; or, with ``is_file``, a file.
        what: who holds it, for the message: ``softpref train``.
        job: processes with the same job may hold the output together; None shares it with nobody.

    Raises InputError naming the holder where another process writes there, StorageError where the disk refuses. On a disk
    without locks, and on a system without ``flock``, a warning is logged and nothing is held.
    """
    file = _lock_file(Path(output), is_file)
    if file in _HELD:
        _HELD[file] += 1
        try:
            yield
        finally:
            _HELD[file] -= 1
        return
    is_new = not file.parent.exists()
    handle = _acquire(file, {"what": what, "job": job})
    if handle is None:
        yield
        return
    _HELD[file] = 1
    try:
        yield
    finally:
        del _HELD[file]
        _release(handle, file, shared=job is not None)
        if is_new:
            # only where nothing was written into it
            with suppress(OSError):
                file.parent.rmdir()


def _lock_file(output: Path, is_file: bool) -> Path:
    """In a folder, or beside a file."""
    output = Path(os.path.realpath(output))
    return output.with_name(f".{output.name[:200]}.lock") if is_file else output / LOCK_FILE


def _acquire(file: Path, claim: dict[str, Any]) -> IO[str] | None:
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows
        return None
    while True:
        with writing(file.parent):
            file.parent.mkdir(parents=True, exist_ok=True)
            handle = file.open("a+", encoding="utf-8")
        try:
            _take(fcntl, handle, file, claim)
        except OSError as error:
            handle.close()
            if error.errno not in _NO_LOCKS:
                raise
            logger.warning("%s: its disk has no locks; see to it that nothing else writes there", file.parent)
            return None
        except InputError:
            handle.close()
            raise
        if _is_same(handle, file):
            return handle
        # its last holder has removed it meanwhile
        handle.close()


def _take(fcntl: Any, handle: IO[str], file: Path, claim: dict[str, Any]) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _holder(handle)
        if claim["job"] is None or holder.get("job") != claim["job"] or not _shares(fcntl, handle):
            raise InputError(_held_by(file, holder)) from None
        return
    holder = {**claim, "pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    with writing(file):
        handle.truncate(0)
        handle.write(json.dumps(holder))
        handle.flush()
    if claim["job"] is not None:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)


def _shares(fcntl: Any, handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(handle: IO[str]) -> dict[str, Any]:
    """What the holder has written of itself; empty where it has just begun."""
    handle.seek(0)
    try:
        holder = json.loads(handle.read())
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _held_by(file: Path, holder: dict[str, Any]) -> str:
    output = file.parent if file.name == LOCK_FILE else file.with_name(file.name.removeprefix(".").removesuffix(".lock"))
    who = "another process"
    if holder:
        who = f"{holder.get('what')} (process {holder.get('pid')} on {holder.get('host')}, since {holder.get('since')})"
    return f"{output}: {who} is writing there; wait for its end, or give another output"


def _is_same(handle: IO[str], file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle.fileno()), file.stat())
    except FileNotFoundError:
        return False


def _release(handle: IO[str], file: Path, shared: bool) -> None:
    """The last holder removes the file while it still holds it, so that nobody takes one that is gone."""
    import fcntl

    try:
        if shared:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.unlink(missing_ok=True)
    except OSError:
        pass
    finally:
        handle.close()
