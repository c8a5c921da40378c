"""Which pairs are unsure, and on which opinions divide."""

from __future__ import annotations

from collections.abc import Sequence

from softpref.data.pairs import PairSet, PreferencePair
from softpref.report.data_sections.position import Orders
from softpref.report.document import Example, Examples, Section, Shown
from softpref.report.opinions import Opinions
from softpref.report.sections.examples import BUDGET, choose

WORDS = ("the chosen side", "unsure", "the rejected side")


def unsure(pairs: PairSet, opinions: Opinions, orders: Sequence[Orders | None]) -> Section:
    """Some of the pairs: the surest, the least sure, and those on which opinions are most divided."""
    if not pairs.labelled:
        return Section("pairs", "Pairs", [])
    found = [_example(pair, _said(place, pair, opinions), orders[place]) for place, pair in enumerate(pairs)]
    said = "opinions differ" if opinions.by_name else "the orders differ"
    block = Examples("pairs", "Pairs", choose(found, BUDGET), len(found), WORDS, said)
    return Section("pairs", "Which pairs are unsure", [block])


def _said(place: int, pair: PreferencePair, opinions: Opinions) -> dict[str, float]:
    """P(chosen is preferred) by name, for this pair as it was oriented."""
    said = {name: one[place] for name, one in opinions.by_name.items()}
    return {name: 1 - p if pair.swapped else p for name, p in said.items() if p is not None}


def _example(pair: PreferencePair, said: dict[str, float], orders: Orders | None) -> Example:
    p = float(pair.soft_label or 0.0)
    labels = list(said.values()) or [p]
    divided = max(labels) - min(labels) if said else abs(orders.bias) if orders else 0.0
    notes = "; ".join([f"p = {p:.2f}", *(f"{name} {one:.2f}" for name, one in said.items())])
    sides = [Shown("chosen", pair.chosen, notes), Shown("rejected", pair.rejected)]
    return Example(pair.prompt, sides, p, labels, divided, bool(orders and orders.disagree), f" · row {pair.row}")
