"""The ``softpref classify`` command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from softpref.cli.options import parse_options, say
from softpref.data.outputs import check_outputs
from softpref.data.read_options import ReadOptions, dropping_identical
from softpref.records.evaluation import ClassificationRecord


@dataclass
class ClassifyOptions:
    """See whether a model's implicit reward prefers what people prefer: accuracy, AUC and calibration on labelled pairs.

    Attributes:
        model: Run folder of softpref train, or the folder (model or PEFT adapter) or Hub name of any model.
        data: JSONL or CSV file of labelled pairs; best one unlike the training set.
        output: Folder for classification.json.
        reference: Folder or Hub name of the reference; a run folder names its own.
        beta: Log-odds of a preference per nat of margin; a run folder says its own. Without it there is no calibration.
        reading: How the file becomes labelled pairs. Pairs with two identical sides are dropped and counted.
    """

    model: str
    data: list[str] | str
    output: str
    reference: str | None = None
    beta: float | None = None
    reading: ReadOptions = field(default_factory=dropping_identical)


def run(argv: Sequence[str]) -> None:
    """Classify and print the figures."""
    options = parse_options(ClassifyOptions, "softpref classify", argv)
    from softpref.evaluation.classify import classify
    from softpref.run_folder import CLASSIFICATION_FILE

    written = Path(options.output) / CLASSIFICATION_FILE
    check_outputs({"data": options.data}, {CLASSIFICATION_FILE: written}, {"output": options.output})
    result = classify(options.model, options.data, options.output, options.reference, options.beta, options.reading)
    for line in lines(result):
        say(line)
    say(f"figures: {options.output}/{CLASSIFICATION_FILE}")


FIGURES = {
    "accuracy": "share of pairs whose better side has the higher reward",
    "auc": "½ knows nothing, 1 ranks every pair rightly",
    "brier": "mean (s(βh) − p)²; ¼ for always ½ on hard labels",
    "log_score": "nats; 0.693 for always ½",
    "ece": "calibration error of s(βh)",
    "longer_wins": "accuracy of preferring the longer response",
}


def prior_lines(result: ClassificationRecord) -> Iterator[str]:
    """By which prior votes became p, where it matters: whether it is the one by which the run's own did."""
    here, run = result.vote_prior, result.run_vote_prior
    if here is not None and here == run:
        yield f"votes became p by the run's own prior, Beta({here:.3g}, {here:.3g})"
    elif here is not None and run is not None:
        yield (
            f"votes became p by Beta({here:.3g}, {here:.3g}), those of the run by Beta({run:.3g}, {run:.3g}): equal votes are "
            "other labels here (leave vote_prior out to use the run's)"
        )


def lines(result: ClassificationRecord) -> Iterator[str]:
    """What a person reads of ``classification.json``."""
    against = f" against {result.reference}" if result.reference else ""
    yield f"{result.model}{against} on {result.data}"
    yield f"{result.pairs} pairs of {result.prompts} prompts, {result.ties} ties; margin: {result.margin}"
    yield from prior_lines(result)
    yield "                     95% interval over prompts"
    for name, what in FIGURES.items():
        if (figure := getattr(result, name)) is not None:
            yield f"  {name:<12} {figure}   ({what})"
    if result.beta is None:
        yield "  no beta is known, so margins are no probabilities: no Brier score, log score or ECE (give --beta)"
    yield "label          pairs  accuracy  mean margin (nats)"
    for row in result.by_bin:
        accuracy = "–" if row.accuracy is None or row.accuracy.value is None else f"{row.accuracy.value:.3f}"
        margin = "–" if row.mean_margin is None else f"{row.mean_margin:+.2f}"
        yield f"  {row.low:.1f} to {row.high:.1f} {row.count:>7}     {accuracy:>5}       {margin:>6}"
