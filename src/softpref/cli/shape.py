"""The ``softpref shape`` command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from softpref.cli.histogram import histogram_lines
from softpref.cli.options import parse_options, say
from softpref.data.outputs import check_outputs
from softpref.data.read_options import ReadOptions
from softpref.errors import OptionError

if TYPE_CHECKING:
    from softpref.data.pairs import PairSet, PreferencePair
    from softpref.data.shaping import Shape

SHAPES = "skewed, stairs, balance, noise"


@dataclass
class ShapeOptions:
    """Make another distribution of labels from a labelled set: exactly one of skewed, stairs, balance and noise.

    Attributes:
        data: JSONL or CSV file of labelled pairs.
        output: JSONL file to write; rows keep their order, and record the shape and the label they had.
        seed: Seed of every draw; skewed and soft_averaging draw nothing.
        skewed: Leave out the pairs with p of at least this; the paper's Plasma Skewed is 0.8.
        stairs: Let the count fall step by step, as in the paper's Plasma Stairs, and leave out the pairs outside.
        steps: Relative heights of the stairs from the least sure to the surest, as [5,4,3,2,1], the default.
        stairs_range: Where the stairs begin and end in p, as [0.65,0.9], the default.
        balance: Keep the same number of pairs in each of so many equal bins of p over [0.5, 1].
        noise: Flip labels at random: p to 0 or 1 of the other side, or to 1 − p; or average p with 1 − p.
        rate: Mean flip probability of the noise, in [0, 1].
        reading: How the file becomes labelled pairs.
    """

    data: list[str] | str
    output: str
    seed: int = 0
    skewed: float | None = None
    stairs: bool = False
    steps: tuple[float, ...] | None = None
    stairs_range: tuple[float, float] | None = None
    balance: int | None = None
    noise: Literal["binary_flip", "soft_flip", "soft_averaging"] | None = None
    rate: float | None = None
    reading: ReadOptions = field(default_factory=ReadOptions)


def run(argv: Sequence[str]) -> None:
    """Shape one file, and print its histogram before and after."""
    options = parse_options(ShapeOptions, "softpref shape", argv)
    shape = make_shape(options)
    _check_output(options)
    from softpref.data.formats import read_pairs, write_rows
    from softpref.data.shaping import shape_pairs
    from softpref.data.written import written_row

    pairs = read_pairs(options.data, options.reading)
    shaped = shape_pairs(pairs, shape, options.seed)
    write_rows(options.output, map(written_row, shaped))
    _show(pairs, shaped)
    say(f"shaped pairs: {options.output}")


def make_shape(options: ShapeOptions) -> Shape:
    """The one shape that the options ask for. Raises OptionError for none, several, or an option without effect."""
    from softpref.data.shaping import Balanced, Noise, Skewed, Stairs

    asked = [name for name in SHAPES.split(", ") if getattr(options, name) not in (None, False)]
    if len(asked) != 1:
        raise OptionError(f"{' and '.join(asked) or 'no shape'} given; give exactly one of {SHAPES}")
    for name, of in (("steps", "stairs"), ("stairs_range", "stairs"), ("rate", "noise")):
        if getattr(options, name) is not None and of not in asked:
            raise OptionError(f"{name} has no effect without {of}: leave it out")
    if options.skewed is not None:
        return Skewed(options.skewed)
    if options.balance is not None:
        return Balanced(options.balance)
    if options.noise is not None:
        if options.rate is None:
            raise OptionError("noise needs a rate: give the mean flip probability, --rate 0.2 say")
        return Noise(options.noise, options.rate)
    return Stairs(options.steps or Stairs.steps, *(options.stairs_range or (Stairs.low, Stairs.high)))


def _check_output(options: ShapeOptions) -> None:
    output = Path(options.output)
    if output.suffix != ".jsonl":
        raise OptionError(f"output is {options.output!r}; give a .jsonl file")
    check_outputs({"data": options.data}, {"output": output})


def _show(pairs: PairSet, shaped: Sequence[PreferencePair]) -> None:
    from softpref.data.inspection import label_summary

    if pairs.reading.identical_dropped:
        say(f"dropped: {pairs.reading.identical_dropped} pairs with two identical sides")
    before, after = label_summary(pairs), label_summary(shaped)
    for what, count, summary in (("before", len(pairs), before), ("after", len(shaped), after)):
        say(f"{what}: {count} pairs, mean |2p − 1| = {summary['effective_weight']:.3f}, {summary['ties']} ties")
        for line in histogram_lines(summary["histogram"]):
            say(line)
    turned = sum(after["histogram"][: len(after["histogram"]) // 2])
    if turned:
        say(f"p is of the side preferred before; {turned} labels now prefer the other one")
