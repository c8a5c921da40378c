"""One self-contained HTML page about runs: no script from elsewhere, no request, all foreign text escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from softpref.data.files import atomic_write
from softpref.data.pairs import text_of
from softpref.report import charts
from softpref.report.collect import RunResult, read_run

# Metric in the log, axis label, heading.
CURVES = (
    ("loss", "loss", "Training loss"),
    ("margin", "margin h, nats", "Margin"),
    ("chosen_logratio", "log-ratio, nats", "Log-ratio of the chosen side"),
    ("rejected_logratio", "log-ratio, nats", "Log-ratio of the rejected side"),
)
MAX_SHOWN_TEXT = 2000


def write_report(folders: Sequence[str | Path], output: str | Path, title: str = "softpref report") -> Path:
    """Write the page about these run folders. Raises InputError where a folder holds no run."""
    runs = [read_run(folder) for folder in folders]
    output = Path(output)
    with atomic_write(output) as file:
        file.write(render(runs, title))
    return output


def render(runs: Sequence[RunResult], title: str, notes: Mapping[str, Any] | None = None) -> str:
    """The page as text."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["shown"] = _shown
    environment.filters["interval"] = _interval
    template = environment.from_string((files("softpref.report") / "page.html").read_text(encoding="utf-8"))
    trained = [run for run in runs if run.run.get("reference")]
    colours = charts.colours_of([run.name for run in runs])
    return template.render(
        title=title,
        runs=runs,
        notes=notes or {},
        labels=_label_figures(trained),
        curves=_training_curves(trained, colours),
        evaluations=_evaluation_tables(runs, colours),
        frontier=_frontier(runs, colours),
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


def _training_curves(runs: Sequence[RunResult], colours: charts.Colours) -> list[dict[str, str]]:
    figures = []
    for metric, axis, heading in CURVES:
        series = {run.name: [(line["step"], line[metric]) for line in run.training if metric in line] for run in runs}
        if any(series.values()):
            figures.append({"caption": heading, "figure": charts.curves(series, colours, "update", axis, heading)})
    return figures


def _evaluation_tables(runs: Sequence[RunResult], colours: charts.Colours) -> list[dict[str, Any]]:
    """One block per evaluation name, all runs that have it side by side."""
    names = list(dict.fromkeys(evaluation.name for run in runs for evaluation in run.evaluations))
    blocks = []
    for name in names:
        rows = [(run.name, e) for run in runs for e in run.evaluations if e.name == name]
        rates = [(label, e.figures["win_rates"]["percentage"]) for label, e in rows]
        rewards = [(label, e.figures["reward"]) for label, e in rows if "reward" in e.figures]
        blocks.append(
            {
                "name": name,
                "rows": rows,
                "figure": charts.forest(rates, colours, "percentage win rate by the judge", 0.5, f"Win rates, {name}"),
                "reward_figure": charts.forest(rewards, colours, rewards[0][1]["name"], None, f"Reward, {name}")
                if rewards
                else None,
            }
        )
    return blocks


def _frontier(runs: Sequence[RunResult], colours: charts.Colours) -> dict[str, str] | None:
    series = {run.name: run.frontier["points"] for run in runs if run.frontier}
    if not series:
        return None
    reward = next(run.frontier["reward"] for run in runs if run.frontier)
    caption = f"{reward} against KL along training"
    return {"caption": caption, "figure": charts.frontier(series, colours, reward, caption)}


def _shown(text: Any) -> str:
    """Foreign text for the page (the template escapes it): cut when endless, with invisible characters made visible."""
    plain = text_of(text) if isinstance(text, str | list) else str(text)
    cut = plain if len(plain) <= MAX_SHOWN_TEXT else plain[:MAX_SHOWN_TEXT] + " …"
    return "".join(c if c.isprintable() or c == "\n" else f"\\u{ord(c):04x}" for c in cut)


def _interval(figure: Mapping[str, float], digits: int = 3) -> Markup:
    """A figure over its interval, so that tables stay narrow."""
    value, low, high = (f"{figure[key]:.{digits}f}" for key in ("value", "low", "high"))
    return Markup("{}<br><small>{} to {}</small>").format(value, low, high)
