"""The ``softpref report`` command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from softpref.cli.options import parse_options, say
from softpref.errors import OptionError


@dataclass
class ReportOptions:
    """Write one self-contained HTML page about runs.

    Attributes:
        output: The HTML file to write.
        title: Heading of the page.
    """

    output: str = "report.html"
    title: str = "softpref report"


def run(argv: Sequence[str]) -> None:
    """Folders first, then options."""
    folders = _leading(argv)
    options = parse_options(ReportOptions, "softpref report RUN [RUN ...]", argv[len(folders) :])
    if not folders:
        raise OptionError("name the run folders to report on: softpref report RUN [RUN ...] --output report.html")
    from softpref.report.page import write_report

    say(f"report: {write_report(folders, options.output, options.title)}")


def _leading(argv: Sequence[str]) -> list[str]:
    for place, argument in enumerate(argv):
        if argument.startswith("-"):
            return list(argv[:place])
    return list(argv)
