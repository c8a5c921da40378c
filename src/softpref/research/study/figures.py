"""The pictures of a study: gold against KL along training, and by how much geometric is ahead, label set by label set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from softpref.research.bandit.figures import COLOURS, save
from softpref.research.study.results import DECODINGS

Summary = Mapping[str, Any]

STYLES = {"c": ":", "g": "-"}


def frontiers(file: Path, comparison: Summary) -> None:
    """One panel per label set, one line per method: dashed hard, dotted conservative, solid geometric."""

    def draw(figure: Figure) -> None:
        """All panels share one scale, so that label sets compare."""
        panels = figure.subplots(1, len(comparison), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (labels, compared) in zip(panels, comparison.items(), strict=True):
            for name, points in compared["frontier"].items():
                _line(axes, name, points)
            axes.set_title(f"{labels} labels")
            axes.set_xlabel("KL to the SFT model, nats")
        panels[0].set_ylabel("gold of samples")
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=8, frameon=False)

    save(draw, file, (3.4 * max(2, len(comparison)), 3.6))


def _line(axes: Axes, name: str, points: Sequence[Summary]) -> None:
    style = STYLES.get(name[0], "--")
    kls, gold = [point["kl"] for point in points], [point["gold"]["value"] for point in points]
    axes.plot(kls, gold, style, color=COLOURS[name], marker="o", markersize=2.5, linewidth=1.3, label=name)


def leads(file: Path, summary: Summary) -> None:
    """Geometric less hard and less conservative in the DPO family: a point and its interval for every label set."""
    rows = _dpo_gaps(summary)

    def draw(figure: Figure) -> None:
        """One panel per way of decoding; 0 is no difference."""
        for axes, decoding in zip(figure.subplots(1, len(DECODINGS), sharey=True), DECODINGS, strict=True):
            for shift, (name, colour) in zip((-0.13, 0.13), _COMPARED.items(), strict=True):
                shown = {i: gaps[name][decoding] for i, gaps in enumerate(rows.values()) if name in gaps}
                _forest(axes, shown, shift, COLOURS[colour], name)
            axes.axvline(0, color="grey", linewidth=0.6, linestyle=":")
            axes.set_title(decoding)
            axes.set_xlabel("difference in gold")
        axes.set_yticks(range(len(rows)), list(rows))
        axes.invert_yaxis()
        handles, names = axes.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False)

    save(draw, file, (8, 1.4 + 0.32 * len(rows)))


_COMPARED = {"gdpo − dpo": "dpo", "gdpo − cdpo": "cdpo"}


def _dpo_gaps(summary: Summary) -> dict[str, Summary]:
    parts = [summary[part] for part in ("comparison", "conditions", "noise") if part in summary]
    return {labels: one["differences"] for part in parts for labels, one in part.items()}


def _forest(axes: Axes, gaps: Mapping[int, Summary], shift: float, colour: str, name: str) -> None:
    value, low, high = (np.array([gap[key] for gap in gaps.values()]) for key in ("value", "low", "high"))
    places = np.array([*gaps]) + shift
    axes.errorbar(value, places, xerr=[value - low, high - value], fmt="o", markersize=3, color=colour, label=name)
