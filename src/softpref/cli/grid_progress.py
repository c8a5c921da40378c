"""A progress bar for a grid of cells: how many are done, and the time left."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn


class GridProgress:
    """To be handed to ``run_grid`` as ``on_cell``. Cells found on disk count as done, and not towards the speed."""

    def __init__(self, what: str) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        # the whole run's speed: cells differ too much for that of the last seconds
        self._progress = Progress(
            *columns, console=Console(file=sys.stderr), transient=True, speed_estimate_period=86400
        )
        self._task = self._progress.add_task(what, total=None)

    @property
    def tasks(self) -> list[Task]:
        """The one task that is shown."""
        return self._progress.tasks

    def __call__(self, done: int, total: int, found: int) -> None:
        """``done`` of ``total`` cells are there; ``found`` of them were there before."""
        if done == found:
            # not a step, which would look like speed
            self._progress.tasks[0].completed = found
            self._progress.update(self._task, total=total)
        else:
            self._progress.update(self._task, completed=done)

    def __enter__(self) -> GridProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
