"""Two aligned lists of responses before a judge, both orders, and every figure that follows from its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from softpref.core.statistics import codes_of
from softpref.data.formats import write_rows
from softpref.data.pairs import Text, as_answer, text_of, word_count
from softpref.errors import OptionError
from softpref.evaluation.length_control import length_controlled_win_rate
from softpref.evaluation.repetition import repetition
from softpref.evaluation.win_rates import judged_places, paired_tests, resampling, win_rates
from softpref.judges.base import Comparison, Judge
from softpref.judges.both_orders import Judgement, judge_comparisons
from softpref.judges.store import JudgementStore
from softpref.records.evaluation import BothLengths, BothRepetitions, ComparisonRow, EvaluationRecord
from softpref.records.figures import (
    ComparisonFigures,
    Interval,
    LengthControlled,
    LengthFigures,
    PairedTestFigures,
    RepetitionFigures,
)
from softpref.records.record import plain
from softpref.run_folder import COMPARISONS_FILE, JUDGEMENTS_FILE

# A logistic regression for every draw takes its time.
LENGTH_RESAMPLES = 500


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a name and its response to each prompt, as many as there are samples."""

    name: str
    responses: Sequence[Text]
    unfinished: int | None = None


@dataclass(frozen=True)
class Judged:
    """N comparisons and what the judge made of them. ``seeds`` names the training seed of each where several were run."""

    comparisons: Sequence[Comparison]
    judgements: Sequence[Judgement]
    seeds: Sequence[str] | None = None

    @property
    def clusters(self) -> list[str]:
        """The prompt of each comparison: what the bootstrap draws."""
        return [text_of(comparison.prompt) for comparison in self.comparisons]


def compare(ours: Side, theirs: Side, prompts: Sequence[Text], judge: Judge, output: Path) -> EvaluationRecord:
    """Judge both sides on every prompt, both orders, and put the figures together. Writes ``comparisons.jsonl``."""
    with JudgementStore(output / JUDGEMENTS_FILE) as store:
        judged = judge_sides(ours, theirs, prompts, judge, store)
    write_rows(output / COMPARISONS_FILE, map(plain, comparison_rows(judged)))
    return EvaluationRecord(
        model=ours.name,
        against=theirs.name,
        judge=judge.identity,
        **vars(figures(judged)),
        lengths=BothLengths(lengths(ours), lengths(theirs)),
        repetition=BothRepetitions(repetition_of(ours), repetition_of(theirs)),
    )


def judge_sides(ours: Side, theirs: Side, prompts: Sequence[Text], judge: Judge, store: JudgementStore) -> Judged:
    """Both orders of every pair of responses, asked or taken from the store. Raises OptionError for unequal numbers."""
    if not len(ours.responses) == len(theirs.responses) == len(prompts):
        raise OptionError(f"{ours.name} and {theirs.name} have not the same number of responses: compare like with like")
    comparisons = [
        Comparison(str(i), prompt, as_answer(prompt, a), as_answer(prompt, b))
        for i, (prompt, a, b) in enumerate(zip(prompts, ours.responses, theirs.responses, strict=True))
    ]
    return Judged(comparisons, judge_comparisons(judge, comparisons, store))


def figures(judged: Judged) -> ComparisonFigures:
    """Win rates, tests and what length has to do with them. Raises InputError when nothing was judged."""
    clusters = judged.clusters
    longer_wins, length_controlled = _length_figures(judged)
    return ComparisonFigures(
        prompts=len(set(clusters)),
        asked=len(judged.comparisons),
        win_rates=win_rates(judged.judgements, clusters, seeds=judged.seeds),
        tests={name: PairedTestFigures.of(test) for name, test in paired_tests(judged.judgements, clusters).items()},
        longer_wins=longer_wins,
        length_controlled=length_controlled,
    )


def comparison_rows(judged: Judged) -> list[ComparisonRow]:
    """The rows of ``comparisons.jsonl``."""
    seeds: Sequence[str | None] = judged.seeds or [None] * len(judged.comparisons)
    return [_row(*row) for row in zip(judged.comparisons, judged.judgements, seeds, strict=True)]


def lengths(side: Side) -> LengthFigures:
    """Mean and median words, and how many responses did not come to their end."""
    words = [word_count(response) for response in side.responses]
    return LengthFigures(float(np.mean(words)), float(np.median(words)), side.unfinished)


def repetition_of(side: Side) -> RepetitionFigures:
    """How much a side's responses repeat themselves."""
    return repetition([text_of(response) for response in side.responses])


def _row(comparison: Comparison, judgement: Judgement, seed: str | None) -> ComparisonRow:
    return ComparisonRow(
        prompt=comparison.prompt,
        response=comparison.response_1,
        against=comparison.response_2,
        p=judgement.p,
        first_shown=judgement.first_shown,
        second_shown=judgement.second_shown,
        failures=judgement.failures,
        seed=seed,
    )


def _length_figures(judged: Judged) -> tuple[Interval | None, LengthControlled | None]:
    """How often the judge prefers the longer of two unequal responses, and the win rate at equal length."""
    places = judged_places(judged.judgements)
    comparisons = [judged.comparisons[i] for i in places]
    difference = np.array([word_count(c.response_1) - word_count(c.response_2) for c in comparisons], dtype=np.float64)
    p = np.array([judged.judgements[i].p for i in places], dtype=np.float64)
    clusters = codes_of(text_of(c.prompt) for c in comparisons)
    seeds = None if judged.seeds is None else np.array([judged.seeds[i] for i in places])
    unequal = difference != 0
    if not unequal.any():
        return None, None
    some = resampling(clusters[unequal], None if seeds is None else seeds[unequal])
    every = partial(resampling(clusters, seeds), resamples=LENGTH_RESAMPLES)
    controlled = length_controlled_win_rate(difference, p, every)
    longer_wins = Interval.of(some(_longer_wins, difference[unequal], p[unequal]))
    return longer_wins, LengthControlled.of(controlled, model_longer=float((difference[unequal] > 0).mean()))


def _longer_wins(difference: NDArray[np.float64], p: NDArray[np.float64]) -> float:
    """Share of pairs whose winner is the longer response; a tie counts half."""
    return float(np.mean((np.sign(p - 0.5) * np.sign(difference) + 1) / 2))
