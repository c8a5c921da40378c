"""The ``softpref demo`` command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from softpref.cli.options import parse_options, say
from softpref.data.output_lock import only_writer
from softpref.data.outputs import check_outputs


@dataclass
class DemoOptions:
    """Run the whole way once on a small generated world: soft labels, training, evaluation, report. No network.

    Attributes:
        output: Folder for everything it makes; run again, it goes on from what lies there.
        seed: Seed of the world, the model and the judge.
    """

    output: str = "demo"
    seed: int = 1


def run(argv: Sequence[str]) -> None:
    """Run the demo, print its table and where the report lies."""
    options = parse_options(DemoOptions, "softpref demo", argv)
    from softpref.demo.demo import DemoSettings, run_demo

    check_outputs({}, folders={"output": options.output})
    with only_writer(options.output, "softpref demo"):
        report, result = run_demo(options.output, DemoSettings(seed=options.seed), say)
    table = Table(*result["head"], box=None, title="gold and win rates with 95% intervals over held-out tasks")
    for row in result["rows"]:
        table.add_row(*row)
    Console(width=max(120, Console().width)).print(table)
    say(f"report: {report.resolve()}")
