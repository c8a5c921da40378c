"""Figures as SVG text for one HTML page. Colours are fixed per series and readable on light and dark grounds."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import matplotlib as mpl

mpl.use("svg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito (2008), told apart by the colour-blind; black left out for the dark theme.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#7570b3", "#a6761d")
Colours: TypeAlias = Mapping[str, str]
INK = "#767676"
WIDTH, HEIGHT = 5.4, 3.1


def svg(draw: Callable[[Axes], None], title: str, size: tuple[float, float] = (WIDTH, HEIGHT)) -> str:
    """The drawing as an inline SVG element without fixed colours for ground and text, with ``title`` for screen readers."""
    style: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "softpref", "font.size": 9, "axes.spines.top": False,
             "axes.spines.right": False, "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK,
             "ytick.color": INK, "text.color": INK}  # fmt: skip
    with mpl.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot())
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    return re.sub("<svg ", f'<svg role="img" aria-label="{_attribute(title)}" ', text, count=1)


def histogram(counts: Sequence[int], title: str) -> str:
    """Counts of p over equal bins of [0, 1]; empty bins below ½ are left out, since pairs are oriented."""
    start = 0 if any(counts[: len(counts) // 2]) else len(counts) // 2
    edges = [i / len(counts) for i in range(start, len(counts))]

    def draw(axes: Axes) -> None:
        axes.bar(edges, counts[start:], width=0.9 / len(counts), align="edge", color=PALETTE[0])
        axes.set_xlabel("soft label p")
        axes.set_ylabel("pairs")

    return svg(draw, title)


def curves(series: Mapping[str, Sequence[tuple[float, float]]], colours: Colours, x: str, y: str, title: str) -> str:
    """Lines of (x, y) by name."""

    def draw(axes: Axes) -> None:
        for name, points in series.items():
            if points:
                axes.plot(*zip(*points, strict=True), color=colours[name], label=name, linewidth=1.4)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.legend(frameon=False, fontsize=8, labelcolor=INK)

    return svg(draw, title)


def forest(
    rows: Sequence[tuple[str, Mapping[str, Any]]], colours: Colours, x: str, middle: float | None, title: str
) -> str:
    """Figures with their intervals, one row each: ``(label, {"value", "low", "high"})``."""

    def draw(axes: Axes) -> None:
        for place, (name, figure) in enumerate(rows):
            axes.plot([figure["low"], figure["high"]], [-place, -place], color=colours[name], linewidth=2)
            axes.plot([figure["value"]], [-place], "o", color=colours[name], markersize=5)
        if middle is not None:
            axes.axvline(middle, color=INK, linewidth=0.8, linestyle=":")
        axes.set_yticks([-i for i in range(len(rows))], [label for label, _ in rows])
        axes.set_ylim(-len(rows) + 0.5, 0.5)
        axes.set_xlabel(x)

    return svg(draw, title, (WIDTH, 0.9 + 0.32 * len(rows)))


def frontier(series: Mapping[str, Sequence[Mapping[str, float]]], colours: Colours, reward: str, title: str) -> str:
    """Reward against KL along training, by run; intervals as thin bars."""

    def draw(axes: Axes) -> None:
        for name, points in series.items():
            kl, value = [p["kl"] for p in points], [p["reward"] for p in points]
            axes.vlines(kl, [p["low"] for p in points], [p["high"] for p in points], color=colours[name], alpha=0.35)
            axes.plot(kl, value, "o-", color=colours[name], label=name, markersize=3.5, linewidth=1.2)
        axes.set_xlabel("KL to the reference on samples, nats per response")
        axes.set_ylabel(reward)
        axes.legend(frameon=False, fontsize=8, labelcolor=INK)

    return svg(draw, title)


def colours_of(names: Sequence[str]) -> Colours:
    """One colour per name, the same in every figure of a page."""
    return {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(names)}


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
