"""Figures as SVG text for one HTML page: thin lines, names beside what they name, no legend to look up.

Colours are drawn as hex numbers and written as CSS variables, so that one drawing serves a light and a dark page; ``standalone``
turns them back for a file of its own.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter
from scipy.optimize import isotonic_regression

from softpref.records.figures import Interval
from softpref.records.run import FrontierPoint
from softpref.report.format import shown, visible
from softpref.report.palette import LIGHT, SERIES, Colours

PALETTE = SERIES
INK, GRID = LIGHT["soft"], LIGHT["grid"]
# Lines of the runs after the colours are used up.
DASHES = ("-", "--", ":", "-.")
# In inches: narrow, so that text in a figure can be read on a phone too.
WIDTH, HEIGHT = 4.6, 2.7
FONT = 9.5
# Names that fit beside the ends of their lines; more stand below.
FEW = 12
LONG_NAME = 20
FAMILY = "system-ui, sans-serif"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "softpref",
    "font.size": FONT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.labelsize": FONT,
    "xtick.color": INK,
    "ytick.color": INK,
    "ytick.major.size": 0,
    "xtick.major.width": 0.7,
    "xtick.major.size": 3,
    "text.color": INK,
    "text.parse_math": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
}
_VARIABLES = {
    INK: "currentColor",
    GRID: "var(--grid, {})",
    **{c: f"var(--series-{i}, {{}})" for i, c in enumerate(SERIES)},
}


def svg(draw: Callable[[Axes], None], title: str, size: tuple[float, float] = (WIDTH, HEIGHT), prefix: str = "") -> str:
    """The drawing as an inline SVG element without fixed colours for ground and text, with ``title`` for screen readers.

    ``prefix`` keeps the ids of two figures of one page apart.
    """
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # the browser has the glyph where matplotlib's font, which only measures the text, has it not
        warnings.filterwarnings("ignore", message=".*[Gg]lyph", category=UserWarning)
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot())
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = _own_ids(visible(text[text.index("<svg") :]), prefix)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable.format(colour))
    text = re.sub(r"(font: [\d.]+px )[^;\"]*", rf"\g<1>{FAMILY}", text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{_attribute(visible(shown(title)))}" ', 1)


def standalone(inline: str) -> str:
    """An inline SVG as a file of its own, in the colours of the light page."""
    text = re.sub(r"var\(--[\w-]+, (#\w+)\)", r"\1", inline).replace("currentColor", INK)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + text


def _own_ids(text: str, prefix: str) -> str:
    """Only ids that are referred to are kept, each with the figure's prefix: every figure counts its parts from 1."""
    used = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text))
    text = re.sub(r' id="([^"]*)"', lambda found: f' id="{prefix}{found[1]}"' if found[1] in used else "", text)
    return text.replace("url(#", f"url(#{prefix}").replace('href="#', f'href="#{prefix}')


def _attribute(text: str) -> str:
    return re.sub(r'[&"<]', lambda found: {"&": "&amp;", '"': "&quot;", "<": "&lt;"}[found[0]], text)


# --- kinds of figures -----------------------------------------------------------------------------------------------------


def histogram(bars: Sequence[tuple[float, float, int]], x: str, y: str, title: str, prefix: str = "") -> str:
    """Counts over bins, ``(low, high, count)`` each, with the count written above where there is room."""

    def draw(axes: Axes) -> None:
        lows, highs, counts = zip(*bars, strict=True)
        widths = [0.92 * (high - low) for low, high in zip(lows, highs, strict=True)]
        axes.bar(lows, counts, width=widths, align="edge", color=PALETTE[0], linewidth=0)
        if len(bars) <= 12:
            above: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": FONT - 1.5}
            for low, width, count in zip(lows, widths, counts, strict=True):
                axes.annotate(f"{count}", (low + width / 2, count), (0, 1.5), textcoords="offset points", **above)
            axes.set_yticks([])
        else:
            axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.set_xlim(lows[0], highs[-1])
        axes.set_xlabel(x)
        axes.set_ylabel(y)

    return svg(draw, title, (WIDTH, HEIGHT - 0.3), prefix)


def lines(
    series: Mapping[str, Sequence[tuple[float, float | None]]],
    colours: Colours,
    axes_names: tuple[str, str],
    title: str,
    prefix: str = "",
    marked: bool = False,
) -> str:
    """Lines of (x, y) by name, each name at the end of its line; a gap where y is None. ``marked`` shows the points."""
    series = {name: points for name, points in series.items() if points}

    def draw(axes: Axes) -> None:
        drawn = {}
        for name, points in series.items():
            xs, ys = zip(*points, strict=True)
            style = {**_line_style(name, colours), "marker": "o" if marked else "", "markersize": 3.2}
            [drawn[name]] = axes.plot(xs, [_number(y) for y in ys], **style)
        axes.set_xlabel(axes_names[0])
        axes.set_ylabel(axes_names[1])
        _name_lines(axes, drawn, colours, _height(series))

    return svg(draw, title, (WIDTH, _height(series)), prefix)


def forest(
    rows: Sequence[tuple[str, Interval]],
    colours: Colours,
    x: str,
    middle: float | None,
    title: str,
    prefix: str = "",
    percent: bool = False,
    dots: Mapping[str, Sequence[float]] | None = None,
) -> str:
    """Figures with their intervals, one row each, the value written at the end; an interval of None is not drawn.

    ``dots`` are the values that a row's figure is the mean of (training seeds, say), drawn small above its line.
    """

    def draw(axes: Axes) -> None:
        for place, (name, figure) in enumerate(rows):
            low, value, high = map(_number, (figure.low, figure.value, figure.high))
            colour = colours.get(name, PALETTE[0])
            axes.plot([low, high], [-place, -place], color=colour, linewidth=1.8, solid_capstyle="butt")
            axes.plot([value], [-place], "o", color=colour, markersize=5.5)
            some = (dots or {}).get(name, ())
            axes.plot(some, [0.28 - place] * len(some), "o", color=colour, markersize=2.4, markeredgewidth=0)
            text = "–" if math.isnan(value) else f"{value:.1%}" if percent else f"{value:.3f}"
            _beside(axes, text.replace("-", "−"), -place, colour)
        _rows(axes, [name for name, _ in rows], x, middle, percent)

    return svg(draw, title, (WIDTH, 0.75 + 0.3 * len(rows)), prefix)


def pairs_of_points(
    rows: Sequence[tuple[str, Interval, Interval | None]],
    colours: Colours,
    x: str,
    middle: float,
    title: str,
    prefix: str = "",
) -> str:
    """Two estimates a row: a ring, and a dot with its interval where the second is known, joined by a thin line."""

    def draw(axes: Axes) -> None:
        for place, (name, before, after) in enumerate(rows):
            colour, start = colours.get(name, PALETTE[0]), _number(before.value)
            axes.plot([start], [-place], "o", color=colour, markersize=6, fillstyle="none", markeredgewidth=1.3)
            if after is None:
                continue
            low, value, high = map(_number, (after.low, after.value, after.high))
            axes.plot([start, value], [-place, -place], color=colour, linewidth=0.9, linestyle=":")
            axes.plot([low, high], [-place, -place], color=colour, linewidth=1.8, solid_capstyle="butt")
            axes.plot([value], [-place], "o", color=colour, markersize=5.5)
            _beside(axes, f"{value:.1%}", -place, colour)
        _rows(axes, [name for name, _, _ in rows], x, middle, percent=True)

    return svg(draw, title, (WIDTH, 0.75 + 0.3 * len(rows)), prefix)


def reliability(
    series: Mapping[str, Sequence[tuple[float, float]]],
    colours: Colours,
    axes_names: tuple[str, str],
    title: str,
    prefix: str = "",
    bars: Mapping[str, Sequence[tuple[float, float]]] | None = None,
) -> str:
    """Mean label against mean prediction; on the diagonal a prediction can be taken at its word.

    ``bars`` are the points' intervals, from the lower to the upper end, drawn as thin bars.
    """

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
        drawn = {}
        for name, points in series.items():
            xs, ys = zip(*points, strict=True)
            lows, highs = zip(*(bars or {}).get(name, [(y, y) for y in ys]), strict=True)
            axes.vlines(xs, lows, highs, color=colours[name], alpha=0.35, linewidth=1.2)
            [drawn[name]] = axes.plot(xs, ys, marker="o", markersize=3.8, **_line_style(name, colours))
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_aspect("equal")
        axes.grid(visible=True, axis="both")
        axes.set_xlabel(axes_names[0])
        axes.set_ylabel(axes_names[1])
        _name_lines(axes, drawn, colours, WIDTH - 0.9)

    return svg(draw, title, (WIDTH, WIDTH - 0.9), prefix)


def frontier(
    series: Mapping[str, Sequence[FrontierPoint]],
    colours: Colours,
    reward: str,
    title: str,
    prefix: str = "",
) -> str:
    """Reward against KL along training, by run; intervals as thin bars."""

    def draw(axes: Axes) -> None:
        drawn = {}
        for name, points in series.items():
            kl, value = [p.kl for p in points], [p.reward for p in points]
            low, high = [_number(p.low) for p in points], [_number(p.high) for p in points]
            axes.vlines(kl, low, high, color=colours[name], alpha=0.35, linewidth=1.2)
            [drawn[name]] = axes.plot(kl, value, marker="o", markersize=3.5, **_line_style(name, colours))
        axes.set_xlabel("KL to the reference on samples, nats per response")
        axes.set_ylabel(reward)
        _name_lines(axes, drawn, colours, _height(series))

    return svg(draw, title, (WIDTH, _height(series)), prefix)


# --- parts of them --------------------------------------------------------------------------------------------------------


def _line_style(name: str, colours: Colours) -> dict[str, Any]:
    dashes = DASHES[list(colours).index(name) // len(PALETTE) % len(DASHES)]
    return {"color": colours[name], "linestyle": dashes, "linewidth": 1.5}


def _rows(axes: Axes, names: Sequence[str], x: str, middle: float | None, percent: bool) -> None:
    """Names on the left, a dotted line at the value that says nothing."""
    if middle is not None:
        axes.axvline(middle, color=INK, linewidth=0.9, linestyle=":")
    axes.set_yticks([-place for place in range(len(names))], [_short(name) for name in names])
    axes.set_ylim(-len(names) + 0.45, 0.55)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    if percent:
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel(x)


def _beside(axes: Axes, text: str, y: float, colour: str) -> None:
    axes.annotate(
        text,
        (1, y),
        (6, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        va="center",
        color=colour,
        annotation_clip=False,
    )


def _name_lines(axes: Axes, drawn: Mapping[str, Line2D], colours: Colours, height: float) -> None:
    """Each name at the end of its line, moved apart where lines end together; below the figure when they are too many.

    A line alone needs no name.
    """
    if len(drawn) == 1:
        return
    if len(drawn) > FEW:
        _legend(axes, drawn)
        return
    ends = {name: end for name, line in drawn.items() if (end := _end(line)) is not None}
    low, high = axes.get_ylim()
    gap = (high - low) * (FONT + 2.5) / 72 / (height - 0.6)
    for name, y in spread(ends, gap, low, high).items():
        _beside(axes, _short(name), y, colours[name])


def _end(line: Line2D) -> float | None:
    ys = np.asarray(line.get_ydata(), dtype=np.float64)
    known = ys[np.isfinite(ys)]
    return float(known[-1]) if len(known) else None


def spread(places: Mapping[str, float], gap: float, low: float, high: float) -> dict[str, float]:
    """Places at least ``gap`` apart in the same order, moved as little as possible, within [low, high] if they fit.

    Least squares under ``y[i + 1] − y[i] ≥ gap`` is isotonic regression of ``y[i] − i·gap``, and clipping keeps it best.
    """
    if not places:
        return {}
    order = sorted(places, key=lambda name: places[name])
    steps = gap * np.arange(len(order))
    level = isotonic_regression(np.array([places[name] for name in order]) - steps).x
    apart = np.clip(level, low, max(low, high - steps[-1])) + steps
    return dict(zip(order, map(float, apart), strict=True))


def _legend(axes: Axes, drawn: Mapping[str, Line2D]) -> None:
    """Below. Texts are set afterwards: matplotlib leaves labels out that begin with ``_``."""
    style: dict[str, Any] = {"frameon": False, "fontsize": 8, "labelcolor": INK, "ncols": _legend_columns(list(drawn))}
    places = [str(place) for place in range(len(drawn))]
    legend = axes.figure.legend(list(drawn.values()), places, loc="outside lower center", **style)
    for text, name in zip(legend.get_texts(), drawn, strict=True):
        text.set_text(_short(name))


def _legend_columns(names: Sequence[str]) -> int:
    """As many as fit: a line of the legend holds about 66 letters, and an entry 6 beside its name."""
    return max(1, min(4, 66 // (max(len(_short(name)) for name in names) + 6)))


def _height(names: Mapping[str, Any]) -> float:
    """Room below for the names that do not stand beside their lines."""
    return HEIGHT + (0.17 * -(-len(names) // _legend_columns(list(names))) if len(names) > FEW else 0.0)


def _short(name: str) -> str:
    return name if len(name) <= LONG_NAME else f"{name[: LONG_NAME // 2 - 1]}…{name[-LONG_NAME // 2 :]}"


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
