"""Records of evaluation: one model against another, every model against every other, the implicit reward, log-ratios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from softpref.records.figures import (
    ComparisonFigures,
    Interval,
    LabelBin,
    LeftOut,
    LengthFigures,
    NamedInterval,
    ReliabilityBin,
    RepetitionFigures,
)
from softpref.records.record import Record


@dataclass(frozen=True)
class BothLengths:
    """Of the model's responses, and of those it was compared with."""

    model: LengthFigures
    against: LengthFigures


@dataclass(frozen=True)
class BothRepetitions:
    """Of the model's responses, and of those it was compared with."""

    model: RepetitionFigures
    against: RepetitionFigures


@dataclass(frozen=True, kw_only=True)
class EvaluationRecord(ComparisonFigures, Record):
    """``evaluation.json``: a model against another, by a judge in both orders."""

    kind: ClassVar[str] = "evaluation"
    written_by: ClassVar[str] = "softpref evaluate"
    model: str
    against: str
    judge: str
    lengths: BothLengths
    repetition: BothRepetitions | None = None
    left_out: LeftOut | None = None
    reward: NamedInterval | None = None
    kl: Interval | None = None
    models: Sequence[str] = ()
    data: str | None = None
    sampling: Mapping[str, Any] | None = None
    command: str | None = None


@dataclass(frozen=True)
class SeedFigures:
    """One training seed of a pair: its percentage win rate, None where nothing was judged."""

    seed: str
    percentage: float | None
    judged: int


@dataclass(frozen=True, kw_only=True)
class DuelFigures(ComparisonFigures):
    """Two methods, over every seed that both have."""

    model: str
    against: str
    seeds: int = 1
    left_out: LeftOut | None = None
    by_seed: Sequence[SeedFigures] = ()

    def rate_of(self, name: str) -> Interval:
        """The percentage win rate of one of the two."""
        rate = self.win_rates.percentage
        return rate if name == self.model else rate.turned()

    def other(self, name: str) -> str:
        """The one that is not ``name``."""
        return self.against if name == self.model else self.model


@dataclass(frozen=True, kw_only=True)
class HeadToHeadRecord(Record):
    """``head_to_head.json``: every method against every other."""

    kind: ClassVar[str] = "head_to_head"
    written_by: ClassVar[str] = "softpref head-to-head"
    models: Sequence[str]
    judge: str
    pairs: Sequence[DuelFigures]
    prompts: int | None = None
    folders: Sequence[Sequence[str]] = ()
    seeds: Sequence[Sequence[str | None]] = ()
    data: str | None = None
    sampling: Mapping[str, Any] | None = None
    lengths: Sequence[LengthFigures] = ()
    repetition: Sequence[RepetitionFigures] = ()
    command: str | None = None

    def mean_win_rates(self) -> dict[str, float]:
        """By model, its percentage win rate averaged over its opponents."""
        rates: dict[str, list[float]] = {}
        for pair in self.pairs:
            for name in (pair.model, pair.against):
                rates.setdefault(name, []).append(pair.rate_of(name).point)
        return {name: sum(values) / len(values) for name, values in rates.items()}


@dataclass(frozen=True, kw_only=True)
class ComparisonRow:
    """One line of ``comparisons.jsonl``: two responses, and P(the model's is preferred), None where the judge failed."""

    prompt: Any
    response: Any
    against: Any
    p: float | None
    first_shown: float | None = None
    second_shown: float | None = None
    failures: Sequence[str] = ()
    seed: str | None = None


@dataclass(frozen=True)
class AccuracyBin(LabelBin):
    """Accuracy, and the mean margin in nats towards the better side; None where the bin is empty."""

    accuracy: Interval | None = None
    mean_margin: float | None = None


@dataclass(frozen=True, kw_only=True)
class ClassificationFigures:
    """The implicit reward as a classifier of labelled pairs; None where a figure needs a beta and none is known."""

    pairs: int
    accuracy: Interval
    prompts: int | None = None
    ties: int | None = None
    auc: Interval | None = None
    brier: Interval | None = None
    log_score: Interval | None = None
    ece: Interval | None = None
    longer_wins: Interval | None = None
    over_longer: Interval | None = None
    reliability: Sequence[ReliabilityBin] | None = None
    by_bin: Sequence[AccuracyBin] = ()


@dataclass(frozen=True, kw_only=True)
class ClassificationRecord(ClassificationFigures, Record):
    """``classification.json``: the implicit reward of a model on one labelled set.

    ``vote_prior`` is the a of the Beta(a, a) by which votes became p here, ``run_vote_prior`` that of the run's own rows.
    """

    kind: ClassVar[str] = "classification"
    written_by: ClassVar[str] = "softpref classify"
    data: str
    model: str | None = None
    reference: str | None = None
    method: str | None = None
    margin: str | None = None
    beta: float | None = None
    vote_prior: float | None = None
    run_vote_prior: float | None = None
    command: str | None = None


@dataclass(frozen=True)
class RatioBin(LabelBin):
    """Mean log-ratios of both sides in nats, and their difference; None where the bin is empty."""

    chosen_logratio: float | None = None
    rejected_logratio: float | None = None
    margin: float | None = None
    chosen_logratio_per_token: float | None = None


@dataclass(frozen=True)
class RatioStep:
    """The same along training, from the log; ``kl`` where the checkpoint was sampled."""

    step: int
    chosen_logratio: float | None = None
    rejected_logratio: float | None = None
    margin: float | None = None
    kl: float | None = None


@dataclass(frozen=True)
class RatioCheckpoint:
    """One checkpoint by label bin."""

    step: int
    by_bin: Sequence[RatioBin]


@dataclass(frozen=True)
class SampledKL(Interval):
    """KL on samples, and the evaluation that drew them."""

    evaluation: str = ""


@dataclass(frozen=True, kw_only=True)
class OverOptimisationRecord(Record):
    """``over_optimisation.json``: where training took the log-probs of both sides, by label and by step."""

    kind: ClassVar[str] = "over_optimisation"
    written_by: ClassVar[str] = "softpref over-optimisation"
    by_bin: Sequence[RatioBin]
    run: str | None = None
    reference: str | None = None
    data: str | None = None
    pairs: int | None = None
    over_training: Sequence[RatioStep] = ()
    checkpoints: Sequence[RatioCheckpoint] = ()
    kl: SampledKL | None = None
    warning: str | None = None
    command: str | None = None
