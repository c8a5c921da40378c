"""A progress bar on the screen of errors, where it stands in nobody's way, that is gone when the work is done."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress, ProgressColumn, Task

if TYPE_CHECKING:
    from typing_extensions import Self


class Bar:
    """One task, shown while a ``with`` block lasts. ``options`` are those of ``rich.progress.Progress``."""

    def __init__(self, what: str, total: int | None, *columns: ProgressColumn, note: str = "", **options: Any) -> None:
        self._progress = Progress(*columns, console=Console(file=sys.stderr), transient=True, **options)
        self._task = self._progress.add_task(what, total=total, note=note)

    @property
    def tasks(self) -> list[Task]:
        """The one task that is shown."""
        return self._progress.tasks

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()
