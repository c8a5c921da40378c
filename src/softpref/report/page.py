"""One self-contained HTML page about runs: no script from elsewhere, no request, all foreign text escaped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from softpref.data.files import atomic_write
from softpref.data.pairs import text_of
from softpref.report import charts
from softpref.report.collect import EvaluationResult, RunResult, read_runs
from softpref.report.visible import visible

# Metric in the log, axis label, heading.
CURVES = (
    ("margin", "margin h, nats", "Margin"),
    ("chosen_logratio", "log-ratio, nats", "Log-ratio of the chosen side"),
    ("rejected_logratio", "log-ratio, nats", "Log-ratio of the rejected side"),
)
MAX_SHOWN_TEXT = 2000
NONE = "–"


def write_report(folders: Sequence[str | Path], output: str | Path, title: str = "softpref report") -> Path:
    """Write the page about these run folders. Raises InputError where a folder holds no run."""
    runs = read_runs(folders)
    output = Path(output)
    with atomic_write(output) as file:
        file.write(render(runs, title))
    return output


def render(runs: Sequence[RunResult], title: str, notes: Mapping[str, Any] | None = None) -> str:
    """The page as text."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_seen
    )
    environment.filters.update(shown=_shown, interval=_interval, number=_number, percent=_percent)
    template = environment.from_string((files("softpref.report") / "page.html").read_text(encoding="utf-8"))
    colours = charts.colours_of([run.name for run in runs])
    return template.render(
        title=title,
        runs=runs,
        notes=notes or {},
        labels=_label_figures(runs),
        curves=[*_loss_curves(runs, colours), *_training_curves(runs, colours)],
        evaluations=_evaluation_blocks(runs, colours),
        frontiers=_frontiers(runs, colours),
    )


def _label_figures(runs: Sequence[RunResult]) -> list[dict[str, Any]]:
    """One figure per data set, not per run: runs that compare losses share theirs."""
    found = {}
    for run in runs:
        data = run.run["data"]
        if data.get("labels") and data["fingerprint"] not in found:
            caption = f"Soft labels of {Path(data['file']).name}"
            figure = charts.histogram(data["labels"]["histogram"], caption)
            found[data["fingerprint"]] = {"caption": caption, "figure": figure, "data": data}
    return list(found.values())


def _loss_curves(runs: Sequence[RunResult], colours: charts.Colours) -> list[dict[str, str]]:
    """One figure per base loss: their scales do not mix."""
    logged = [run for run in runs if run.training]
    bases = list(dict.fromkeys(run.run["method"]["base"] for run in logged))
    figures = []
    for base in bases:
        heading = "Training loss" if len(bases) == 1 else f"Training loss: {base}"
        series = {run.name: _points(run, "loss") for run in logged if run.run["method"]["base"] == base}
        figures.append({"caption": heading, "figure": charts.curves(series, colours, "update", "loss", heading)})
    return figures


def _training_curves(runs: Sequence[RunResult], colours: charts.Colours) -> list[dict[str, str]]:
    figures = []
    for metric, axis, heading in CURVES:
        series = {run.name: _points(run, metric) for run in runs}
        if any(series.values()):
            figures.append({"caption": heading, "figure": charts.curves(series, colours, "update", axis, heading)})
    return figures


def _points(run: RunResult, metric: str) -> list[tuple[float, float | None]]:
    return [(line["step"], line[metric]) for line in run.training if metric in line]


def _evaluation_blocks(runs: Sequence[RunResult], colours: charts.Colours) -> list[dict[str, Any]]:
    """Runs side by side where like is compared with like: the same evaluation, opponent and judge."""
    groups: dict[tuple[str, str, str], list[tuple[str, EvaluationResult]]] = {}
    for run in runs:
        for e in run.evaluations:
            key = (e.name, e.figures["against"], e.figures["judge"])
            groups.setdefault(key, []).append((run.name, e))
    headings = _headings(list(groups))
    return [_evaluation_block(headings[key], key, rows, colours) for key, rows in groups.items()]


def _headings(keys: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], str]:
    """The evaluation's name, with the opponent and then the judge where it takes them to tell two blocks apart."""
    names, pairs = [key[0] for key in keys], [key[:2] for key in keys]
    headings = {}
    for key in keys:
        name, against, judge = key
        heading = name if names.count(name) == 1 else f"{name}, against {against}"
        headings[key] = heading if pairs.count(key[:2]) == 1 else f"{heading}, judged by {judge}"
    return headings


def _evaluation_block(
    heading: str, key: tuple[str, str, str], rows: Sequence[tuple[str, EvaluationResult]], colours: charts.Colours
) -> dict[str, Any]:
    rates = [(label, e.figures["win_rates"]["percentage"]) for label, e in rows]
    rewards = [(label, e.figures["reward"]) for label, e in rows if "reward" in e.figures]
    reward = rewards[0][1]["name"] if rewards else None
    alike = [(label, figure) for label, figure in rewards if figure["name"] == reward]
    return {
        "name": heading,
        "against": key[1],
        "judge": key[2],
        "rows": rows,
        "examples": any(e.examples for _, e in rows),
        "reward": reward,
        "figure": charts.forest(rates, colours, "percentage win rate by the judge", 0.5, f"Win rates, {heading}"),
        "reward_figure": charts.forest(alike, colours, reward, None, f"Reward, {heading}") if reward else None,
    }


def _frontiers(runs: Sequence[RunResult], colours: charts.Colours) -> list[dict[str, str]]:
    """One figure per reward."""
    groups: dict[str, dict[str, Any]] = {}
    for run in runs:
        if run.frontier:
            groups.setdefault(run.frontier["reward"], {})[run.name] = run.frontier["points"]
    captions = {reward: f"{reward} against KL along training" for reward in groups}
    return [
        {"caption": captions[reward], "figure": charts.frontier(series, colours, reward, captions[reward])}
        for reward, series in groups.items()
    ]


def _shown(text: Any) -> str:
    """Foreign text for the page, cut when endless."""
    plain = text_of(text) if isinstance(text, str | list) else str(text)
    return plain if len(plain) <= MAX_SHOWN_TEXT else plain[:MAX_SHOWN_TEXT] + " …"


def _seen(value: Any) -> Any:
    """Called with everything that the template writes, before it is escaped."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else visible(value)


def _number(value: float | None, form: str = ".3f") -> str:
    """A number, or a dash where there is none."""
    return NONE if value is None or not math.isfinite(value) else format(value, form)


def _percent(value: float | None) -> str:
    return _number(value, ".1%")


def _interval(figure: Mapping[str, float | None], digits: int = 3) -> Markup:
    """A figure over its interval, so that tables stay narrow. One prompt alone has no interval."""
    value, low, high = (_number(figure[key], f".{digits}f") for key in ("value", "low", "high"))
    return Markup("{}<br><small>{}</small>").format(value, NONE if NONE in (low, high) else f"{low} to {high}")
