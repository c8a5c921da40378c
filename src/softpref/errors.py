"""Everything softpref raises on purpose.

SoftprefError
├── InputError                       the user's data or options are wrong; the command line exits 2
│   ├── DataError                    faults in rows: file, row, field, mend
│   ├── ModelError                   a model, tokenizer or adapter that cannot be loaded, or does not fit
│   ├── SideError                    one side of a row that cannot be tokenised (data/prompt_encoder.py)
│   ├── OptionError                  an option, a key of a recipe or an argument
│   ├── StorageError                 a file that cannot be written: disk full, read-only, quota, a folder in its place
│   └── ReferenceMismatchError       the reference model is not the one that a run or a checkpoint was made with
├── InterruptedRunError              stopped by the user, or at a budget, after what was done was saved; exits 130
└── NonFiniteError                   a loss or a log-prob is nan or inf; the rows are named
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SHOWN_FAULTS = 20


class SoftprefError(Exception):
    """Root of the tree."""


class InputError(SoftprefError):
    """What the user gave is wrong. The message says where, what, and how to mend it."""


class OptionError(InputError):
    """An option, recipe key or argument that is unknown, contradictory or without effect."""


class StorageError(InputError):
    """A file cannot be written. The message says which, why, what is safe, and what to do."""


class RowNumber(int):
    """The line of a file on which a row begins, which also knows its record's number, as a spreadsheet counts.

    ``file`` is given where the rows are those of several files.
    """

    record: int
    file: str

    def __new__(cls, line: int, record: int, file: str = "") -> RowNumber:
        """``line`` and ``record`` count from 1; they differ where a cell holds a line break or a line is blank."""
        number = super().__new__(cls, line)
        number.record, number.file = record, file
        return number

    def __reduce__(self) -> tuple[type[RowNumber], tuple[int, int, str]]:
        return RowNumber, (int(self), self.record, self.file)


def _place(row: int) -> str:
    record, file = (row.record, row.file) if isinstance(row, RowNumber) else (row, "")
    numbered = f"row {row}" if record == row else f"row {record} (line {row})"
    return ", ".join(part for part in (file, numbered if row else "") if part)


@dataclass(frozen=True)
class Fault:
    """One thing wrong in one row. ``row`` counts from 1, as an editor does; 0 means the file as a whole."""

    row: int
    field: str
    problem: str
    mend: str

    def __str__(self) -> str:
        place = _place(self.row)
        return printable(f"{place}{', ' * bool(place)}{self.field}: {self.problem}; {self.mend}")


class DataError(InputError):
    """Every fault of one file together: the first twenty and a count."""

    def __init__(self, file: str, faults: Sequence[Fault]) -> None:
        self.file = file
        self.faults = list(faults)
        shown = "".join(f"\n  {fault}" for fault in self.faults[:SHOWN_FAULTS])
        more = len(self.faults) - SHOWN_FAULTS
        tail = f"\n  … and {more} more" if more > 0 else ""
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__(f"{file}: {count}{shown}{tail}")


class ModelError(InputError):
    """A model, tokenizer or adapter cannot be loaded, is not whole, or does not fit what it is used with."""


class ReferenceMismatchError(InputError):
    """The reference model differs from the one that a run, a cache or a checkpoint was made with."""


class InterruptedRunError(SoftprefError):
    """Stopped by Ctrl-C after what was done was saved. The message says how to go on."""


class NonFiniteError(SoftprefError):
    """A log-prob or a loss is nan or inf. The message names the rows."""


def printable(text: str) -> str:
    r"""The text with what a terminal would obey written out, so that data can be shown. Line ends stay.

    >>> printable("label\x1b[31m")
    'label\\x1b[31m'
    """
    return text if text.isprintable() else "".join(c if c.isprintable() or c in "\n\t\u200d" else repr(c)[1:-1] for c in text)


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its kind where it says nothing."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a misspelt name: ``; did you mean 'beta'?`` or, with nothing near, the list of what is known."""
    known = sorted(known)
    folded = {one.casefold(): one for one in known}
    close = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f"; did you mean '{folded[close[0]]}'?" if close else f"; known: {', '.join(known)}"
