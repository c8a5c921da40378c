"""The ``softpref losses`` command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from softpref.cli.options import say
from softpref.errors import OptionError, nearest

if TYPE_CHECKING:
    from softpref.core.loss_table import LossRow

HELP = """\
usage: softpref losses [NAME | --markdown]

List the base losses: name, formula and treatments; or tell all about one; or write the table of docs/losses.md.

  softpref losses
  softpref losses simpo
  softpref train --loss_type simpo --label_treatment geometric …
"""

LABELS = {
    "name": "loss_type",
    "formula": "loss of a pair",
    "arguments": "arguments",
    "needs": "needs",
    "treatments": "label_treatment",
    "source": "arXiv",
    "also": "also as",
}


def run(argv: Sequence[str]) -> None:
    """List the losses, or tell about one."""
    if {"-h", "--help"} & set(argv):
        sys.stdout.write(HELP)
        return
    if len(argv) > 1:
        raise OptionError(f"give one loss, not {len(argv)}")
    from softpref.core.loss_table import loss_rows

    rows = {row.name: row for row in loss_rows()}
    if not argv:
        _list(rows)
    elif argv[0] == "--markdown":
        _markdown(rows)
    else:
        _one(argv[0], rows)


def _list(rows: dict[str, LossRow]) -> None:
    widths = [max(len(getattr(row, name)) for row in rows.values()) for name in ("name", "treatments")]
    for row in rows.values():
        say(f"{row.name:<{widths[0]}}  {row.treatments:<{widths[1]}}  {row.formula}")
    say()
    say("*: a form of its own in place of the linear mixture. softpref losses NAME tells all about one.")


def _one(name: str, rows: dict[str, LossRow]) -> None:
    from softpref.core.names import ALIASES

    base, _ = ALIASES.get(name, (name, None))
    if base not in rows:
        raise OptionError(f"{name!r} is no loss{nearest(name, [*rows, *ALIASES])}")
    width = max(map(len, LABELS.values()))
    for field in fields(rows[base]):
        if value := getattr(rows[base], field.name):
            say(f"{LABELS[field.name]:<{width}}  {value}")


def _markdown(rows: dict[str, LossRow]) -> None:
    say("| " + " | ".join(LABELS.values()) + " |")
    say("|---" * len(LABELS) + "|")
    for row in rows.values():
        say(markdown_row(row))


def markdown_row(row: LossRow) -> str:
    """One line of the table in docs/losses.md."""
    code = ("name", "formula", "arguments")
    cells = [getattr(row, name).replace("|", "\\|") for name in LABELS]
    shown = [f"`{cell}`" if name in code and cell else cell for name, cell in zip(LABELS, cells, strict=True)]
    return f"| {' | '.join(shown)} |"
