"""The ``softpref calibrate`` command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softpref.cli.options import parse_options, say
from softpref.data.read_options import ReadOptions
from softpref.errors import OptionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from softpref.evaluation.calibration import FitOptions, GoldOptions, Outcome

SCORES = {"brier": "Brier score", "log_score": "log score, nats", "ece": "ECE, 10 bins"}
PARTS = ("before", "after", "difference")


@dataclass
class CalibrateOptions:
    """Fit a map from a judge's p to probabilities that gold labels bear out, and score it on rows that it has not seen.

    Attributes:
        data: JSONL or CSV file with the judge's soft_label, as softpref label writes it, and a gold label in every row.
        gold: Column or path of the gold label of the first side, meta.gold say; a number in [0, 1], unless gold_first is given.
        method: temperature, platt or isotonic.
        output: JSON file for the fitted calibration; softpref label applies it to other pairs.
        gold_first: The value of gold that says that the first side is better.
        gold_second: The value of gold that says that the second side is better.
        symmetric: Fit on both orientations of every pair, so that exchanging the sides gives 1 − p; false does not.
        clip: p is brought into [clip, 1 − clip] first. For shares of n votes, about 1 / (n + 2).
        folds: Parts of the cross-validation that the scores come from.
        group: prompt, or a column or path; rows of one group are never fitted on and scored together.
        seed: Seed that deals the groups out to the folds.
        html: HTML file for a reliability plot and the scores.
        out_of_fold: JSONL file for the same rows with their out-of-fold calibrated labels.
        reading: How the file becomes labelled pairs.
    """

    data: str
    gold: str
    method: str
    output: str
    gold_first: str | None = None
    gold_second: str | None = None
    symmetric: bool = True
    clip: float = 1e-6
    folds: int = 5
    group: str = "prompt"
    seed: int = 0
    html: str | None = None
    out_of_fold: str | None = None
    reading: ReadOptions = field(default_factory=ReadOptions)


def run(argv: Sequence[str]) -> None:
    """Fit, score, write and print."""
    options = parse_options(CalibrateOptions, "softpref calibrate", argv)
    _check_files(options)
    from softpref.data.formats import read_pairs
    from softpref.evaluation.calibration import calibrate, gold_rows, write_calibration, write_out_of_fold

    gold, fit = _stage_options(options)
    outcome = calibrate(gold_rows(read_pairs(options.data, options.reading), gold), gold, fit)
    write_calibration(options.output, outcome.calibration)
    _show(outcome, options)
    say(f"calibration: {options.output}")
    if options.out_of_fold is not None:
        write_out_of_fold(options.out_of_fold, outcome)
        say(f"out-of-fold labels: {options.out_of_fold}")
    if options.html is not None:
        _write_page(Path(options.html), outcome)
        say(f"reliability plot: {options.html}")


def _stage_options(options: CalibrateOptions) -> tuple[GoldOptions, FitOptions]:
    from softpref.evaluation.calibration import FitOptions, GoldOptions

    gold = GoldOptions(options.gold, options.gold_first, options.gold_second, options.group)
    return gold, FitOptions(options.method, options.symmetric, options.clip, options.folds, options.seed)


def _check_files(options: CalibrateOptions) -> None:
    """Before anything is computed: every file has its suffix, and none is written over another."""
    seen = {Path(options.data).resolve(): "data"}
    for name, suffix in (("output", ".json"), ("out_of_fold", ".jsonl"), ("html", ".html")):
        value = getattr(options, name)
        if value is None:
            continue
        if Path(value).suffix != suffix:
            raise OptionError(f"{name} is {value!r}; give a {suffix} file")
        if Path(value).resolve() in seen:
            raise OptionError(f"{name} is the {seen[Path(value).resolve()]} file {value}; give another file")
        seen[Path(value).resolve()] = name


def _show(outcome: Outcome, options: CalibrateOptions) -> None:
    fitted_on, scores = outcome.calibration.fitted_on, outcome.calibration.scores
    say(
        f"{fitted_on['file']}: {fitted_on['rows']} rows in {fitted_on['groups']} groups by {fitted_on['group']}, "
        f"judge {fitted_on['judge'] or 'unknown'}, mean gold {outcome.rows.gold.mean():.3f}"
    )
    if outcome.rows.identical_dropped:
        say(f"dropped: {outcome.rows.identical_dropped} rows with two identical sides")
    if outcome.clipped:
        say(
            f"{outcome.clipped} labels lay outside [{options.clip:g}, 1 − {options.clip:g}] and count as its ends; "
            "the scores hang on that bound (--clip)"
        )
    say(f"{outcome.calibration.method}: {_parameters(outcome)}, fitted on all rows")
    say(f"scores out of fold ({scores['folds']} folds, no group in fit and score alike), 95% intervals over groups:")
    say(f"  {'':<16}{'before':<24}{'after':<24}after − before")
    for name, label in SCORES.items():
        say(f"  {label:<16}" + "".join(f"{_interval(scores[part][name], part):<24}" for part in PARTS).rstrip())
    say("  (an ECE counts noise, so its intervals lean upwards; Brier and log score decide)")


def _parameters(outcome: Outcome) -> str:
    from softpref.core.calibration import Isotonic, Temperature

    fitted = outcome.calibration.calibrator
    if isinstance(fitted, Temperature):
        return f"T = {fitted.temperature:.3f}"
    if isinstance(fitted, Isotonic):
        lowest = 1 - fitted.values[-1] if fitted.symmetric else fitted.values[0]
        return f"{len(fitted.knots)} knots, p from {lowest:.3f} to {fitted.values[-1]:.3f}"
    return f"slope {fitted.slope:.3f}, intercept {fitted.intercept:+.3f}"


def _interval(figure: dict[str, Any], part: str) -> str:
    sign = "+" if part == "difference" else ""
    return f"{figure['value']:{sign}.3f} [{figure['low']:{sign}.3f}, {figure['high']:{sign}.3f}]"


# --- the page -------------------------------------------------------------------------------------------------------------

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; --ground: #fff; --ink: #1d1d1f; --soft: #5c5c63; --line: #dcdce1; }
@media (prefers-color-scheme: dark) { :root { --ground: #16171a; --ink: #ececf0; --soft: #a5a5ae; --line: #34353b; } }
body { margin: 0 auto; max-width: 46rem; padding: 2rem 1rem 4rem; background: var(--ground); color: var(--ink); }
body { font: 16px/1.55 system-ui, sans-serif; } p, figcaption { color: var(--soft); overflow-wrap: anywhere; }
figure { margin: 0; max-width: 34rem; } figure svg { width: 100%; height: auto; color: var(--soft); }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .35rem 1.1rem .35rem 0; border-bottom: 1px solid var(--line); }
</style>
</head>
<body>
<main>
<h1>{{ title }}</h1>
<p>{{ on.rows }} rows in {{ on.groups }} groups by {{ on.group }} of {{ on.file }}; judge: {{ on.judge or "unknown" }};
gold: {{ on.gold }}. {{ parameters }}.</p>
<figure>{{ figure | safe }}<figcaption>Mean gold label against mean p in bins of p, with 95% intervals over groups. "After"
is out of fold. On the diagonal, p can be taken at its word.</figcaption></figure>
<table>
<thead><tr><th scope="col">lower is better</th>{% for part in parts %}<th scope="col">{{ part }}</th>{% endfor %}</tr></thead>
<tbody>
{% for label, figures in rows %}
<tr><th scope="row">{{ label }}</th>{% for figure in figures %}<td>{{ figure }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
<p>Scores come from {{ scores.folds }} folds with no group in fit and score alike; 95% intervals over groups.</p>
</main>
</body>
</html>
"""


def _write_page(path: Path, outcome: Outcome) -> None:
    """One self-contained page: no script, no request, all foreign text escaped."""
    from jinja2 import Environment, StrictUndefined

    from softpref.data.files import atomic_write

    calibration = outcome.calibration
    scores = calibration.scores
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    page = environment.from_string(PAGE).render(
        title=f"Calibration by {calibration.method}",
        on=calibration.fitted_on,
        parameters=_parameters(outcome),
        figure=_reliability_figure(outcome),
        parts=PARTS,
        rows=[(label, [_interval(scores[part][name], part) for part in PARTS]) for name, label in SCORES.items()],
        scores=scores,
    )
    with atomic_write(path) as file:
        file.write(page)


def _reliability_figure(outcome: Outcome) -> str:
    from softpref.evaluation.calibration import reliability
    from softpref.report.charts import INK, PALETTE, svg

    series = {"before": outcome.before, "after": outcome.after}

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
        for colour, (name, log_odds) in zip(PALETTE, series.items(), strict=False):
            points = list(reliability(log_odds, outcome.rows))
            p = [mean for mean, _ in points]
            axes.vlines(p, [gold.low for _, gold in points], [gold.high for _, gold in points], color=colour, alpha=0.4)
            axes.plot(
                p, [gold.value for _, gold in points], "o-", color=colour, label=name, markersize=4, linewidth=1.2
            )
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_xlabel("p that the first side is better")
        axes.set_ylabel("mean gold label")
        axes.legend(frameon=False, fontsize=8, labelcolor=INK)

    return svg(draw, "Reliability before and after calibration", (4.6, 4.2))
