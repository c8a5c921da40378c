"""A judge that does not answer is noticed after a handful of judgements, not at the end of the file."""

from __future__ import annotations

from collections import deque

from softpref.errors import InputError, OptionError
from softpref.judges.base import JUDGE, UNASKED, Answer
from softpref.judges.failures import by_kind

# Judgements that failed before any was an answer: the judge's own failures, and rows that were refused.
FIRST_FAILED, FIRST_REFUSED = 6, 20
# Of so many judgements, the last ones, a share may fail.
WINDOW, MOST_FAILED = 50, 0.8
SHOWN_KINDS = 3


class JudgeFailedError(InputError):
    """The judge does not answer, or hardly does. What was answered is stored."""


class Watch:
    """Counts how judgements end, and says when to stop.

    It stops where the first judgements all fail, and later where of the last ``WINDOW`` more than ``most_failed`` do. A
    failure for which nothing was asked does not count. Several calls of ``ask`` may share one.

    Args:
        answered: whether this judge is known to answer: the beginning of the run is then nothing special.
        most_failed: share of the last ``WINDOW`` judgements; 1 never stops for it.
    """

    def __init__(self, answered: bool = False, most_failed: float = MOST_FAILED) -> None:
        if not 0 < most_failed <= 1:
            raise OptionError(f"max_failed is {most_failed:g}; it must lie in (0, 1]")
        self.answered, self.most_failed = answered, most_failed
        self._own_first, self._all_first = 0, 0
        self._last: deque[bool] = deque(maxlen=WINDOW)
        self._reasons: deque[str] = deque(maxlen=WINDOW)

    def take(self, answer: Answer) -> None:
        """Count one judgement. Raises JudgeFailedError when it is time to stop."""
        if answer.blame == UNASKED and answer.failure is not None:
            return
        self._last.append(answer.failure is not None)
        if answer.failure is None:
            self.answered = True
            return
        self._reasons.append(answer.failure)
        self._all_first += 1
        self._own_first += answer.blame == JUDGE
        if not self.answered and (self._own_first >= FIRST_FAILED or self._all_first >= FIRST_REFUSED):
            raise JudgeFailedError(f"the first {self._all_first} judgements failed ({self._why()})")
        failed = sum(self._last)
        if len(self._last) == WINDOW and failed > self.most_failed * WINDOW:
            raise JudgeFailedError(f"{failed} of the last {WINDOW} judgements failed ({self._why()})")

    def _why(self) -> str:
        return why(self._reasons)


def why(reasons: deque[str] | list[str]) -> str:
    """The commonest kinds of failure in one line."""
    return "; ".join(list(by_kind(reasons))[:SHOWN_KINDS])
