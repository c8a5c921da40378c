"""A grid of independent cells, computed in several processes, resumed where it stopped.

Every finished cell is one line ``{"cell": …, "result": …}`` of a JSONL file, on disk before the next one is handed out. A
rerun computes only the cells that the file does not hold, whatever else it holds: a larger grid may share a smaller one's
file. A cell is everything that decides its result, its seeds included, so a changed setting is another cell.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import closing, contextmanager
from itertools import islice, product
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from typing import IO, Any, TypeAlias

from softpref.data.files import strict_json, writing
from softpref.errors import InputError
from softpref.run_folder import read_lines

Cell: TypeAlias = Mapping[str, Any]
Result: TypeAlias = dict[str, Any]
Work: TypeAlias = Callable[[Any], Result]
# Called before the first cell and after each, with how many are done, of how many, and how many of those were in the file.
OnCell: TypeAlias = Callable[[int, int, int], None]

# Cells that wait at each process, so that none idles while a result is written.
AHEAD = 2


def run_grid(
    cells: Sequence[Cell], work: Work, file: Path, *, workers: int | None = None, on_cell: OnCell | None = None
) -> list[Result]:
    """The results of ``cells`` in their order, from ``file`` where it holds them, else from ``work``.

    ``work`` is a function of a module, since other processes must find it; it takes a cell and returns plain values.
    ``workers`` is the number of processes; None is one per core, 1 computes here. Each computes with one thread.

    Raises InputError when another run is writing to ``file``. What ``work`` raises is raised here, and Ctrl-C passes: in
    both cases what was finished is in ``file``.
    """
    keys = [key_of(cell) for cell in cells]
    with _open(file) as out:
        found = dict(_read(file))
        missing = {key: cell for key, cell in zip(keys, cells, strict=True) if key not in found}
        total = len({*keys})
        before = total - len(missing)
        report = on_cell or _say_nothing
        report(before, total, before)
        # closed, so that no process is left at work when writing fails
        with closing(_compute(missing, work, workers)) as computed:
            for done, (key, result) in enumerate(computed, start=before + 1):
                found[key] = result
                _append(out, file, {"cell": missing[key], "result": result})
                report(done, total, before)
    return [found[key] for key in keys]


def _say_nothing(_done: int, _total: int, _found: int) -> None:
    pass


def key_of(cell: Cell) -> str:
    """What tells one cell from another: its JSON, whatever the order of its keys."""
    return json.dumps(cell, sort_keys=True, allow_nan=False)


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read(file: Path) -> Iterator[tuple[str, Result]]:
    for number, line in enumerate(read_lines(file), start=1):
        if not {"cell", "result"} <= {*line}:
            raise InputError(f"{file}: line {number} is no cell with its result; give another folder, or move the file")
        yield key_of(line["cell"]), line["result"]


def _compute(missing: Mapping[str, Cell], work: Work, workers: int | None) -> Generator[tuple[str, Result], None, None]:
    workers = min(workers or cores(), len(missing))
    if workers <= 1:
        # through JSON, so that a result is the same whether it was computed or read
        yield from ((key, json.loads(strict_json(work(cell)))) for key, cell in missing.items())
        return
    # spawned, since a forked copy of a process whose libraries have started threads may hang
    children_before = {*active_children()}
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_one_thread)
    try:
        yield from _in_pool(pool, missing, work, AHEAD * workers)
    except BaseException:
        # a cell may take minutes, and its result would go nowhere
        for child in {*active_children()} - children_before:
            child.kill()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_pool(pool: ProcessPoolExecutor, missing: Mapping[str, Cell], work: Work, at_once: int) -> Iterator[tuple[str, Result]]:
    """Results as they come; never more than ``at_once`` cells are handed out, so that an end is soon."""
    waiting = iter(missing.items())
    running: dict[Future[Result], str] = {}
    while True:
        for key, cell in islice(waiting, at_once - len(running)):
            running[pool.submit(work, cell)] = key
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            yield running.pop(future), json.loads(strict_json(future.result()))


def _one_thread() -> None:
    """As many processes as cores, each with as many threads, would wait for one another."""
    # read by the libraries when they are loaded, which the work does after this
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    # Ctrl-C, or a scheduler's SIGTERM, reaches the whole group; only the parent decides what becomes of it
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed tells nobody; its children would compute to no end, and wait for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _open(file: Path) -> Iterator[IO[bytes]]:
    """The file to append to, held against other runs, without the half line that a kill may have left at its end."""
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        out = file.open("ab+", buffering=0)
    with out:
        _hold(out, file)
        out.seek(0)
        content = out.read()
        out.truncate(content.rfind(b"\n") + 1)
        yield out


def _hold(out: IO[bytes], file: Path) -> None:
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows: nothing warns of a second run there
        return
    try:
        fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"{file}: another run is writing to it; wait for its end, or give another folder") from None


def _append(out: IO[bytes], file: Path, line: Mapping[str, Any]) -> None:
    with writing(file, "finished cells are kept"):
        out.write(strict_json(line).encode() + b"\n")
        out.flush()
        os.fsync(out.fileno())


def crossed(**axes: Iterable[Any]) -> list[dict[str, Any]]:
    """Every combination of the axes' values as a cell, the last axis changing fastest."""
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
