"""One sentence that says what came out and how sure that is, and what must be read with it.

A head-to-head decides where there is one; else the first group of evaluations against a common opponent; else the implicit
reward's agreement with labels. A difference counts when its 95% interval, or its test after Holm's correction, says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from softpref.core.statistics import Estimate, cluster_bootstrap
from softpref.data.pairs import text_of
from softpref.records.evaluation import ClassificationRecord, DuelFigures, EvaluationRecord
from softpref.records.figures import Interval, LengthControlled
from softpref.report.collect import EvaluationResult, Found, HeadToHead
from softpref.report.format import interval, number, percent
from softpref.report.groups import Group, short

SIGNIFICANT = 0.05
# Below this share of comparisons with an answer, the figures rest on a selection.
ENOUGH_COVERAGE = 0.9
LONGER_WINS = 0.6
MANY_TIES = 0.2
MOSTLY = 0.9


@dataclass(frozen=True)
class Verdict:
    """The sentence, and where its figures come from."""

    sentence: str
    detail: str


def verdict(found: Found, groups: Sequence[Group]) -> Verdict:
    """What the page says first."""
    ranked = [group for group in groups if group.contenders]
    for duel in found.head_to_heads:
        if duel.record.pairs:
            said = _of_duels(duel)
            return replace(said, detail=" ".join([said.detail, *map(_in_short, ranked[:1])]))
    for group in ranked:
        return _of_group(group)
    return _of_classification(found) or Verdict(
        "Nothing here was evaluated, so there is no verdict.",
        "softpref evaluate compares responses; a run's evaluations/NAME is where a report looks for them.",
    )


# --- head to head -----------------------------------------------------------------------------------------------------------


def _of_duels(duel: HeadToHead) -> Verdict:
    means = duel.record.mean_win_rates()
    best = max(means, key=lambda name: means[name])
    fought = sorted(
        (pair for pair in duel.record.pairs if best in (pair.model, pair.against)), key=lambda p: p.rate_of(best).point
    )
    beaten = [pair for pair in fought if _significant(pair) and pair.rate_of(best).point > 0.5]
    closest = f"{_rate(fought[0].rate_of(best))} against {fought[0].other(best)}"
    judge = short(duel.record.judge)
    detail = f"Head to head on {_prompts(fought)} prompts{_seeds(fought)}, judged by {judge}, in both orders."
    if len(means) == 2:
        verb = "is preferred to" if beaten else "cannot be told apart from"
        return Verdict(f"{best} {verb} {fought[0].other(best)}: {_rate(fought[0].rate_of(best))} of comparisons.", detail)
    average = f"{percent(means[best])} of comparisons on average, at worst {closest}"
    if len(beaten) == len(fought):
        return Verdict(f"{best} beats each of the {len(fought)} others: it is preferred in {average}.", detail)
    some = f"beats {len(beaten)} of {len(fought)} others" if beaten else "beats none of them beyond chance"
    return Verdict(f"No method is best beyond doubt. {best} comes first, with {average}; it {some}.", detail)


def _significant(pair: DuelFigures) -> bool:
    """By the Wilcoxon test after Holm's correction; by the interval where no test was made."""
    test = pair.tests.get("wilcoxon")
    if test is None:
        return pair.win_rates.percentage.excludes(0.5)
    return (test.p_value if test.p_holm is None else test.p_holm) < SIGNIFICANT


def _prompts(pairs: Sequence[DuelFigures]) -> str:
    counts = sorted({pair.prompts for pair in pairs})
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _seeds(pairs: Sequence[DuelFigures]) -> str:
    most = max(pair.seeds for pair in pairs)
    return f" and {most} training seeds" if most > 1 else ""


# --- against a common opponent -----------------------------------------------------------------------------------------------


def _of_group(group: Group) -> Verdict:
    order = sorted(group.contenders, key=lambda row: -row[1].record.win_rates.percentage.point)
    best, result = order[0]
    rate = result.record.win_rates.percentage
    against = group.against
    detail = (
        f"Evaluation {group.heading}: percentage win rate on {result.record.prompts} prompts, 95% interval over prompts, "
        f"judged by {short(group.judge)}."
    )
    if not rate.excludes(0.5):
        what = "the best of them, " if len(order) > 1 else ""
        return Verdict(
            f"Nothing here beats {against} beyond doubt: {what}{best}, is preferred in {_rate(rate)} of comparisons."
            if what
            else f"{best} and {against} cannot be told apart: {best} is preferred in {_rate(rate)} of comparisons.",
            detail,
        )
    verb = "beats" if rate.point > 0.5 else "loses to"
    sentence = f"{best} {verb} {against}: the judge prefers it in {_rate(rate)} of comparisons"
    return Verdict(sentence + _runner_up(order), detail)


def _in_short(group: Group) -> str:
    rates = ", ".join(f"{name} {_rate(one.record.win_rates.percentage)}" for name, one in group.contenders)
    return f"Against {group.against} ({group.name}): {rates}."


def _runner_up(order: Sequence[tuple[str, EvaluationResult]]) -> str:
    """How the best stands to those behind it, on the prompts that both have."""
    tied, margin = [], ""
    for name, other in order[1:]:
        difference = paired_difference(order[0][1], other)
        if difference is not None and not Interval.of(difference).excludes(0.0):
            tied.append(name)
        elif difference is not None and not margin and not tied:
            margin = f", {_points(difference)} more than {name}"
    if tied:
        return f". It cannot be told apart from {_listed(tied)}."
    return f"{margin}."


def paired_difference(one: EvaluationResult, other: EvaluationResult) -> Estimate | None:
    """Difference of two percentage win rates against one opponent, on the prompts that both have; None without such."""
    first, second = _by_prompt(one), _by_prompt(other)
    common = sorted(first.keys() & second.keys())
    if not common:
        return None
    gaps = [first[prompt] - second[prompt] for prompt in common]
    return cluster_bootstrap(lambda x: float(np.mean(x)), gaps, clusters=range(len(common)))


def _by_prompt(result: EvaluationResult) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for row in result.comparisons:
        if row.p is not None:
            found.setdefault(text_of(row.prompt), []).append(row.p)
    return {prompt: sum(p) / len(p) for prompt, p in found.items()}


# --- the implicit reward alone -----------------------------------------------------------------------------------------------


def _of_classification(found: Found) -> Verdict | None:
    """Of the labelled set that most runs were tried on, the run that agrees with most labels."""
    sets: dict[tuple[str, str], list[tuple[str, ClassificationRecord]]] = {}
    for run in found.runs:
        for name, one in run.classifications.items():
            sets.setdefault((name, one.data), []).append((run.name, one))
    if not sets:
        return None
    most = max(sets.values(), key=len)
    order = sorted(most, key=lambda row: -row[1].accuracy.point)
    name, best = order[0]
    detail = f"{best.pairs} pairs; a tie counts half. No responses were judged."
    if len(order) > 1:
        rates = ", ".join(f"{run} {percent(one.accuracy.value)}" for run, one in order[1:])
        detail += f" The others: {rates}; whether they differ from {name} was not tested."
    return Verdict(
        f"The implicit reward of {name} agrees with {_rate(best.accuracy)} of the labels of {best.data}{_beside_length(best)}.",
        detail,
    )


def _beside_length(record: ClassificationRecord) -> str:
    """How that stands to choosing the longer response every time, where it was compared."""
    gain, longer = record.over_longer, record.longer_wins
    if gain is None or longer is None:
        return ""
    rule = f"choosing the longer response every time ({percent(longer.value)})"
    if not gain.excludes(0.0):
        return f", which cannot be told apart from {rule}"
    points = f"{number(abs(100 * gain.point), '.1f')} points"
    return f", {points} {'more' if gain.point > 0 else 'less'} than {rule}"


# --- what must be read with it -----------------------------------------------------------------------------------------------


def cautions(found: Found, groups: Sequence[Group]) -> list[str]:
    """In plain words, what would change how the verdict is read. Nothing is said twice."""
    said = [
        f"{run.name}: {run.over_optimisation.warning}"
        for run in found.runs
        if run.over_optimisation and run.over_optimisation.warning
    ]
    for group in groups[:1]:
        said += _length_cautions(group)
        rates = [(name, one.record.win_rates) for name, one in group.contenders]
        low = [f"{name} {percent(rate.coverage)}" for name, rate in rates if rate.coverage < ENOUGH_COVERAGE]
        ties = [f"{name} {percent(rate.tie_rate)}" for name, rate in rates if rate.tie_rate > MANY_TIES]
        said += [f"Few of the comparisons were judged: {', '.join(low)}. The others failed."] if low else []
        said += [f"Many ties, which the binary win rate counts as wins: {', '.join(ties)}."] if ties else []
        said += [f"{name}: {text}" for name, one in group.contenders if (text := _left_out(one.record))]
    unfinished = [run.name for run in found.runs if run.run.finished is None]
    if unfinished:
        said.append(f"Not finished when this was written: {', '.join(unfinished)}.")
    return said


def _left_out(record: EvaluationRecord) -> str:
    counts = {key: count for key, count in (vars(record.left_out) if record.left_out else {}).items() if count}
    said = ", ".join(f"{count} {key.replace('_', ' ')}" for key, count in counts.items())
    return f"left out of the comparison: {said}." if said else ""


def _length_cautions(group: Group) -> list[str]:
    """Where the win rate is gone at equal length; or, where that was not computed, where longer is what the judge prefers."""
    gone, far, longer = [], [], []
    for name, one in group.contenders:
        rate, fair = one.record.win_rates.percentage, one.record.length_controlled
        if fair and rate.excludes(0.5) and not fair.excludes(0.5):
            gone.append(f"{name} {_rate(fair)}")
            far += [name] if _extrapolated(fair) else []
        elif not fair and _wins_by_length(one.record):
            longer.append(f"{name} {_rate(one.record.longer_wins)}, {_words(one.record)}")
    said = []
    if gone:
        said.append(f"At equal length there is no clear difference from {group.against}: {'; '.join(gone)}.")
    if far:
        said[-1] += f" That is extrapolated: nearly all responses of one side are the longer ones ({', '.join(far)})."
    if longer:
        said.append(f"The judge prefers the longer response, and these are longer: {'; '.join(longer)}.")
    return said


def _extrapolated(fair: LengthControlled) -> bool:
    """Where nearly all responses of one side are the longer ones, equal length is a place that the data hardly know."""
    share = fair.model_longer
    return share is not None and not 1 - MOSTLY <= share <= MOSTLY


def _wins_by_length(record: EvaluationRecord) -> bool:
    longer, lengths = record.longer_wins, record.lengths
    favoured = longer is not None and longer.excludes(0.5) and longer.point > LONGER_WINS
    return favoured and lengths.model.mean_words > lengths.against.mean_words


def _words(record: EvaluationRecord) -> str:
    ours, theirs = (number(side.mean_words, ".1f") for side in (record.lengths.model, record.lengths.against))
    return f"{ours} words against {theirs}"


def _rate(estimate: Interval | None) -> str:
    return interval(estimate, ".1%")


def _points(difference: Estimate) -> str:
    low, high = number(100 * difference.low, ".1f"), number(100 * difference.high, ".1f")
    return f"{number(100 * difference.value, '.1f')} [{low}, {high}] points"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
