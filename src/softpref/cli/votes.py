"""The ``softpref votes`` command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from softpref.cli.options import parse_options, say
from softpref.data.outputs import check_outputs
from softpref.data.read_options import ReadOptions
from softpref.errors import InputError, OptionError

if TYPE_CHECKING:
    from softpref.data.pairs import PairSet

PROG = "softpref votes"
SHOWN = 10


def _reading() -> ReadOptions:
    return ReadOptions(identical="drop", votes="dawid_skene")


@dataclass
class VotesOptions:
    """See how reliable annotators are, and make soft labels of their votes with that in mind (Dawid and Skene 1979).

    The rows say who voted: one row per vote with an annotator column, or several annotators in a row (docs/data.md).

    Attributes:
        data: File of votes by name, several files, a folder or a name on the Hub.
        output: JSONL file of pairs with a soft_label and its interval, for train.
        html: HTML file for a page: who agrees with whom, how reliable each is, which pairs to ask about next.
        reading: How the file becomes pairs with votes. Pairs with two identical sides are dropped and counted.
    """

    data: list[str] | str
    output: str | None = None
    html: str | None = None
    reading: ReadOptions = field(default_factory=_reading)


def run(argv: Sequence[str]) -> None:
    """Fit the annotators of one data set, print them, and write labels and page."""
    options = parse_options(VotesOptions, PROG, argv)
    _check(options)
    from softpref.data.formats import read_pairs, write_rows
    from softpref.data.voters import fit_annotators
    from softpref.data.written import written_row
    from softpref.report.page import write_page
    from softpref.report.votes_report import annotator_rows, asked_next, votes_report

    pairs = read_pairs(options.data, options.reading)
    _check_votes(pairs)
    fitted = fit_annotators(pairs, pairs.name)
    _show(pairs, annotator_rows(fitted))
    rows = [str(pair.row) for _, pair in asked_next(pairs, fitted)[:SHOWN]]
    say(f"one more vote would say most about rows {', '.join(rows)}")
    if options.output is not None:
        write_rows(options.output, map(written_row, pairs))
        say(f"labelled pairs: {options.output}")
    if options.html is not None:
        say(f"page: {write_page(votes_report(pairs, fitted), options.html)}")


def _check(options: VotesOptions) -> None:
    if options.reading.votes != "dawid_skene":
        raise OptionError(f"reading.votes is {options.reading.votes!r}; this command is about dawid_skene: leave it out")
    for name, suffix in (("output", ".jsonl"), ("html", ".html")):
        value = getattr(options, name)
        if value is not None and Path(value).suffix != suffix:
            raise OptionError(f"{name} is {value!r}; give a {suffix} file")
    check_outputs({"data": options.data}, {"output": options.output, "html": options.html})


def _check_votes(pairs: PairSet) -> None:
    if pairs.reading.label_method != "votes":
        what = "no labels" if pairs.reading.label_method is None else "labels that are no votes"
        raise InputError(f"{pairs.name}: holds {what}; give one row per vote with an annotator column")


def _show(pairs: PairSet, annotators: Sequence[dict[str, object]]) -> None:
    votes = sum(int(str(row["votes"])) for row in annotators)
    say(f"{pairs.name}: {len(pairs)} pairs, {votes} votes of {len(annotators)} annotators")
    say("names the true verdict (95% interval)   votes   ties  annotator, the least reliable first")
    for row in annotators[:SHOWN]:
        say(f"  {row['reliability']!s:<36} {row['votes']!s:>6}  {row['tie']:5.0%}  {row['annotator']}")
    if len(annotators) > SHOWN:
        say(f"  … and {len(annotators) - SHOWN} more")
