"""The ``softpref report`` command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from softpref.cli.options import parse_options, say
from softpref.data.outputs import check_outputs
from softpref.errors import OptionError

PAGES = (".html", ".htm", ".md", ".markdown")
SUFFIXES = {"html": ".html", "markdown": ".md"}


@dataclass
class ReportOptions:
    """Write one self-contained page about runs and head-to-heads.

    Attributes:
        runs: Folders of runs, evaluations and head-to-heads.
        output: The file to write; report.html, or report.md, if not given.
        format: html, or markdown for a model card or an issue.
        title: Heading of the page.
    """

    runs: list[str] = field(default_factory=list)
    output: str | None = None
    format: Literal["html", "markdown"] = "html"
    title: str = "softpref report"


def run(argv: Sequence[str]) -> None:
    """Folders and options, in any order."""
    options = parse_options(ReportOptions, "softpref report", argv, ("runs",))
    if not options.runs:
        raise OptionError("name the run folders to report on: softpref report RUN [RUN ...] --output report.html")
    output = Path(options.output or f"report{SUFFIXES[options.format]}")
    if output.is_dir():
        raise OptionError(
            f"output is {str(output)!r}, which is a folder; name a file, such as {output / f'report{SUFFIXES[options.format]}'}"
        )
    if output.is_file() and output.suffix.lower() not in PAGES:
        raise OptionError(f"output is {str(output)!r}, which is there and no page; give a {SUFFIXES[options.format]} file")
    check_outputs({}, {"output": output})
    from softpref.report.page import write_report

    say(f"report: {write_report(options.runs, output, options.title, options.format)}")
