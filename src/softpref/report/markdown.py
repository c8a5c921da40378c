"""A document as Markdown, for a model card or an issue: the same sentences and tables, figures in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from softpref.report.document import Block, Document, Examples, Facts, Figure, Matrix, Note, Section, Table
from softpref.report.format import FORMS, NONE, shown, visible

# The characters that mean something to Markdown; & and < would begin HTML.
_SPECIAL = re.compile(r"([\\`*_{}\[\]#|~$])")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def markdown(document: Document) -> str:
    """The whole document."""
    parts = [f"# {escaped(document.title)}", f"**{escaped(document.verdict)}**", escaped(document.detail)]
    parts += ["\n".join(f"- {escaped(text)}" for text in document.cautions)]
    parts += [part for section in document.sections for part in section_parts(section)]
    if document.missing:
        parts += ["## What is not here", escaped("; ".join(document.missing)) + "."]
    return "\n\n".join(part for part in parts if part) + "\n"


def section_parts(section: Section, level: int = 2) -> list[str]:
    """A heading, and everything below it that Markdown can hold: examples stay with the HTML page."""
    blocks = [part for block in section.blocks for part in _block(block)]
    if not blocks:
        return []
    return [f"{'#' * level} {escaped(section.title)}", escaped(section.text), *blocks]


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Table):
        yield from _titled(block.caption, table(block), block.note)
    elif isinstance(block, Matrix):
        yield from _titled(block.caption, _matrix(block), block.table.note)
    elif isinstance(block, Figure):
        yield f"*{escaped(block.caption)}.* {escaped(block.alt)}"
    elif isinstance(block, Facts):
        yield from _titled(
            block.caption,
            "\n".join(f"- {escaped(name)}: {code(value) if block.folded else escaped(value)}" for name, value in block.rows),
            "",
        )
    elif isinstance(block, Note):
        yield f"> {escaped(block.text)}"
    elif isinstance(block, Examples):
        return


def _titled(caption: str, body: str, note: str) -> Iterator[str]:
    if caption:
        yield f"**{escaped(caption)}**"
    yield body
    if note:
        yield escaped(note)


def table(of: Table) -> str:
    """A Markdown table, estimates with their intervals in one line."""
    head = [column.head for column in of.columns]
    rows = [[FORMS[column.form](row.get(column.key)).plain() for column in of.columns] for row in of.rows]
    return _grid(head, rows)


def _matrix(matrix: Matrix) -> str:
    form = FORMS[matrix.table.columns[-1].form]
    rows = []
    for one in matrix.names:
        cells = [matrix.cells.get((one, other)) for other in matrix.names]
        rows.append([one, *(NONE if cell is None else form(cell).plain() for cell in cells)])
    return _grid(["", *matrix.names], rows)


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells if cells is lines[1] else map(escaped, cells))} |" for cells in lines)


def escaped(text: str) -> str:
    """One line of plain words, whatever they hold."""
    line = " ".join(visible(shown(text)).split())
    return _SPECIAL.sub(r"\\\1", re.sub("[&<>]", lambda found: _HTML[found[0]], line))


def code(text: str) -> str:
    """A code span around one line, fenced with more backticks than it holds."""
    line = " ".join(visible(shown(text)).split())
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}" if line else NONE
