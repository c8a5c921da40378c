"""Whether longer is what is preferred, and how long the texts are."""

from __future__ import annotations

import math
from typing import Any

from softpref.data.inspection import LENGTH_QUANTILES, Inspection
from softpref.data.pairs import PairSet, word_count
from softpref.records.figures import Interval
from softpref.report import charts
from softpref.report.data_sections.means import mean_by_prompt, prompt_of
from softpref.report.document import Block, Column, Figure, Section, Table
from softpref.report.format import interval

# How many times longer the longer side is, from and to.
RATIOS = ((1.0, 1.1), (1.1, 1.25), (1.25, 1.5), (1.5, 2.0), (2.0, 3.0), (3.0, math.inf))
HEADS = {0.0: "shortest", 0.5: "median", 1.0: "longest"}
WORDS = (
    Column("side", "words"),
    *(Column(f"at_{q:g}", HEADS.get(q, f"{q:.0%} have at most"), "count") for q in LENGTH_QUANTILES),
)
EFFECT = (
    Column("ratio", "longer by"),
    Column("longer", "longer is preferred", "estimate_percent"),
    Column("pairs", "pairs", "count"),
)
CAPTION = "How often the longer response is preferred, by how much longer it is"


def length(pairs: PairSet, found: Inspection) -> Section:
    """The effect of length where there are labels, and a table of lengths."""
    rows: list[dict[str, Any]] = [
        {"side": side, **{f"at_{q:g}": int(words) for q, words in zip(LENGTH_QUANTILES, counts, strict=True)}}
        for side, counts in found.lengths.items()
    ]
    blocks: list[Block] = [*_effect(pairs), Table("lengths", "Words", WORDS, rows)]
    return Section("length", "Length", blocks if rows else [])


def longer_wins(pairs: PairSet) -> Interval | None:
    """How often the longer side is the preferred one, over decided pairs of unequal length; None without such."""
    rows = [(longer, prompt) for longer, _, prompt in _unequal(pairs)]
    return _mean(rows) if rows else None


def _unequal(pairs: PairSet) -> list[tuple[float, float, str]]:
    """Of decided pairs of unequal length: whether chosen is the longer one, how many times the other it is, the prompt."""
    found = []
    for pair in pairs:
        a, b = word_count(pair.chosen), word_count(pair.rejected)
        if a != b and pair.soft_label not in (None, 0.5):
            found.append((float(a > b), max(a, b) / min(a, b) if min(a, b) else math.inf, prompt_of(pair)))
    return found


def _mean(rows: list[tuple[float, str]]) -> Interval:
    return mean_by_prompt([longer for longer, _ in rows], [prompt for _, prompt in rows])


def _effect(pairs: PairSet) -> list[Figure]:
    rows: list[dict[str, Any]] = []
    unequal = _unequal(pairs)
    for low, high in RATIOS:
        inside = [(longer, prompt) for longer, ratio, prompt in unequal if low <= ratio < high or ratio == math.inf == high]
        if inside:
            name = f"{low:g} to {high:g} times" if high < math.inf else f"{low:g} times or more"
            rows.append({"ratio": name, "longer": _mean(inside), "pairs": len(inside)})
    if not rows:
        return []
    shown = [(row["ratio"], row["longer"]) for row in rows]
    drawn = charts.forest(shown, {}, "the longer response is preferred", 0.5, CAPTION, "longer-", percent=True)
    said = "; ".join(f"{name} {interval(rate, '.1%')}" for name, rate in shown)
    return [Figure("longer", CAPTION, f"{said}.", drawn, Table("longer", CAPTION, EFFECT, rows))]
