"""What a page says, before anything decides how it looks: sections of tables, figures, facts and examples.

Both the HTML page and the Markdown are written from one ``Document``, so that they cannot say different things. A table keeps
the raw values: what is shown, what is sorted by, and the CSV behind it all come from them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

from softpref.records.figures import Interval

Row: TypeAlias = Mapping[str, Any]
# The parts of an ``Interval`` that stand in a CSV, in columns of their own.
ESTIMATE = ("value", "low", "high")


@dataclass(frozen=True)
class Column:
    """One column: the key of its values in a row, its heading, and the form they are shown in (``format.FORMS``)."""

    key: str
    head: str
    form: str = "text"


@dataclass(frozen=True)
class Table:
    """Rows of raw values, and how they are shown. ``name`` is the stem of its CSV file."""

    kind: ClassVar[str] = "table"
    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    note: str = ""

    def csv(self) -> str:
        """All values as they are, unrounded; an estimate as three columns."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([name for column in self.columns for name in _names(column)])
        writer.writerows([cell for column in self.columns for cell in _cells(column, row)] for row in self.rows)
        return out.getvalue()


def _names(column: Column) -> list[str]:
    return [f"{column.key}_{part}" for part in ESTIMATE] if is_estimate(column) else [column.key]


def _cells(column: Column, row: Row) -> list[Any]:
    value = row.get(column.key)
    if is_estimate(column):
        return [getattr(value, part, None) for part in ESTIMATE]
    return [value]


def is_estimate(column: Column) -> bool:
    """Whether the column's values are estimates with an interval."""
    return column.form.startswith("estimate")


@dataclass(frozen=True)
class Matrix:
    """Win rates of every row against every column, drawn as a tinted table; the numbers are those of ``table``."""

    kind: ClassVar[str] = "matrix"
    name: str
    caption: str
    names: Sequence[str]
    cells: Mapping[tuple[str, str], Interval]
    table: Table


@dataclass(frozen=True)
class Figure:
    """A drawing, one sentence that says what it shows to who cannot see it, and the numbers that it was drawn from."""

    kind: ClassVar[str] = "figure"
    name: str
    caption: str
    alt: str
    svg: str
    table: Table


@dataclass(frozen=True)
class Facts:
    """Short answers by name."""

    kind: ClassVar[str] = "facts"
    rows: Sequence[tuple[str, str]]
    caption: str = ""
    # folded away at first
    folded: bool = False


@dataclass(frozen=True)
class Note:
    """Something that a reader must not overlook."""

    kind: ClassVar[str] = "note"
    text: str


@dataclass(frozen=True)
class Shown:
    """One text of an example: whose it is, and what was said of it."""

    who: str
    text: Any
    note: str = ""


@dataclass(frozen=True)
class Example:
    """Texts side by side. ``p`` is its label, ``labels`` all opinions on it, ``disagreement`` ∈ [0, 1] how far they differ."""

    prompt: Any
    sides: Sequence[Shown]
    p: float
    labels: Sequence[float]
    disagreement: float = 0.0
    orders_disagree: bool = False
    note: str = ""

    @property
    def summary(self) -> str:
        """Its label in words."""
        low, high = f"{min(self.labels):.2f}", f"{max(self.labels):.2f}"
        said = f"p = {self.p:.2f}" if len(self.labels) == 1 or low == high else f"p from {low} to {high}"
        return f"{said}{self.note}"


@dataclass(frozen=True)
class Examples:
    """Some of ``of`` rows, with controls to sort and filter them. The three words say what a high, middle and low p mean."""

    kind: ClassVar[str] = "examples"
    name: str
    caption: str
    items: Sequence[Example]
    of: int
    words: tuple[str, str, str]
    disagreement: str

    @property
    def several(self) -> bool:
        """Whether an example has more than one label."""
        return any(len(one.labels) > 1 for one in self.items)


Block: TypeAlias = Table | Matrix | Figure | Facts | Note | Examples


@dataclass(frozen=True)
class Section:
    """One heading of the page. Without blocks it is left out."""

    name: str
    title: str
    blocks: Sequence[Block]
    text: str = ""


@dataclass(frozen=True)
class Document:
    """A page: the verdict first, what to keep in mind with it, then the sections."""

    title: str
    verdict: str
    detail: str
    sections: Sequence[Section]
    cautions: Sequence[str] = ()
    missing: Sequence[str] = ()
    colours: Mapping[str, str] = field(default_factory=dict)
