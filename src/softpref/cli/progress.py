"""A progress bar for judgements: rate, failures, cost and time left."""

from __future__ import annotations

from collections.abc import Sequence

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from softpref.cli.bar import Bar
from softpref.judges.base import Answer, Judge
from softpref.judges.server import ServerJudge


class AnswerProgress(Bar):
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
        super().__init__("judging", questions, *columns)

    def take(self, answer: Answer) -> None:
        """One answer or failure has come."""
        self.failed += answer.failure is not None
        [task] = self.tasks
        rate = f"{task.speed:.1f}/s" if task.speed else ""
        self._progress.update(self._task, advance=1, note=f"{rate} {self.failed} failed{self._cost()}")

    def _cost(self) -> str:
        costs = [judge.usage.cost(judge.settings) for judge in self.judges if isinstance(judge, ServerJudge)]
        known = [cost for cost in costs if cost is not None]
        return f" cost {sum(known):.4f}" if known else ""
