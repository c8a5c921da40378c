"""The pictures of the bandit, as PNG files on a white ground."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, TwoSlopeNorm
from matplotlib.figure import Figure

from softpref.advice.evidence import READOUTS, TREATMENTS
from softpref.core.arrays import Floats
from softpref.data.files import atomic_bytes
from softpref.report.charts import PALETTE
from softpref.research.bandit.bandit import GOOD_MODE, LABELS, POOR_MODE, BanditSettings
from softpref.research.bandit.effect import AXES, TIMES
from softpref.research.bandit.evidence_table import (
    beats,
    grouped,
    judge_name,
    pooled_rewards,
    votes_name,
    with_good_judge,
    with_p_itself,
)
from softpref.research.bandit.gradient_factors import METHODS, SHOWN_LABELS, SHOWN_MARGINS, by_autograd, closed_form
from softpref.research.bandit.map import BUDGETS

COLOURS = dict(zip(METHODS, PALETTE, strict=False))
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "softpref",
}
# Beyond these the straight lines of the IPO family leave the factors' figure.
FACTOR_RANGE = (-1.6, 2.6)


def save(draw: Callable[[Figure], None], file: Path, size: tuple[float, float]) -> None:
    """The same drawing gives the same bytes: nothing in the file says when it was made."""
    with rc_context(STYLE), atomic_bytes(file) as out:
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        figure.savefig(out, format="png", dpi=150, metadata={"Software": None})


def factors(file: Path, beta: float) -> None:
    """Gradient factors against h, by automatic differentiation (wide, coloured) under the closed forms (thin, black)."""
    h = np.linspace(*SHOWN_MARGINS, 401)

    def draw(figure: Figure) -> None:
        for axes, p in zip(figure.subplots(1, 2, sharey=True), SHOWN_LABELS, strict=True):
            for name in METHODS:
                axes.plot(h, by_autograd(name, h, p, beta), color=COLOURS[name], linewidth=3, alpha=0.7, label=name)
                axes.plot(h, closed_form(name, h, p, beta), color="black", linewidth=0.6)
            axes.axhline(0, color="grey", linewidth=0.6, linestyle=":")
            axes.set_ylim(*FACTOR_RANGE)
            axes.set_xlabel("h, nats")
            axes.set_title(f"p = {p}")
        figure.axes[0].set_ylabel(f"gradient factor w, β = {beta:g}")
        handles, names = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=8, frameon=False)

    save(draw, file, (9, 3.8))


def policies(file: Path, settings: BanditSettings, learnt: Mapping[str, Floats]) -> None:
    """What each method draws, over what the data hold, and the reward on an axis of its own."""
    world = settings.world

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.fill_between(range(len(world.reward)), world.data_policy, color="lightgrey", label="data")
        for name, policy in learnt.items():
            axes.plot(policy, color=COLOURS[name], linewidth=1.6, label=f"{name} (mode {policy.argmax()})")
        axes.set_xlabel("action")
        axes.set_ylabel("probability")
        axes.legend(frameon=False, loc="upper left")
        right = axes.twinx()
        right.plot(world.reward, color="grey", linewidth=0.8, linestyle="--")
        right.set_ylabel("reward (dashed)", color="grey")

    save(draw, file, (6, 3.6))


# --- where the paper's effect is ----------------------------------------------------------------------------------------

OUTCOMES = {
    "the paper's effect": "#009e73",
    f"cDPO's mode is above {POOR_MODE} too": "#e69f00",
    f"DPO's or GDPO's mode is below {GOOD_MODE}": "#b0b0b0",
}


def outcome(row: Mapping[str, Any]) -> int:
    """Which of ``OUTCOMES`` a cell of the effect's map shows."""
    if row["holds"]:
        return 0
    return 1 if row["methods"]["cdpo"]["mode"] > POOR_MODE else 2


def effect(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A panel per label source, width and time: reward range against the weight of the poor mode; a star at the default."""

    def draw(figure: Figure) -> None:
        panels = figure.subplots(len(TIMES), len(LABELS) * len(AXES["width"]), sharex=True, sharey=True)
        columns = [(labels, width) for labels in LABELS for width in AXES["width"]]
        for time, line in zip(TIMES, panels, strict=True):
            for (labels, width), axes in zip(columns, line, strict=True):
                here = {"labels": labels, "width": width, "training_time": time}
                _effect_panel(axes, [row for row in rows if here.items() <= row.items()], here)
        for axes, (labels, width) in zip(panels[0], columns, strict=True):
            axes.set_title(f"{labels}, s.d. {width:g}", fontsize=8)
        for axes, time in zip(panels[:, 0], TIMES, strict=True):
            axes.set_ylabel(f"time {time:g}\nreward range", fontsize=8)
        for axes in panels[-1]:
            axes.set_xlabel("share of draws near 20", fontsize=8)
        patches = [figure.axes[0].scatter([], [], marker="s", color=colour) for colour in OUTCOMES.values()]
        figure.legend(patches, [*OUTCOMES], loc="outside lower center", ncols=3, frameon=False)

    save(draw, file, (10.5, 5.6))


def _effect_panel(axes: Axes, rows: Sequence[Mapping[str, Any]], here: Mapping[str, Any]) -> None:
    ranges, weights = AXES["reward_range"], AXES["low_weight"]
    found = {(row["reward_range"], row["low_weight"]): outcome(row) for row in rows}
    grid = [[found[reward_range, weight] for weight in weights] for reward_range in ranges]
    axes.imshow(grid, cmap=ListedColormap([*OUTCOMES.values()]), vmin=0, vmax=2, origin="lower", aspect="auto")
    axes.set_xticks(range(len(weights)), [f"{weight:g}" for weight in weights], fontsize=7)
    axes.set_yticks(range(len(ranges)), [f"{one:g}" for one in ranges], fontsize=7)
    default = BanditSettings()
    if here == {name: getattr(default, name) for name in here}:
        axes.plot(weights.index(default.low_weight), ranges.index(default.reward_range), "*", color="black")


# --- which treatment for which labels -----------------------------------------------------------------------------------

LIMIT = 0.1


def by_votes(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Geometric against the better of the other two, by how sure the labels are and by the votes behind them."""
    _treatments(file, grouped(with_good_judge(rows), votes_name))


def by_judge(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """The same by what is wrong with the judge, where p is the judge's own and not made of votes."""
    _treatments(file, grouped(with_p_itself(rows), judge_name))


def _treatments(file: Path, kinds: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    ranges = sorted({row["reward_range"] for rows in kinds.values() for row in rows})
    cells = {(name, one): [row for row in rows if row["reward_range"] == one] for name, rows in kinds.items() for one in ranges}

    def draw(figure: Figure) -> None:
        panels = figure.subplots(len(READOUTS), len(BUDGETS), sharex=True, sharey=True, squeeze=False)
        for readout, line in zip(READOUTS, panels, strict=True):
            for budget, axes in zip(BUDGETS, line, strict=True):
                image = _treatment_panel(axes, cells, [*kinds], ranges, f"{budget:g}", readout)
                axes.set_title(f"{readout.replace('_', ' ')}, training {budget:g}", fontsize=8)
        for axes in panels[-1]:
            axes.set_xlabel("reward range (sureness of p)", fontsize=8)
        label = "geometric − better of hard and conservative"
        figure.colorbar(image, ax=panels, label=label, extend="both", shrink=0.6)

    save(draw, file, (10.5, 2.2 + 0.75 * len(kinds)))


def _treatment_panel(
    axes: Axes,
    cells: Mapping[tuple[str, float], Sequence[Mapping[str, Any]]],
    kinds: Sequence[str],
    ranges: Sequence[float],
    budget: str,
    readout: str,
) -> Any:
    found = [[_against_the_rest(cells[name, one], budget, readout) for one in ranges] for name in kinds]
    image = axes.imshow(
        [[gap for gap, _ in line] for line in found],
        cmap="PuOr",
        norm=TwoSlopeNorm(0, -LIMIT, LIMIT),
        aspect="auto",
    )
    for y, line in enumerate(found):
        for x, (gap, best) in enumerate(line):
            axes.text(x, y, best, ha="center", va="center", fontsize=7, color="white" if abs(gap) > 0.07 else "black")
    axes.set_xticks(range(len(ranges)), [f"{one:g}" for one in ranges], fontsize=7)
    axes.set_yticks(range(len(kinds)), kinds, fontsize=7)
    return image


def _against_the_rest(rows: Sequence[Mapping[str, Any]], budget: str, readout: str) -> tuple[float, str]:
    """Geometric less the better of the others, and the initials of all that the best one does not beat for certain.

    Not for certain: by less than a hundredth of the reward range, or with an interval over worlds that holds 0.
    """
    means = pooled_rewards(rows, budget, readout)
    best = max(means, key=lambda name: float(means[name].mean()))
    gap = float(means["geometric"].mean() - max(means[name].mean() for name in ("hard", "conservative")))
    beside = [name for name in TREATMENTS if name == best or not beats(means[best], means[name])]
    return gap, "".join(name[0].upper() for name in beside) if len(beside) < len(TREATMENTS) else "="
