"""A progress bar for a grid of cells: how many are done, and the time left."""

from __future__ import annotations

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from softpref.cli.bar import Bar


class GridProgress(Bar):
    """To be handed to ``run_grid`` as ``on_cell``. Cells found on disk count as done, and not towards the speed."""

    def __init__(self, what: str) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        # the whole run's speed: cells differ too much for that of the last seconds
        super().__init__(what, None, *columns, speed_estimate_period=86400)

    def __call__(self, done: int, total: int, found: int) -> None:
        """``done`` of ``total`` cells are there; ``found`` of them were there before."""
        if done == found:
            # not a step, which would look like speed
            self.tasks[0].completed = found
            self._progress.update(self._task, total=total)
        else:
            self._progress.update(self._task, completed=done)
