"""Figures as SVG text for one HTML page. Colours are fixed per series and readable on light and dark grounds."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import matplotlib as mpl

mpl.use("svg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from softpref.report.visible import visible

# Okabe and Ito (2008), told apart by the colour-blind; black left out for the dark theme.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#7570b3", "#a6761d")
# Lines of the runs after the palette is used up.
DASHES = ("-", "--", ":", "-.")
Colours: TypeAlias = Mapping[str, str]
INK = "#767676"
# In inches: narrow, so that text in a figure can be read on a phone too.
WIDTH, HEIGHT = 4.6, 2.8
# Names that a legend inside the axes may hold.
FEW = 5
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "softpref", "font.size": 9, "axes.spines.top": False,
    "axes.spines.right": False, "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "text.color": INK, "text.parse_math": False,
}  # fmt: skip


def svg(draw: Callable[[Axes], None], title: str, size: tuple[float, float] = (WIDTH, HEIGHT)) -> str:
    """The drawing as an inline SVG element without fixed colours for ground and text, with ``title`` for screen readers."""
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # the browser has the glyph where matplotlib's font, which only measures the text, has it not
        warnings.filterwarnings("ignore", message=".*[Gg]lyph", category=UserWarning)
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot())
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = visible(text[text.index("<svg") :]).replace(INK, "currentColor")
    name = f'<svg role="img" aria-label="{_attribute(visible(title))}" '
    return text.replace("<svg ", name, 1)


def histogram(counts: Sequence[int], title: str) -> str:
    """Counts of p over equal bins of [0, 1]; empty bins below ½ are left out, since pairs are oriented."""
    start = 0 if any(counts[: len(counts) // 2]) else len(counts) // 2
    edges = [i / len(counts) for i in range(start, len(counts))]

    def draw(axes: Axes) -> None:
        axes.bar(edges, counts[start:], width=0.9 / len(counts), align="edge", color=PALETTE[0])
        axes.set_xlabel("soft label p")
        axes.set_ylabel("pairs")

    return svg(draw, title)


def curves(
    series: Mapping[str, Sequence[tuple[float, float | None]]], colours: Colours, x: str, y: str, title: str
) -> str:
    """Lines of (x, y) by name; a gap where y is None."""

    def draw(axes: Axes) -> None:
        lines = {}
        for name, points in series.items():
            if points:
                xs, ys = zip(*points, strict=True)
                style: dict[str, Any] = {"color": colours[name], "linestyle": _dashes(name, colours), "linewidth": 1.4}
                [lines[name]] = axes.plot(xs, [_number(value) for value in ys], **style)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        _legend(axes, lines)

    return svg(draw, title, _size([name for name, points in series.items() if points]))


def forest(
    rows: Sequence[tuple[str, Mapping[str, Any]]], colours: Colours, x: str, middle: float | None, title: str
) -> str:
    """Figures with their intervals, one row each: ``(name, {"value", "low", "high"})``; an interval of None is not drawn."""

    def draw(axes: Axes) -> None:
        for place, (name, figure) in enumerate(rows):
            low, value, high = (_number(figure[key]) for key in ("low", "value", "high"))
            axes.plot([low, high], [-place, -place], color=colours[name], linewidth=2)
            axes.plot([value], [-place], "o", color=colours[name], markersize=5)
        if middle is not None:
            axes.axvline(middle, color=INK, linewidth=0.8, linestyle=":")
        axes.set_yticks([-i for i in range(len(rows))], [label for label, _ in rows])
        axes.set_ylim(-len(rows) + 0.5, 0.5)
        axes.set_xlabel(x)

    return svg(draw, title, (WIDTH, 0.9 + 0.32 * len(rows)))


def frontier(
    series: Mapping[str, Sequence[Mapping[str, float | None]]], colours: Colours, reward: str, title: str
) -> str:
    """Reward against KL along training, by run; intervals as thin bars."""

    def draw(axes: Axes) -> None:
        lines = {}
        for name, points in series.items():
            kl, value, low, high = ([_number(p[key]) for p in points] for key in ("kl", "reward", "low", "high"))
            axes.vlines(kl, low, high, color=colours[name], alpha=0.35)
            style: dict[str, Any] = {"color": colours[name], "linestyle": _dashes(name, colours), "linewidth": 1.2}
            [lines[name]] = axes.plot(kl, value, marker="o", markersize=3.5, **style)
        axes.set_xlabel("KL to the reference on samples, nats per response")
        axes.set_ylabel(reward)
        _legend(axes, lines)

    return svg(draw, title, _size(list(series)))


def colours_of(names: Sequence[str]) -> Colours:
    """One colour per name, the same in every figure of a page; after nine names they begin again, in another dash."""
    return {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(names)}


def _dashes(name: str, colours: Colours) -> str:
    return DASHES[list(colours).index(name) // len(PALETTE) % len(DASHES)]


def _legend(axes: Axes, lines: Mapping[str, Line2D]) -> None:
    """Inside for few names, below for many. Set afterwards: matplotlib leaves labels out that begin with ``_``."""
    places = [str(place) for place in range(len(lines))]
    style: dict[str, Any] = {"frameon": False, "fontsize": 8, "labelcolor": INK}
    if len(lines) <= FEW:
        legend = axes.legend(list(lines.values()), places, **style)
    else:
        columns = _legend_columns(list(lines))
        legend = axes.figure.legend(list(lines.values()), places, loc="outside lower center", ncols=columns, **style)
    for text, name in zip(legend.get_texts(), lines, strict=True):
        text.set_text(name)


def _legend_columns(names: Sequence[str]) -> int:
    """As many as fit: a line of the legend holds about 66 letters, and an entry 6 beside its name."""
    return max(1, min(4, 66 // (max(map(len, names)) + 6)))


def _size(names: Sequence[str]) -> tuple[float, float]:
    """Room below for the names that do not stand in the axes."""
    rows = 0 if len(names) <= FEW else -(-len(names) // _legend_columns(names))
    return WIDTH, HEIGHT + 0.17 * rows


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _attribute(text: str) -> str:
    return re.sub(r'[&"<]', lambda found: {"&": "&amp;", '"': "&quot;", "<": "&lt;"}[found[0]], text)
