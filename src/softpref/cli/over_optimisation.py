"""The ``softpref over-optimisation`` command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from softpref.cli.options import parse_options, say
from softpref.data.outputs import check_outputs
from softpref.data.read_options import ReadOptions, dropping_identical
from softpref.records.evaluation import OverOptimisationRecord, RatioBin


@dataclass
class OverOptimisationOptions:
    """Show where training took the log-probs of chosen and rejected responses, by label, and warn where they collapsed.

    Attributes:
        run: Run folder of softpref train.
        data: JSONL or CSV file of labelled pairs; those of the training if not given.
        reference: Folder or Hub name of the reference; the run's own if not given.
        checkpoints: Score every checkpoint in the run folder too.
        output: Folder for over_optimisation.json; the run folder if not given.
        reading: How the file becomes labelled pairs. Pairs with two identical sides are dropped and counted.
    """

    run: str
    data: str | None = None
    reference: str | None = None
    checkpoints: bool = False
    output: str | None = None
    reading: ReadOptions = field(default_factory=dropping_identical)


def run(argv: Sequence[str]) -> None:
    """Score both sides and print the table."""
    options = parse_options(OverOptimisationOptions, "softpref over-optimisation", argv, ("run",))
    from softpref.evaluation.over_optimisation import over_optimisation
    from softpref.run_folder import OVER_OPTIMISATION_FILE

    written = Path(options.output or options.run) / OVER_OPTIMISATION_FILE
    check_outputs({"data": options.data}, {OVER_OPTIMISATION_FILE: written}, {"output": options.output})
    result = over_optimisation(options.run, options.data, options.reference, options.checkpoints, options.output, options.reading)
    for line in lines(result):
        say(line)
    say(f"figures: {options.output or options.run}/{OVER_OPTIMISATION_FILE}")


def lines(result: OverOptimisationRecord) -> Iterator[str]:
    """What a person reads of ``over_optimisation.json``."""
    yield f"{result.run} against {result.reference} on {result.pairs} pairs of {result.data}"
    yield "log π/π_ref in nats, mean over pairs"
    yield "  label         pairs   chosen  per token  rejected   margin"
    yield from (_row(row) for row in result.by_bin)
    for checkpoint in result.checkpoints:
        yield f"step {checkpoint.step}"
        yield from (_row(row) for row in checkpoint.by_bin)
    if result.over_training:
        last = result.over_training[-1]
        sides = (last.chosen_logratio, last.rejected_logratio, last.margin)
        chosen, rejected, margin = ("–" if value is None else f"{value:+.2f}" for value in sides)
        yield f"training log, step {last.step}: chosen {chosen}, rejected {rejected}, margin {margin}"
    if result.kl is not None:
        yield f"KL to the reference on samples: {result.kl} nats per response"
    if result.warning is not None:
        yield f"WARNING: {result.warning}"


def _row(row: RatioBin) -> str:
    label = f"  {row.low:.1f} to {row.high:.1f} {row.count:>8}"
    if not row.count:
        return label
    chosen, per_token = row.chosen_logratio, row.chosen_logratio_per_token
    return f"{label} {chosen:>+8.2f}   {per_token:>+8.3f}  {row.rejected_logratio:>+8.2f} {row.margin:>+8.2f}"
