"""The ``softpref advise`` command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from softpref.cli.histogram import histogram_lines
from softpref.cli.options import parse_options, say
from softpref.data.read_options import ReadOptions, dropping_identical
from softpref.errors import InputError, OptionError

if TYPE_CHECKING:
    from softpref.advice.advice import Advice, Labels, Standing
    from softpref.data.pairs import PairSet

LOSS_TYPES = {"hard": "dpo", "conservative": "cdpo", "geometric": "gdpo"}
# The paper's beta of DPO for plans and dialogue (arXiv 2409.06691); for summaries it takes 0.5.
PAPER_BETA = 0.1


@dataclass
class AdviseOptions:
    """Say which label treatment and beta the bandit's map favours for labels like these, and how sure that is.

    Attributes:
        data: JSONL or CSV file of labelled pairs.
        sharpness: The temperature that softpref calibrate fits to the labels; above 1 they are too sure. Not known if not given.
        flips: Share of labels that are simply wrong; not known if not given.
        votes: Votes behind every label, where the file does not say so.
        training: How long training goes on; all of them if not given.
        decoding: How responses are drawn, within_1_nat being samples at a KL of 1 nat from the reference; all if not given.
        reading: How the file becomes labelled pairs. Pairs with two identical sides are dropped and counted.
    """

    data: list[str] | str
    sharpness: float | None = None
    flips: float | None = None
    votes: int | None = None
    training: Literal["short", "medium", "long"] | None = None
    decoding: Literal["greedy", "sampled", "within_1_nat"] | None = None
    reading: ReadOptions = field(default_factory=dropping_identical)


def run(argv: Sequence[str]) -> None:
    """Describe the labels, and print what the evidence says."""
    options = parse_options(AdviseOptions, "softpref advise", argv)
    from softpref.advice.advice import Asked, advise, describe
    from softpref.advice.evidence import read_evidence
    from softpref.data.formats import read_pairs

    asked = Asked(options.sharpness, options.flips, options.training, options.decoding)
    pairs = read_pairs(options.data, options.reading)
    if not pairs.labelled:
        raise InputError(f"{pairs.name}: has no soft labels; label the pairs first (softpref label)")
    labels = _with_votes(describe(pairs), options.votes)
    _show_labels(pairs, labels)
    evidence = read_evidence()
    _show(advise(labels, asked, evidence), labels, evidence)


def _with_votes(labels: Labels, votes: int | None) -> Labels:
    if votes is None:
        return labels
    if labels.votes is not None:
        raise OptionError("votes has no effect: the file says how many votes stand behind its labels; leave it out")
    if votes < 1:
        raise OptionError(f"votes is {votes}; give 1 or more")
    return replace(labels, votes=float(votes), raw=True)


def _show_labels(pairs: PairSet, labels: Labels) -> None:
    from softpref.data.inspection import label_summary

    dropped = pairs.reading.identical_dropped
    say(f"{pairs.name}: {labels.pairs} pairs" + (f", {dropped} with two identical sides dropped" if dropped else ""))
    for line in histogram_lines(label_summary(pairs)["histogram"]):
        say(line)
    say(f"mean |2p − 1| = {labels.confidence:.3f}; {labels.ties} ties")
    for doubt in pairs.reading.doubts:
        say(f"warning: {doubt}")
    say("labels: " + ", ".join(f"{count} {name}" for name, count in labels.methods.items()))
    if labels.votes is not None:
        say(f"votes behind a label: {labels.votes:g}, p their {'raw mean' if labels.raw else 'mean through a Beta prior'}")
    say(f"calibration: {_calibration(labels)}")


def _calibration(labels: Labels) -> str:
    if labels.calibrated == 1:
        return "recorded in every label"
    return f"recorded in {labels.calibrated:.0%} of the labels" if labels.calibrated else "none recorded"


def _show(advice: Advice, labels: Labels, evidence: Mapping[str, Any]) -> None:
    say()
    if labels.ties == labels.pairs:
        say("no advice: every pair is a tie (p = 0.5), and ties alone teach nothing; softpref train refuses them.")
    elif not advice.standings:
        say("no advice: the evidence has nothing like these labels.")
    elif labels.hard:
        say("every label is 0, 1 or a tie: hard and geometric are then the same loss, and conservative differs on ties alone.")
        say("advice: label_treatment hard (loss_type dpo). Several votes a pair, or a judge's probabilities, make labels soft.")
    else:
        _show_standings(advice)
    for doubt in advice.doubts:
        say(f"  doubt: {doubt}")
    say(f"evidence: a one-dimensional bandit, not a language model ({evidence['command']}; docs/research/which_loss.md).")


def _show_standings(advice: Advice) -> None:
    best, *_ = advice.standings
    say(f"over the {advice.situations} situations of the map that fit, in shares of the reward range:")
    say(f"  {'':<14}{'best or within 0.01':>20}{'behind the best':>18}{'worst in ten':>15}")
    for name, one in advice.standings.items():
        say(f"  {name:<14}{one.near_best:>20.0%}{one.regret:>18.3f}{one.worst:>15.3f}")
    say(_verdict(best, advice))
    names = [best, *advice.beside]
    for name in names:
        say(f"  label_treatment {name} (loss_type {LOSS_TYPES[name]}): {_beta(name, advice.standings[name])}")


def _verdict(best: str, advice: Advice) -> str:
    if advice.settled:
        return f"advice: {best}; the evidence is clear."
    if advice.beside:
        names = " or ".join([best, *advice.beside])
        return f"advice: {names}; the evidence does not tell them apart (under 0.01 between them)."
    return f"advice: {best} on average; it is not the best everywhere, and what decides is not to be seen in the file."


def _beta(name: str, one: Standing) -> str:
    if name == "hard":
        return f"the beta you would take for DPO (the paper: {PAPER_BETA} for plans and dialogue, 0.5 for summaries)"
    low, middle, high = one.beta
    return (
        f"{middle:.2g} times the beta of DPO (half of the situations: {low:.2g} to {high:.2g}), "
        f"so {middle * PAPER_BETA:.2g} for {PAPER_BETA}"
    )
