"""The ``softpref label`` command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from softpref.cli.judges import JudgeOptions, make_judge
from softpref.cli.options import parse_options, say
from softpref.data.formats import read_pairs
from softpref.data.pairs import PairSet, text_of
from softpref.data.read_options import ReadOptions
from softpref.errors import InterruptedRunError, OptionError
from softpref.judges.base import Judge

if TYPE_CHECKING:
    from softpref.judges.labelling import Labelling, LabelOptions

# A token of English text has about four characters; good enough for an estimate that says so.
CHARACTERS_PER_TOKEN = 4


@dataclass(kw_only=True)
class LabelCommand(JudgeOptions):
    """Turn pairs into soft labels that know where they came from, by a judge asked in both orders.

    Every answer is stored before it is used. The same command goes on where a stopped one ended, and pays nothing twice.

    Attributes:
        data: JSONL or CSV file of pairs. Labels that it has are kept as label_before, and compared with.
        output: JSONL file to write. Answers (.sqlite), failed rows (.failed.jsonl) and a summary (.labels.json) lie beside it.
        orders: both, or first: response 1 shown first only, which leaves the position bias in and stands in every label.
        calibration: File that softpref calibrate wrote; applied to every label.
        identical: error, or drop (counted), where both responses are the same text.
        yes: Do not ask before paid calls are made.
    """

    data: str
    output: str
    orders: str = "both"
    calibration: str | None = None
    identical: str = "error"
    yes: bool = False


def run(argv: Sequence[str]) -> None:
    """Label one file and print what came of it."""
    options = parse_options(LabelCommand, "softpref label", argv)
    if options.orders not in ("both", "first"):
        raise OptionError(f"orders is {options.orders!r}; it can be 'both' or 'first'")
    output = Path(options.output)
    if output.suffix != ".jsonl":
        raise OptionError(f"output is {options.output!r}; give a .jsonl file")
    pairs = read_pairs(options.data, ReadOptions(identical=options.identical))
    judge = make_judge(JudgeOptions(**{f.name: getattr(options, f.name) for f in fields(JudgeOptions)}))
    _agree_to_pay(options, pairs)
    from softpref.cli.progress import AnswerProgress
    from softpref.judges.labelling import label_pairs

    calls = len(pairs) * (2 if options.orders == "both" else 1)
    try:
        with AnswerProgress(calls, judge) as progress:
            labelling = label_pairs(pairs, judge, output, progress.take, _label_options(options, pairs, judge))
    except (KeyboardInterrupt, InterruptedRunError) as stop:
        why = str(stop) or "interrupted; what was judged is stored"
        raise InterruptedRunError(
            f"{why}. Run the same command again to go on from {output.with_suffix('.sqlite')}"
        ) from None
    _show(labelling, output)


def _label_options(options: LabelCommand, pairs: PairSet, judge: Judge) -> LabelOptions:
    from softpref.judges.labelling import LabelOptions, orders_text

    both = options.orders == "both"
    if options.calibration is None:
        return LabelOptions(both)
    from softpref.evaluation.calibration import calibrator_for

    calibrate = calibrator_for(options.calibration, pairs, judge.identity, orders_text(both))
    return LabelOptions(both, calibrate, options.calibration)


def _agree_to_pay(options: LabelCommand, pairs: PairSet) -> None:
    """Say what a server run will send, and ask, unless --yes."""
    if options.judge != "server":
        return
    calls = len(pairs) * (2 if options.orders == "both" else 1)
    characters = sum(len(text_of(t)) for pair in pairs for t in (pair.prompt, pair.chosen, pair.rejected))
    tokens = characters // CHARACTERS_PER_TOKEN * calls // max(1, len(pairs))
    cost = f", about {tokens * options.price_in / 1e6:.2f} at your prices" if options.price_in is not None else ""
    say(f"at most {calls} questions, roughly {tokens:,} prompt tokens beside the judge's own prompt{cost}")
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise OptionError("nobody is there to agree to paid calls: give --yes true")
    if input("go on? [y/N] ").strip().lower() not in ("y", "yes"):
        raise OptionError("not agreed to; nothing was sent but the probe")


def _show(labelling: Labelling, output: Path) -> None:
    of = f"{labelling.labelled} of {labelling.asked} pairs"
    say(f"labelled {of} (coverage {labelling.coverage:.1%}), orders: {labelling.orders}")
    for reason, count in labelling.failures.items():
        say(f"  failed {count} times: {reason}")
    if labelling.position_bias is not None:
        say(f"  position bias {labelling.position_bias:+.3f}; orders disagree on {labelling.order_disagreement:.1%}")
    if labelling.agreement is not None:
        a = labelling.agreement
        say(
            f"  against the {a['pairs']} labels before: accuracy {a['accuracy']:.3f}, Cohen's kappa {a['cohen_kappa']:.3f}"
        )
    say(f"labels: {output}")
