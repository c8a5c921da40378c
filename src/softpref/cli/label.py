"""The ``softpref label`` command."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from softpref.cli.judges import JudgeOptions, agree_to_pay, judge_options, make_judge
from softpref.cli.options import checked, parse_options, say
from softpref.data.formats import read_pairs
from softpref.data.output_lock import only_writer
from softpref.data.outputs import check_outputs
from softpref.data.pairs import PairSet, text_of
from softpref.data.read_options import ReadOptions
from softpref.errors import InterruptedRunError, OptionError
from softpref.judges.base import Judge

if TYPE_CHECKING:
    from softpref.judges.joint import Joint
    from softpref.judges.labelling import LabelOptions
    from softpref.records.labels import BetweenJudges, Labelling

PROG = "softpref label"
# What lies beside the output.
BESIDE = (".sqlite", ".failed.jsonl", ".labels.json")


@dataclass(kw_only=True)
class LabelCommand(JudgeOptions):
    """Turn pairs into soft labels by judges asked in both orders.

    Every answer is stored before it is used. Rerun the command to resume: stored answers are not
    requested again.

    Attributes:
        data: JSONL or CSV file of pairs. Labels that it has are kept as label_before, and compared with.
        output: JSONL file to write; answers (.sqlite), failed rows (.failed.jsonl) and a summary (.labels.json) beside it.
        judge: server, local, reward_model or plan_world (the simulated judge of the demo's world); or give judges.
        judges: Several together, each a name and its own options: --judges.NAME '{judge: local, judge_model: …}'.
        average: judges: the scale on which their p are averaged, probability (the default) or log_odds.
        min_judges: judges: a pair that fewer have answered has failed; all of them if not given.
        orders: both, or first: response 1 shown first only, which leaves the position bias in; every label records it.
        calibration: File that softpref calibrate wrote; applied to every label.
        gold: Column or path of a trusted label of response 1, meta.gold say, to compare with; it is not used.
        gold_first: The value of gold that says that response 1 is better.
        gold_second: The value of gold that says that response 2 is better.
        reading: How the file becomes pairs.
        yes: Do not ask before paid calls are made.
    """

    data: str
    output: str
    judge: str | None = None  # type: ignore[assignment]  # or several
    judges: dict[str, Any] = field(default_factory=dict)
    average: Literal["probability", "log_odds"] | None = None
    min_judges: int | None = None
    orders: Literal["both", "first"] = "both"
    calibration: str | None = None
    gold: str | None = None
    gold_first: str | None = None
    gold_second: str | None = None
    yes: bool = False
    reading: ReadOptions = field(default_factory=ReadOptions)


def run(argv: Sequence[str]) -> None:
    """Label one file and print what came of it."""
    options = parse_options(LabelCommand, PROG, argv)
    output = Path(options.output)
    if output.suffix != ".jsonl":
        raise OptionError(f"output is {options.output!r}; give a .jsonl file")
    asked = _asked(options)
    _check_output(options, output, asked)
    pairs = read_pairs(options.data, options.reading.before_labelling())
    gold = _gold(options, pairs)
    judges = {name: make_judge(one) for name, one in asked.items()}
    joint = _joint(options, judges)
    _ask(options, pairs, list(asked.values()))
    try:
        with only_writer(output, PROG, _job(options, judges), is_file=True):
            _label(options, pairs, judges, joint, gold)
    except (KeyboardInterrupt, InterruptedRunError) as stop:
        why = str(stop) or "interrupted; what was judged is stored"
        raise InterruptedRunError(f"{why}. Run the same command again to go on from {output.with_suffix('.sqlite')}") from None
    say(f"labels: {output}")


def _check_output(options: LabelCommand, output: Path, asked: Mapping[str, JudgeOptions]) -> None:
    inputs: dict[str, str | Path | None] = {"data": options.data, "calibration": options.calibration}
    inputs |= {f"judge_prompt of {name}": one.judge_prompt for name, one in asked.items()}
    beside = {f"the {suffix} file beside output": output.with_suffix(suffix) for suffix in BESIDE}
    check_outputs(inputs, {"output": output, **beside})


def _job(options: LabelCommand, judges: Mapping[str, Judge]) -> str:
    """What the output will hold. Processes at the same job share its store, and write the same rows."""
    chosen = [os.path.realpath(options.data), asdict(options.reading), options.orders, options.calibration]
    joined = [options.average, options.min_judges, options.gold]
    return json.dumps([*chosen, *joined, sorted(judge.identity for judge in judges.values())], default=str)


def _asked(options: LabelCommand) -> dict[str, JudgeOptions]:
    """What each judge is to be, by name; one judge alone has the name of its kind."""
    if not options.judges:
        for name in ("average", "min_judges"):
            if getattr(options, name) is not None:
                raise OptionError(f"{name} has no effect with one judge: leave it out")
        if options.judge is None:
            raise OptionError(f"judge: required; see {PROG} --help")
        return {options.judge: judge_options(options)}
    for name, value in vars(judge_options(options)).items():
        if value not in (None, {}):
            raise OptionError(f"{name} has no effect beside judges: write it into the judges it is meant for")
    if len(options.judges) == 1:
        raise OptionError("judges names one judge only: give several, or one as --judge")
    return {name: checked(JudgeOptions, PROG, f"judges.{name}", one) for name, one in options.judges.items()}


def _gold(options: LabelCommand, pairs: PairSet) -> list[float] | None:
    if options.gold is None:
        if options.gold_first is not None or options.gold_second is not None:
            raise OptionError("gold_first and gold_second have no effect without gold: name its column")
        return None
    from softpref.evaluation.judge_calibration import GoldOptions, gold_labels

    return gold_labels(pairs, GoldOptions(options.gold, options.gold_first, options.gold_second))


def _joint(options: LabelCommand, judges: Mapping[str, Judge]) -> Joint | None:
    if len(judges) == 1:
        return None
    from softpref.judges.joint import Joint

    joint = Joint(options.average or "probability", options.min_judges)
    joint.check(judges)
    return joint


def _label(
    options: LabelCommand, pairs: PairSet, judges: Mapping[str, Judge], joint: Joint | None, gold: list[float] | None
) -> None:
    from softpref.cli.progress import AnswerProgress
    from softpref.judges.joint import label_together
    from softpref.judges.labelling import label_pairs

    output, first = Path(options.output), next(iter(judges.values()))
    how = _label_options(options, pairs, first.identity if joint is None else joint.identity(judges), gold)
    with AnswerProgress(_questions(options, pairs) * len(judges), list(judges.values())) as progress:
        if joint is None:
            record = label_pairs(pairs, first, output, progress.take, how)
        else:
            record = label_together(pairs, judges, output, joint, progress.take, how)
    _show(record, "all judges together: " if record.each else "")
    for name, labelling in record.each.items():
        _show(labelling, f"{name}: ")
    if record.between is not None:
        _show_agreement(record.between)


def _label_options(options: LabelCommand, pairs: PairSet, identity: str, gold: list[float] | None) -> LabelOptions:
    from softpref.judges.labelling import LabelOptions, orders_text

    both = options.orders == "both"
    if options.calibration is None:
        return LabelOptions(both, gold=gold)
    from softpref.evaluation.judge_calibration import calibrator_for

    calibrate = calibrator_for(options.calibration, pairs, identity, orders_text(both))
    return LabelOptions(both, calibrate, options.calibration, gold)


def _questions(options: LabelCommand, pairs: PairSet) -> int:
    return len(pairs) * (2 if options.orders == "both" else 1)


def _ask(options: LabelCommand, pairs: PairSet, asked: Sequence[JudgeOptions]) -> None:
    """Before paid calls are made."""
    characters = sum(len(text_of(t)) for pair in pairs for t in (pair.prompt, pair.chosen, pair.rejected))
    agree_to_pay(asked, _questions(options, pairs), characters / max(1, len(pairs)), yes=options.yes)


def _show(labelling: Labelling, who: str = "") -> None:
    of = f"{labelling.labelled} of {labelling.asked} pairs"
    say(f"{who}labelled {of} (coverage {labelling.coverage:.1%}), orders: {labelling.orders}")
    for reason, count in labelling.failures.items():
        say(f"  failed {count} times: {reason}")
    if labelling.position_bias is not None:
        say(f"  position bias {labelling.position_bias:+.3f}; orders disagree on {labelling.order_disagreement:.1%}")
    for name, found in labelling.against.items():
        say(
            f"  against {name}, {found.pairs} pairs: accuracy {found.accuracy:.3f}, "
            f"Cohen's kappa {_figure(found.kappa)}, Krippendorff's alpha {_figure(found.alpha)}"
        )


def _show_agreement(between: BetweenJudges) -> None:
    for two in between.pairs:
        names = " and ".join(two.judges)
        say(f"{names}, {two.comparisons} pairs: equal verdicts {two.accuracy:.3f}, Cohen's kappa {_figure(two.kappa)}")
    say(f"agreement of all judges: Krippendorff's alpha {_figure(between.alpha)}")


def _figure(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"
