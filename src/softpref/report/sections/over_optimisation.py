"""Whether the policy left its reference behind: log-ratios and the reward gap along training and by label, reward against KL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from softpref.records.figures import Interval
from softpref.records.run import FrontierPoint
from softpref.report import charts
from softpref.report.collect import Found, RunResult
from softpref.report.document import Block, Column, Figure, Note, Section, Table
from softpref.report.groups import slug
from softpref.report.line_figure import line_figure
from softpref.report.palette import Colours, colours_of

# Key in the record and in the training log, what it is, the axis.
MEASURES = (
    ("chosen_logratio", "Log-ratio of the chosen side", "log-ratio, nats"),
    ("rejected_logratio", "Log-ratio of the rejected side", "log-ratio, nats"),
    ("margin", "Margin: chosen less rejected", "chosen less rejected, nats"),
    ("kl", "KL to the reference on samples", "KL, nats"),
)
PER_TOKEN = "chosen_logratio_per_token"  # noqa: S105 (no password)
TEXT = (
    "log π(y|x) − log π_ref(y|x) of both sides. A chosen log-ratio that falls means that the preferred responses themselves grow "
    "less likely; a gap that keeps growing while the judge sees no gain is over-optimisation."
)
FRONTIER_NOTE = "Equal steps favour the larger effective beta: compare methods where they are equally far from the reference."


def over_optimisation(found: Found, colours: Colours) -> Section:
    """Along training from the run's own log, or from what was measured apart where somebody did; then by label; then by KL."""
    blocks: list[Block] = [
        Note(f"{run.name}: {run.over_optimisation.warning}")
        for run in found.runs
        if run.over_optimisation and run.over_optimisation.warning
    ]
    for measure in MEASURES:
        blocks += _figure(found.runs, measure, colours)
    for measure in MEASURES[:3]:
        blocks += _by_bin(found.runs, measure, colours)
    blocks += [figure for run in found.runs for figure in _checkpoints(run)]
    return Section("over-optimisation", "Distance from the reference", [*blocks, *_frontiers(found.runs, colours)], TEXT)


def _figure(runs: Sequence[RunResult], measure: tuple[str, str, str], colours: Colours) -> list[Figure]:
    key, what, axis = measure
    rows = [{"run": run.name, "step": step, key: value} for run in runs for step, value in _along(run, key)]
    columns = [Column("run", "run"), Column("step", "update", "count"), Column(key, axis, "signed")]
    return line_figure(rows, ("step", key), columns, f"{what} along training", ("update", axis), colours)


def _along(run: RunResult, key: str) -> Sequence[tuple[float, float | None]]:
    measured = run.over_optimisation.over_training if run.over_optimisation else ()
    points = [(point.step, value) for point in measured if (value := getattr(point, key)) is not None]
    return points or [(line["step"], line[key]) for line in run.training if key in line]


def _by_bin(runs: Sequence[RunResult], measure: tuple[str, str, str], colours: Colours) -> list[Figure]:
    key, what, axis = measure
    rows = [
        {"run": run.name, "p": (bin_.low + bin_.high) / 2, **vars(bin_)}
        for run in runs
        for bin_ in (run.over_optimisation.by_bin if run.over_optimisation else ())
        if getattr(bin_, key) is not None
    ]
    columns = [
        Column("run", "run"),
        Column("low", "p from", "number2"),
        Column("high", "to", "number2"),
        Column("count", "pairs", "count"),
        Column(key, axis, "signed"),
    ]
    if key == MEASURES[0][0] and any(row.get(PER_TOKEN) is not None for row in rows):
        columns.append(Column(PER_TOKEN, "per token", "signed"))
    caption, axes_names = f"{what} by soft label, at the end", ("soft label p", axis)
    return line_figure(rows, ("p", key), columns, caption, axes_names, colours, marked=True, note=_looked_at(runs))


def _looked_at(runs: Sequence[RunResult]) -> str:
    """The pairs that log-ratios by label are means over."""
    of = {
        run.name: f"{run.over_optimisation.pairs} pairs of {Path(run.over_optimisation.data).name}"
        for run in runs
        if run.over_optimisation and run.over_optimisation.data
    }
    said = set(of.values())
    if len(said) < 2:
        return "".join(f"{one}." for one in said)
    return "; ".join(f"{name}: {one}" for name, one in of.items()) + "."


def _checkpoints(run: RunResult) -> list[Figure]:
    """One line per label bin through a run's checkpoints: whether it is the unsure pairs that it gives up first."""
    key, what, axis = MEASURES[0]
    rows = [
        {"run": run.name, "step": point.step, "label": f"{bin_.low:g}–{bin_.high:g}", **vars(bin_)}
        for point in (run.over_optimisation.checkpoints if run.over_optimisation else ())
        for bin_ in point.by_bin
        if getattr(bin_, key) is not None
    ]
    measured = [Column(name, heading, "signed") for name, heading, _ in MEASURES[:3]]
    columns = [
        Column("run", "run"),
        Column("step", "update", "count"),
        Column("label", "soft label p"),
        Column("count", "pairs", "count"),
        *measured,
        Column(PER_TOKEN, "chosen, per token", "signed"),
    ]
    caption = f"{what} by soft label, checkpoint by checkpoint: {run.name}"
    bins = colours_of(list(dict.fromkeys(row["label"] for row in rows)))
    names, note = ("update", axis), _looked_at([run])
    return line_figure(rows, ("step", key), columns, caption, names, bins, marked=True, by="label", note=note)


def _frontiers(runs: Sequence[RunResult], colours: Colours) -> list[Figure]:
    """One figure per reward."""
    groups: dict[str, dict[str, Sequence[FrontierPoint]]] = {}
    for run in runs:
        if run.frontier:
            groups.setdefault(run.frontier.reward, {})[run.name] = run.frontier.points
    return [_frontier(reward, series, colours) for reward, series in groups.items()]


def _frontier(reward: str, series: Mapping[str, Sequence[FrontierPoint]], colours: Colours) -> Figure:
    caption = f"{reward} against KL along training"
    name = slug("frontier", reward)
    drawn = charts.frontier(series, colours, reward, caption, f"{name}-")
    rows = [
        {
            "run": run,
            "step": p.step,
            "kl": p.kl,
            "reward": Interval(p.reward, p.low, p.high),
        }
        for run, points in series.items()
        for p in points
    ]
    columns = [
        Column("run", "run"),
        Column("step", "update", "count"),
        Column("kl", "KL, nats", "number2"),
        Column("reward", reward, "estimate"),
    ]
    alt = "; ".join(f"{run} ends at {points[-1].reward:.3f} and KL {points[-1].kl:.2f}" for run, points in series.items())
    return Figure(name, caption, f"{alt}.", drawn, Table(name, caption, columns, rows, FRONTIER_NOTE))
