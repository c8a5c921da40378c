"""One self-contained HTML page: no request, one script whose hash the page itself demands, all foreign text escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from softpref.data.files import atomic_write
from softpref.errors import OptionError, nearest
from softpref.records.figures import Interval
from softpref.report import charts
from softpref.report.collect import read_folders
from softpref.report.document import Column, Document, Figure, Row, Table
from softpref.report.format import FORMS, number, percent, shown, visible
from softpref.report.markdown import markdown
from softpref.report.palette import DARK, LIGHT, SERIES, SERIES_DARK, variables
from softpref.report.run_report import run_report

FORMATS = ("html", "markdown")
# Rows of the numbers behind a figure; the CSV holds all of them.
SHOWN_ROWS = 40


def write_report(folders: Sequence[str | Path], output: str | Path, title: str = "softpref report", form: str = "html") -> Path:
    """Write the report on these run folders and head-to-heads, as ``html`` or ``markdown``.

    Raises InputError where a folder holds neither, OptionError for another form.
    """
    if form not in FORMATS:
        raise OptionError(f"format is {form!r}{nearest(form, FORMATS)}")
    document = run_report(read_folders(folders), title)
    return write_page(document, output) if form == "html" else _write(markdown(document), output)


def write_page(document: Document, output: str | Path) -> Path:
    """A document as an HTML file."""
    return _write(html(document), output)


def _write(text: str, output: str | Path) -> Path:
    output = Path(output)
    with atomic_write(output) as file:
        file.write(text)
    return output


def html(document: Document) -> str:
    """The page as text."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_seen)
    environment.filters.update(
        shown=shown,
        cell=_cell,
        in_form=lambda value, form: FORMS[form](value),
        number=number,
        percent=percent,
        csv_url=_csv_url,
        svg_url=_svg_url,
        tint=_tint,
    )
    template = environment.from_string(_source("page.html"))
    script = _source("page.js")
    return template.render(
        document=document,
        # both are the package's own
        style=Markup(_style()),  # noqa: S704
        script=Markup(script),  # noqa: S704
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        shown_rows=SHOWN_ROWS,
    )


def _source(name: str) -> str:
    return (files("softpref.report") / name).read_text(encoding="utf-8")


def _style() -> str:
    light, dark = variables(LIGHT, SERIES), variables(DARK, SERIES_DARK)
    themes = f":root {{ color-scheme: light dark; {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
    return f"{themes}@media print {{ :root {{ color-scheme: light; {light} }} }}\n{_source('page.css')}"


def _cell(row: Row, column: Column) -> Any:
    return FORMS[column.form](row.get(column.key))


def _csv_url(table: Table) -> Markup:
    data = quote(table.csv().encode("utf-8", "replace"), safe=",:;/ .-_()")
    return Markup("data:text/csv;charset=utf-8,{}").format(data)


def _svg_url(figure: Figure) -> Markup:
    data = base64.b64encode(charts.standalone(figure.svg).encode()).decode()
    return Markup("data:image/svg+xml;base64,{}").format(data)


def _tint(rate: Interval | None) -> str:
    """How strongly a cell of the matrix is coloured, and in which colour: 0 at one half."""
    value = None if rate is None else rate.value
    if value is None:
        return ""
    return f"--tint: {80 * abs(value - 0.5):.0f}%; --of: var(--{'accent' if value >= 0.5 else 'alert'})"


def _seen(value: Any) -> Any:
    """Called with everything that the template writes, before it is escaped."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else visible(shown(value))
