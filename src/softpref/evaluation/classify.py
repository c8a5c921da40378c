"""Does a model's implicit reward prefer what people prefer? Margins on a labelled set, and every figure that follows.

A pair has no first side of its own, so every pair counts in both orders of its sides: the margin h with the label p, and −h
with 1 − p. Accuracy, Brier and log score are the same either way; AUC and calibration then exist for sets whose files always
name the better response first, and do not depend on which response a file names first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from softpref.core.arrays import Floats
from softpref.core.calibration import bin_of
from softpref.core.statistics import Estimate, cluster_bootstrap, codes_of, tie_aware_accuracy
from softpref.data.formats import read_pairs
from softpref.data.pairs import PairSet, PreferencePair, Reading, text_of, word_count
from softpref.data.places import Data, data_name, with_prior_of
from softpref.data.read_options import ReadOptions
from softpref.errors import InputError, OptionError
from softpref.evaluation.classification import Bootstrap, calibration_figures, ranking_figures, side_scores
from softpref.evaluation.implicit_reward import ImplicitReward, reference_of_run, reward_of_run, run_record
from softpref.loading.models import check_model
from softpref.records.evaluation import AccuracyBin, ClassificationFigures, ClassificationRecord
from softpref.records.figures import Interval, LabelBin, ReliabilityBin
from softpref.records.record import command_line
from softpref.run_folder import CLASSIFICATION_FILE

# Takes places among N pairs, some of them twice, and gives the bootstrap for rows that stand at those places.
Draws: TypeAlias = Callable[[NDArray[np.intp]], Bootstrap]

RELIABILITY_BINS = 10
# Of max(p, 1 − p), from ½ to 1.
LABEL_EDGES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class Subject:
    """A model, what its margins are taken against, and how."""

    model: str
    reference: str | None
    reward: ImplicitReward


def subject_of(model: str, reference: str | None = None, beta: float | None = None) -> Subject:
    """What to score: a run folder says its reference, its margin and its beta itself; any other model must be told.

    Raises OptionError for a reference or a beta that would have no effect, or that is missing.
    """
    record = run_record(model)
    if record is None:
        if reference is None:
            raise OptionError(f"{model} is no run folder, so its reference is not known: name it with --reference")
        return Subject(model, reference, ImplicitReward(beta=beta))
    reward = reward_of_run(record)
    if reward.method == "sft":
        raise OptionError(f"{model}: was trained by sft, which compares nothing; classify a run that learned preferences")
    if beta is not None and reward.beta is not None:
        raise OptionError(f"{model} was trained with beta {reward.beta}: leave beta out")
    if reference is not None and not reward.needs_reference:
        raise OptionError(f"{model} was trained without a reference ({reward.method}): leave reference out")
    found = (reference or reference_of_run(model, record)) if reward.needs_reference else None
    return Subject(model, found, replace(reward, beta=beta if reward.beta is None else reward.beta))


def classify(
    model: str,
    data: Data,
    output: str | Path,
    reference: str | None = None,
    beta: float | None = None,
    reading: ReadOptions | None = None,
) -> ClassificationRecord:
    """Classify the pairs of a file by the implicit reward of a model; writes ``classification.json`` and returns it.

    Raises InputError for data without labels, DataError for rows that are wrong, OptionError as ``subject_of`` does.
    """
    subject = subject_of(model, reference, beta)
    pairs = read_pairs(data, reading_for(model, reading))
    require_labels(pairs)
    h = sides_under(subject, pairs)
    margins = h[:, 0] - h[:, 1]
    figures = classification_figures(margins, pairs, subject.reward.beta)
    return write_classification(output, subject, data, figures, pairs.reading)


def write_classification(
    output: str | Path, subject: Subject, data: Data, figures: ClassificationFigures, reading: Reading | None = None
) -> ClassificationRecord:
    """``classification.json`` from what ``classification_figures`` gave; returns what it holds."""
    run = run_record(subject.model)
    record = ClassificationRecord(
        model=subject.model,
        reference=subject.reference,
        data=data_name(data),
        method=subject.reward.method,
        margin=subject.reward.describe(),
        beta=subject.reward.beta,
        vote_prior=None if reading is None else reading.vote_prior,
        run_vote_prior=None if run is None else run.data.reading.vote_prior,
        **vars(figures),
        command=command_line(),
    )
    record.write(Path(output) / CLASSIFICATION_FILE)
    return record


def reading_for(model: str, reading: ReadOptions | None = None) -> ReadOptions:
    """How pairs are read for a model: votes become p by the prior of its run, unless the options say otherwise."""
    run, options = run_record(model), reading or ReadOptions()
    return options if run is None else with_prior_of(options, run.data.reading)


def require_labels(pairs: PairSet) -> None:
    """Raises InputError for a file of pairs without labels."""
    if not pairs.labelled:
        raise InputError(f"{pairs.name}: its pairs have no label, so there is nothing to compare the margins with")


def sides_under(subject: Subject, pairs: Sequence[PreferencePair]) -> Floats:
    """The implicit reward of both sides of N pairs, (N, 2) in nats, without beta: log-ratios, or log-probs."""
    if subject.reference is not None:
        check_model(subject.reference)
    scores = side_scores(subject.model, pairs)
    sides = subject.reward.of_sides(scores.logps, scores.lengths)
    if subject.reference is None:
        return sides
    against = side_scores(subject.reference, pairs)
    return sides - subject.reward.of_sides(against.logps, against.lengths)


# --- figures --------------------------------------------------------------------------------------------------------------


def prompts_drawn(pairs: Sequence[PreferencePair]) -> Draws:
    """Draws the prompts of these pairs."""
    clusters = codes_of(text_of(pair.prompt) for pair in pairs)
    return lambda places: partial(cluster_bootstrap, clusters=clusters[places])


def classification_figures(
    margins: Floats, pairs: Sequence[PreferencePair], beta: float | None, draws: Draws | None = None
) -> ClassificationFigures:
    """Every figure of N margins (N,) against the pairs' labels. Intervals draw prompts if not told.

    Without a beta nothing says how sure a margin is, and the figures that would need it are None.
    """
    p = np.array([pair.soft_label for pair in pairs], dtype=np.float64)
    words = np.array([word_count(pair.chosen) - word_count(pair.rejected) for pair in pairs], dtype=np.float64)
    draws = draws or prompts_drawn(pairs)
    once = draws(np.arange(len(pairs)))
    both = _Twice(len(pairs), draws)
    ranking = ranking_figures(both.of(margins, odd=True), both.of(p), both)
    calibration: dict[str, Estimate] = {}
    reliability = None
    if beta is not None:
        calibration = calibration_figures(beta * both.of(margins, odd=True), both.of(p), both)
        reliability = _reliability(expit(beta * both.of(margins, odd=True)), both.of(p))
    estimates = {**ranking, **calibration, "longer_wins": once(tie_aware_accuracy, words, p)}
    return ClassificationFigures(
        pairs=len(pairs),
        prompts=len({text_of(pair.prompt) for pair in pairs}),
        ties=int((p == 0.5).sum()),
        **{name: Interval.of(estimate) for name, estimate in estimates.items()},
        over_longer=Interval.of(once(_gain, margins, words, p)),
        reliability=reliability,
        by_bin=_by_bin(margins, p, draws),
    )


@dataclass(frozen=True)
class _Twice:
    """N rows in both orders of their sides, and a bootstrap that knows that they are the same pairs."""

    n: int
    draws: Draws

    def of(self, values: Floats, odd: bool = False) -> Floats:
        """(N,) margins to h, −h (``odd``), or (N,) labels to p, 1 − p: (2N,)."""
        return np.concatenate([values, -values if odd else 1 - values])

    def __call__(self, statistic: Any, *rows: Floats) -> Estimate:
        """n of the result counts pairs."""
        found = self.draws(np.tile(np.arange(self.n), 2))(statistic, *rows)
        return replace(found, n=self.n)


def _gain(margins: Floats, words: Floats, p: Floats) -> float:
    """Accuracy less that of choosing the longer response every time, on the same pairs."""
    return tie_aware_accuracy(margins, p) - tie_aware_accuracy(words, p)


def _reliability(predicted: Floats, p: Floats) -> list[ReliabilityBin]:
    """Equal-width bins of p̂: how many, the mean of p̂ and the mean of p; None where a bin is empty."""
    which = bin_of(predicted, RELIABILITY_BINS)
    edges = np.linspace(0, 1, RELIABILITY_BINS + 1)
    return [
        ReliabilityBin(
            float(low),
            float(high),
            int((which == i).sum()),
            mean_or_none(predicted[which == i]),
            mean_or_none(p[which == i]),
        )
        for i, (low, high) in enumerate(pairwise(edges))
    ]


def _by_bin(margins: Floats, p: Floats, draws: Draws) -> list[AccuracyBin]:
    """Accuracy, and mean margin towards the better side, by how sure the label is."""
    towards = margins * np.where(p < 0.5, -1, 1)
    bins = []
    for bounds, inside in label_bins(p):
        accuracy = None
        if (inside & (p != 0.5)).any():
            accuracy = Interval.of(draws(np.flatnonzero(inside))(tie_aware_accuracy, margins[inside], p[inside]))
        mean = mean_or_none(towards[inside])
        bins.append(AccuracyBin(bounds.low, bounds.high, bounds.count, accuracy, mean))
    return bins


def label_bins(p: Floats) -> list[tuple[LabelBin, NDArray[np.bool_]]]:
    """Each bin of max(p, 1 − p), and which of the N pairs lie in it, (N,)."""
    # 1 − 0.4 is 0.6 and must fall where 0.6 does
    sure = np.maximum(p, 1 - p).round(9)
    which = np.clip(np.searchsorted(LABEL_EDGES, sure, side="right") - 1, 0, len(LABEL_EDGES) - 2)
    return [(LabelBin(low, high, int((which == i).sum())), which == i) for i, (low, high) in enumerate(pairwise(LABEL_EDGES))]


def mean_or_none(values: Floats) -> float | None:
    """The mean, None of nothing."""
    return float(values.mean()) if len(values) else None
