"""A progress bar for judgements: rate, failures, cost and time left."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from softpref.judges.base import Answer, Judge
from softpref.judges.server import ServerJudge


class AnswerProgress:
    """Counts answers as they come. Answers that were in the store already are not asked for, and not counted."""

    def __init__(self, questions: int, judges: Sequence[Judge]) -> None:
        self.judges = judges
        self.failed = 0
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=Console(file=sys.stderr), transient=True)
        self._task = self._progress.add_task("judging", total=questions, note="")

    def take(self, answer: Answer) -> None:
        """One answer or failure has come."""
        self.failed += answer.failure is not None
        task = self._progress.tasks[0]
        rate = f"{task.speed:.1f}/s" if task.speed else ""
        self._progress.update(self._task, advance=1, note=f"{rate} {self.failed} failed{self._cost()}")

    def _cost(self) -> str:
        costs = [judge.usage.cost(judge.settings) for judge in self.judges if isinstance(judge, ServerJudge)]
        known = [cost for cost in costs if cost is not None]
        return f" cost {sum(known):.4f}" if known else ""

    def __enter__(self) -> AnswerProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
