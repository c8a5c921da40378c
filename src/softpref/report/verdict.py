"""One sentence that says what came out and how sure that is, and what must be read with it.

A head-to-head decides where there is one; else the first group of evaluations against a common opponent; else the implicit
reward's agreement with labels. A difference counts when its 95% interval, or its test after Holm's correction, says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from softpref.core.statistics import Estimate, cluster_bootstrap
from softpref.data.pairs import text_of
from softpref.report.cells import interval, number, percent
from softpref.report.collect import EvaluationResult, Found, HeadToHead
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
        if duel.figures["pairs"]:
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
    pairs = duel.figures["pairs"]
    means = mean_win_rates(duel.figures)
    best = max(means, key=lambda name: means[name])
    fought = sorted((pair for pair in pairs if best in (pair["model"], pair["against"])), key=lambda pair: _value(best, pair))
    beaten = [pair for pair in fought if _significant(pair) and _value(best, pair) > 0.5]
    closest = f"{_rate(win_rate_of(best, fought[0]))} against {_other(best, fought[0])}"
    judge = short(duel.figures["judge"])
    detail = f"Head to head on {_prompts(fought)} prompts{_seeds(fought)}, judged by {judge}, in both orders."
    if len(means) == 2:
        verb = "is preferred to" if beaten else "cannot be told apart from"
        return Verdict(f"{best} {verb} {_other(best, fought[0])}: {_rate(win_rate_of(best, fought[0]))} of comparisons.", detail)
    average = f"{percent(means[best])} of comparisons on average, at worst {closest}"
    if len(beaten) == len(fought):
        return Verdict(f"{best} beats each of the {len(fought)} others: it is preferred in {average}.", detail)
    some = f"beats {len(beaten)} of {len(fought)} others" if beaten else "beats none of them beyond chance"
    return Verdict(f"No method is best beyond doubt. {best} comes first, with {average}; it {some}.", detail)


def _value(name: str, pair: Mapping[str, Any]) -> float:
    return float(win_rate_of(name, pair)["value"])


def mean_win_rates(figures: Mapping[str, Any]) -> dict[str, float]:
    """By model, its percentage win rate averaged over its opponents."""
    found: dict[str, list[float]] = {}
    for pair in figures["pairs"]:
        for name in (pair["model"], pair["against"]):
            found.setdefault(name, []).append(win_rate_of(name, pair)["value"])
    return {name: sum(rates) / len(rates) for name, rates in found.items()}


def win_rate_of(name: str, pair: Mapping[str, Any]) -> dict[str, Any]:
    """The percentage win rate of one of the pair's two models: p turned round is 1 − p, and its interval too."""
    rate = pair["win_rates"]["percentage"]
    if name == pair["model"]:
        return dict(rate)
    turned = {"value": rate["value"], "low": rate["high"], "high": rate["low"]}
    return {**rate, **{part: None if value is None else 1 - value for part, value in turned.items()}}


def _other(name: str, pair: Mapping[str, Any]) -> str:
    return str(pair["against"] if name == pair["model"] else pair["model"])


def _significant(pair: Mapping[str, Any]) -> bool:
    """By the Wilcoxon test after Holm's correction; by the interval where no test was made."""
    test = (pair.get("tests") or {}).get("wilcoxon") or {}
    p = test.get("p_holm", test.get("p_value"))
    return _excludes(pair["win_rates"]["percentage"], 0.5) if p is None else p < SIGNIFICANT


def _prompts(pairs: Sequence[Mapping[str, Any]]) -> str:
    counts = sorted({pair["prompts"] for pair in pairs})
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _seeds(pairs: Sequence[Mapping[str, Any]]) -> str:
    most = max(pair.get("seeds") or 1 for pair in pairs)
    return f" and {most} training seeds" if most > 1 else ""


# --- against a common opponent -----------------------------------------------------------------------------------------------


def _of_group(group: Group) -> Verdict:
    order = sorted(group.contenders, key=lambda row: -row[1].figures["win_rates"]["percentage"]["value"])
    best, result = order[0]
    rate = result.figures["win_rates"]["percentage"]
    against = group.against
    detail = (
        f"Evaluation {group.heading}: percentage win rate on {result.figures['prompts']} prompts, 95% interval over prompts, "
        f"judged by {short(group.judge)}."
    )
    if not _excludes(rate, 0.5):
        what = "the best of them, " if len(order) > 1 else ""
        return Verdict(
            f"Nothing here beats {against} beyond doubt: {what}{best}, is preferred in {_rate(rate)} of comparisons."
            if what
            else f"{best} and {against} cannot be told apart: {best} is preferred in {_rate(rate)} of comparisons.",
            detail,
        )
    verb = "beats" if rate["value"] > 0.5 else "loses to"
    sentence = f"{best} {verb} {against}: the judge prefers it in {_rate(rate)} of comparisons"
    return Verdict(sentence + _runner_up(order), detail)


def _in_short(group: Group) -> str:
    rates = ", ".join(f"{name} {_rate(one.figures['win_rates']['percentage'])}" for name, one in group.contenders)
    return f"Against {group.against} ({group.name}): {rates}."


def _runner_up(order: Sequence[tuple[str, EvaluationResult]]) -> str:
    """How the best stands to those behind it, on the prompts that both have."""
    tied, margin = [], ""
    for name, other in order[1:]:
        difference = paired_difference(order[0][1], other)
        if difference is not None and not _excludes(difference.as_dict(), 0.0):
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
        if row.get("p") is not None:
            found.setdefault(text_of(row["prompt"]), []).append(row["p"])
    return {prompt: sum(p) / len(p) for prompt, p in found.items()}


# --- the implicit reward alone -----------------------------------------------------------------------------------------------


def _of_classification(found: Found) -> Verdict | None:
    """Of the labelled set that most runs were tried on, the run that agrees with most labels."""
    sets: dict[tuple[str, str], list[tuple[str, Mapping[str, Any]]]] = {}
    for run in found.runs:
        for name, one in run.classifications.items():
            sets.setdefault((name, str(one["data"])), []).append((run.name, one))
    if not sets:
        return None
    most = max(sets.values(), key=len)
    order = sorted(most, key=lambda row: -row[1]["accuracy"]["value"])
    name, best = order[0]
    detail = f"{best['pairs']} pairs; a tie counts half. No responses were judged."
    if len(order) > 1:
        rates = ", ".join(f"{run} {percent(one['accuracy']['value'])}" for run, one in order[1:])
        detail += f" The others: {rates}; whether they differ from {name} was not tested."
    return Verdict(
        f"The implicit reward of {name} agrees with {_rate(best['accuracy'])} of the labels of {best['data']}"
        f"{_beside_length(best)}.",
        detail,
    )


def _beside_length(figures: Mapping[str, Any]) -> str:
    """How that stands to choosing the longer response every time, where it was compared."""
    gain, longer = figures.get("over_longer"), figures.get("longer_wins")
    if not gain or not longer:
        return ""
    rule = f"choosing the longer response every time ({percent(longer['value'])})"
    if not _excludes(gain, 0.0):
        return f", which cannot be told apart from {rule}"
    points = f"{number(abs(100 * gain['value']), '.1f')} points"
    return f", {points} {'more' if gain['value'] > 0 else 'less'} than {rule}"


# --- what must be read with it -----------------------------------------------------------------------------------------------


def cautions(found: Found, groups: Sequence[Group]) -> list[str]:
    """In plain words, what would change how the verdict is read. Nothing is said twice."""
    said = [
        f"{run.name}: {run.over_optimisation['warning']}"
        for run in found.runs
        if run.over_optimisation and run.over_optimisation.get("warning")
    ]
    for group in groups[:1]:
        said += _length_cautions(group)
        rates = [(name, one.figures["win_rates"]) for name, one in group.contenders]
        low = [f"{name} {percent(rate['coverage'])}" for name, rate in rates if rate["coverage"] < ENOUGH_COVERAGE]
        ties = [f"{name} {percent(rate['tie_rate'])}" for name, rate in rates if rate["tie_rate"] > MANY_TIES]
        said += [f"Few of the comparisons were judged: {', '.join(low)}. The others failed."] if low else []
        said += [f"Many ties, which the binary win rate counts as wins: {', '.join(ties)}."] if ties else []
        said += [f"{name}: {text}" for name, one in group.contenders if (text := _left_out(one.figures))]
    unfinished = [run.name for run in found.runs if "finished" not in run.run]
    if unfinished:
        said.append(f"Not finished when this was written: {', '.join(unfinished)}.")
    return said


def _left_out(figures: Mapping[str, Any]) -> str:
    counts = {key: count for key, count in (figures.get("left_out") or {}).items() if count}
    said = ", ".join(f"{count} {key.replace('_', ' ')}" for key, count in counts.items())
    return f"left out of the comparison: {said}." if said else ""


def _length_cautions(group: Group) -> list[str]:
    """Where the win rate is gone at equal length; or, where that was not computed, where longer is what the judge prefers."""
    gone, far, longer = [], [], []
    for name, one in group.contenders:
        rate, fair = one.figures["win_rates"]["percentage"], one.figures.get("length_controlled")
        if fair and _excludes(rate, 0.5) and not _excludes(fair, 0.5):
            gone.append(f"{name} {_rate(fair)}")
            far += [name] if _extrapolated(fair) else []
        elif not fair and _wins_by_length(one.figures):
            longer.append(f"{name} {_rate(one.figures['longer_wins'])}, {_words(one.figures)}")
    said = []
    if gone:
        said.append(f"At equal length there is no clear difference from {group.against}: {'; '.join(gone)}.")
    if far:
        said[-1] += f" That is extrapolated: nearly all responses of one side are the longer ones ({', '.join(far)})."
    if longer:
        said.append(f"The judge prefers the longer response, and these are longer: {'; '.join(longer)}.")
    return said


def _extrapolated(fair: Mapping[str, Any]) -> bool:
    """Where nearly all responses of one side are the longer ones, equal length is a place that the data hardly know."""
    share = fair.get("model_longer")
    return share is not None and not 1 - MOSTLY <= share <= MOSTLY


def _wins_by_length(figures: Mapping[str, Any]) -> bool:
    longer, lengths = figures.get("longer_wins"), figures["lengths"]
    return bool(
        longer
        and _excludes(longer, 0.5)
        and longer["value"] > LONGER_WINS
        and lengths["model"]["mean_words"] > lengths["against"]["mean_words"]
    )


def _words(figures: Mapping[str, Any]) -> str:
    ours, theirs = (number(figures["lengths"][side]["mean_words"], ".1f") for side in ("model", "against"))
    return f"{ours} words against {theirs}"


def _excludes(estimate: Mapping[str, Any], value: float) -> bool:
    low, high = estimate.get("low"), estimate.get("high")
    return low is not None and high is not None and not low <= value <= high


def _rate(estimate: Any) -> str:
    return interval(estimate, ".1%")


def _points(difference: Estimate) -> str:
    low, high = number(100 * difference.low, ".1f"), number(100 * difference.high, ".1f")
    return f"{number(100 * difference.value, '.1f')} [{low}, {high}] points"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
