"""Transient progress bars on stderr, and the lines of a training run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn

from softpref.judges.base import Answer, Judge
from softpref.judges.server import ServerJudge

if TYPE_CHECKING:
    from typing_extensions import Self


class Bar:
    """One task, shown while a ``with`` block lasts. ``options`` are those of ``rich.progress.Progress``."""

    def __init__(self, what: str, total: int | None, *columns: ProgressColumn, note: str = "", **options: Any) -> None:
        # stdout stays what it is where it is a file or a pipe; on a terminal its lines go above the bar.
        # Where stderr is no terminal, a bar that stops would write an empty line.
        options = {"redirect_stdout": sys.stdout.isatty(), "disable": not sys.stderr.isatty(), **options}
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


# Of a log line: the key, and how it is written; within 80 columns. All else is in metrics.jsonl.
SHOWN = {
    "loss": "loss {:.4f}",
    "margin": "margin {:+.3f}",
    "accuracy": "accuracy {:.1%}",
    "aux_loss": "aux loss {:.4f}",
    "learning_rate": "lr {:.2g}",
    "pairs_per_second": "{:.3g} pairs/s",
}
# Beside these where held-out pairs are evaluated, which have no learning rate.
HELD_OUT = SHOWN | {"brier": "Brier {:.4f}"}
EVALUATED = "eval_"


class TrainingProgress(Bar):
    """To be handed to ``train`` as ``on_log``: one line per log on stdout, and a bar for the steps on stderr."""

    def __init__(self, say: Callable[[str], None]) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        super().__init__("training", None, *columns, speed_estimate_period=600)
        self._say = say
        self._started = time.monotonic()

    def __call__(self, logs: Mapping[str, float]) -> None:
        """One log line of the trainer, with ``step`` and ``of``."""
        step, total = int(logs["step"]), int(logs["of"])
        self._progress.update(self._task, completed=step, total=total)
        if (line := log_line(logs)) is not None:
            self._say(f"step {step:>{len(str(total))}}/{total}  {line}")


def log_line(logs: Mapping[str, float]) -> str | None:
    """``loss 0.6412  margin +0.120  accuracy 61.0%``; None for the closing line of the trainer, which has times alone."""
    if "train_runtime" in logs:
        return None
    names = {name.removeprefix(EVALUATED) for name in logs if name.startswith(EVALUATED)}
    if "loss" in names and "loss" not in logs:
        shown = [form.format(logs[EVALUATED + key]) for key, form in HELD_OUT.items() if key in names]
        return "  ".join(["held out:", *shown])
    return "  ".join(form.format(logs[key]) for key, form in SHOWN.items() if key in logs) or None
