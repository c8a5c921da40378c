"""The ``softpref calibrate`` command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from softpref.cli.options import parse_options, say
from softpref.data.outputs import check_outputs
from softpref.data.read_options import ReadOptions
from softpref.errors import OptionError
from softpref.records.figures import Interval

if TYPE_CHECKING:
    from softpref.evaluation.judge_calibration import FitOptions, GoldOptions, Outcome

# A temperature that leaves nothing of a judge's opinion.
NO_OPINION = 1e3


@dataclass
class CalibrateOptions:
    """Fit a map from a judge's p to probabilities that gold labels bear out, and score it on rows that it has not seen.

    Attributes:
        data: JSONL or CSV file with the judge's soft_label, as softpref label writes it, and a gold label in every row.
        gold: Column or path of the gold label of the first side, meta.gold say; a number in [0, 1], unless gold_first is given.
        method: A temperature, Platt's two parameters, or an isotonic step function.
        output: JSON file for the fitted calibration; softpref label applies it to other pairs.
        gold_first: The value of gold that says that the first side is better.
        gold_second: The value of gold that says that the second side is better.
        symmetric: Fit on both orientations of every pair, so that exchanging the sides gives 1 − p.
        clip: p is brought into [clip, 1 − clip] first. For shares of n votes, about 1 / (n + 2).
        folds: Parts of the cross-validation that the scores come from.
        group: prompt, or a column or path; rows of one group are never fitted on and scored together.
        seed: Seed that deals the groups out to the folds.
        html: HTML file for a reliability plot and the scores.
        out_of_fold: JSONL file for the same rows with their out-of-fold calibrated labels.
        reading: How the file becomes labelled pairs.
    """

    data: list[str] | str
    gold: str
    method: Literal["temperature", "platt", "isotonic"]
    output: str
    gold_first: str | None = None
    gold_second: str | None = None
    symmetric: bool = True
    clip: float = 1e-6
    folds: int = 5
    group: str = "prompt"
    seed: int = 0
    html: str | None = None
    out_of_fold: str | None = None
    reading: ReadOptions = field(default_factory=ReadOptions)


def run(argv: Sequence[str]) -> None:
    """Fit, score, write and print."""
    options = parse_options(CalibrateOptions, "softpref calibrate", argv)
    _check_files(options)
    from softpref.data.formats import read_pairs
    from softpref.evaluation.judge_calibration import calibrate, gold_rows, write_calibration, write_out_of_fold

    gold, fit = _stage_options(options)
    outcome = calibrate(gold_rows(read_pairs(options.data, options.reading.noting(options.gold, options.group)), gold), gold, fit)
    write_calibration(options.output, outcome.calibration)
    _show(outcome, options)
    say(f"calibration: {options.output}")
    if options.out_of_fold is not None:
        write_out_of_fold(options.out_of_fold, outcome)
        say(f"out-of-fold labels: {options.out_of_fold}")
    if options.html is not None:
        from softpref.report.calibration_report import calibration_report
        from softpref.report.page import write_page

        say(f"reliability plot: {write_page(calibration_report(outcome), options.html)}")


def _stage_options(options: CalibrateOptions) -> tuple[GoldOptions, FitOptions]:
    from softpref.evaluation.judge_calibration import FitOptions, GoldOptions

    gold = GoldOptions(options.gold, options.gold_first, options.gold_second, options.group)
    return gold, FitOptions(options.method, options.symmetric, options.clip, options.folds, options.seed)


def _check_files(options: CalibrateOptions) -> None:
    """Before anything is computed: every file has its suffix, and none is written over another."""
    suffixes = {"output": ".json", "out_of_fold": ".jsonl", "html": ".html"}
    for name, suffix in suffixes.items():
        value = getattr(options, name)
        if value is not None and Path(value).suffix != suffix:
            raise OptionError(f"{name} is {value!r}; give a {suffix} file")
    check_outputs({"data": options.data}, {name: getattr(options, name) for name in suffixes})


def _show(outcome: Outcome, options: CalibrateOptions) -> None:
    from softpref.core.calibration import Temperature
    from softpref.report.format import PARTS, SCORES, parameters

    fitted_on, scores = outcome.calibration.fitted_on, outcome.calibration.scores
    say(
        f"{fitted_on.file}: {fitted_on.rows} rows in {fitted_on.groups} groups by {fitted_on.group}, "
        f"judge {fitted_on.judge or 'unknown'}, mean gold {outcome.rows.gold.mean():.3f}"
    )
    if outcome.rows.identical_dropped:
        say(f"dropped: {outcome.rows.identical_dropped} rows with two identical sides")
    if outcome.clipped:
        say(
            f"{outcome.clipped} labels lay outside [{options.clip:g}, 1 − {options.clip:g}] and count as its ends; "
            "the scores hang on that bound (--clip)"
        )
    if outcome.separated:
        n = fitted_on.rows
        say(
            f"the judge's labels part the gold ones without one miss, so {n} rows set the calibration no bound: it was fitted as "
            f"if each gold label were 1/{n + 2} from certain, which is all that {n} rows prove; give more rows"
        )
    if isinstance(outcome.calibration.calibrator, Temperature) and outcome.calibration.calibrator.temperature > NO_OPINION:
        say("the temperature is at its upper bound: the judge's labels say nothing about gold, and all become p = 0.5")
    say(f"{outcome.calibration.method}: {parameters(outcome.calibration.calibrator)}, fitted on all rows")
    say(f"scores out of fold ({scores.folds} folds, no group in fit and score alike), 95% intervals over groups:")
    say(f"  {'':<16}{'before':<24}{'after':<24}after − before")
    for name, label in SCORES.items():
        say(f"  {label:<16}" + "".join(f"{_interval(getattr(scores, part)[name], part):<24}" for part in PARTS).rstrip())
    say("  (an ECE counts noise, so its intervals lean upwards; Brier and log score decide)")


def _interval(figure: Interval, part: str) -> str:
    sign = "+" if part == "difference" else ""
    value, low, high = ("–" if x is None else f"{x:{sign}.3f}" for x in (figure.value, figure.low, figure.high))
    return f"{value} [{low}, {high}]"
