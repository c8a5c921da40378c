"""Rows of CSV as programs write it: commas, semicolons or tabs, a ``sep=`` line, spaces after the separator.

A row's number is the line on which its record begins; where cells hold line breaks, it knows its record's number as well,
which is what a spreadsheet shows.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from softpref.data.json_rows import repeated
from softpref.data.written_messages import messages_in
from softpref.errors import Fault, RowNumber

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
# An empty response is a response; an empty number is none.
_TEXT = re.compile(r"(?:prompt|chosen|rejected|completion|(?:response|answer|output|text)[ _]?\w)\Z", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+\Z")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def read_delimited(path: Path, faults: list[Fault], notes: list[str]) -> list[tuple[int, dict[str, Any]]]:
    """Numbered rows. Adds to ``faults``, and to ``notes`` what was decided about the file's form."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with path.open("rb") as raw:
        if raw.read(2) in _UTF_16:
            faults.append(Fault(0, "file", "is UTF-16, not UTF-8", "save the file as CSV UTF-8"))
            return []
    # bytes that are not UTF-8 become lone surrogates, so that the cell that holds them can be named
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        form = _Form.of(file, path.suffix.lower() == ".tsv")
        if form.separator != ",":
            notes.append(f"cells are separated by {SEPARATORS.get(form.separator, repr(form.separator))}")
        return list(_rows(file, form, faults, notes))


class _Form:
    """What a file's first line says about the others: its separator, spaces after it, and lines to skip."""

    def __init__(self, separator: str, spaced: bool, skip: int) -> None:
        self.separator, self.spaced, self.skip = separator, spaced, skip

    @classmethod
    def of(cls, file: IO[str], tabs: bool) -> _Form:
        first = file.readline()
        named = re.fullmatch(r"\"?sep=(.)\"?[\r\n]*", first)
        skip = int(named is not None)
        header = file.readline() if named else first
        file.seek(0)
        separator = named[1] if named else "\t" if tabs else max(SEPARATORS, key=lambda one: len(_cells(header, one)))
        later = _cells(header, separator)[1:]
        return cls(separator, bool(later) and all(cell[:1] == " " for cell in later), skip)


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return []


def _rows(file: IO[str], form: _Form, faults: list[Fault], notes: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for _ in range(form.skip):
        file.readline()
    records = _records(file, form, faults)
    number, header = next(records, (RowNumber(0, 0), []))
    if not _is_utf8("".join(header)):
        faults.append(Fault(number, "header", "is not UTF-8", "save the file as UTF-8 CSV"))
        return
    header = [name.strip() for name in header]
    mend = "give every column a name of its own"
    faults += [Fault(number, name, "stands twice in the header", mend) for name in repeated(header)]
    commas = set()
    for number, cells in records:
        wrong = _cell_faults(number, header, cells, form)
        faults += wrong
        if not wrong:
            row = dict(zip(header, cells, strict=True))
            if form.separator == ";":
                commas |= {name for name, cell in row.items() if _has_decimal_comma(name, cell)}
            yield number, {name: _value(name, cell, form) for name, cell in row.items() if name or cell}
    if commas:
        notes.append(f"decimal commas in {', '.join(sorted(commas))} are read as points (0,8 is 0.8)")


def _records(file: IO[str], form: _Form, faults: list[Fault]) -> Iterator[tuple[RowNumber, list[str]]]:
    """Records with the number of their first line, without blank lines, up to the first that cannot be read."""
    reader = csv.reader(file, strict=True, delimiter=form.separator, skipinitialspace=form.spaced)
    first, record = 1 + form.skip, 1 + form.skip
    try:
        for cells in reader:
            if cells:
                yield RowNumber(first, record), cells
            first, record = reader.line_num + 1 + form.skip, record + 1
    except csv.Error as error:
        mend = "close every quote, and double those inside a cell"
        faults.append(Fault(RowNumber(first, record), "row", f"cannot be read ({error})", mend))


def _cell_faults(number: int, header: list[str], cells: list[str], form: _Form) -> list[Fault]:
    if len(cells) != len(header):
        problem = f"has {len(cells)} cells where the header has {len(header)} cells"
        what = SEPARATORS.get(form.separator, form.separator)
        return [Fault(number, "row", problem, f"quote cells that hold {what} or line breaks")]
    return [
        Fault(number, name, "is not UTF-8", "save the file as UTF-8 CSV")
        for name, cell in zip(header, cells, strict=True)
        if not _is_utf8(cell)
    ]


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _has_decimal_comma(column: str, cell: str) -> bool:
    return bool(_DECIMAL_COMMA.match(cell.strip())) and not _TEXT.match(column)


def _value(column: str, cell: str, form: _Form) -> str | list[Any] | None:
    messages = messages_in(cell)
    if messages is not None or _TEXT.match(column):
        return cell if messages is None else messages
    if not cell.strip():
        return None
    return cell.replace(",", ".") if form.separator == ";" and _has_decimal_comma(column, cell) else cell
