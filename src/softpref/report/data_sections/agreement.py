"""Who disagrees with whom: every two judges or people by name, and votes without names two at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from softpref.data.pairs import PreferencePair
from softpref.judges.both_orders import Judgement
from softpref.judges.ensemble import agreement
from softpref.records.figures import Interval
from softpref.report.document import Block, Column, Facts, Matrix, Section, Table
from softpref.report.format import number, percent
from softpref.report.opinions import Opinions

LABEL, GOLD = "the label", "gold"
BOTH = (Column("one", "one"), Column("other", "other"))
EQUAL = Column("agreement", "equal verdicts", "estimate_percent")
LISTED = (
    *BOTH,
    Column("share", "equal verdicts", "percent"),
    Column("kappa", "Cohen's κ", "signed"),
    Column("pairs", "pairs", "count"),
)
TEXT = "A verdict is: the first side, neither, or the second. Cohen's κ and Krippendorff's α compare with chance, which is 0."


def agreement_section(written: Sequence[PreferencePair], opinions: Opinions) -> Section:
    """The matrix of equal verdicts, the list of who disagrees most, and what votes without names say."""
    blocks: list[Block] = []
    by_name = dict(opinions.by_name)
    labels = [pair.soft_label for pair in written]
    if by_name and None not in labels:
        by_name[LABEL] = labels
    if len(by_name) > 1:
        blocks += _tables(by_name)
    if opinions.votes:
        blocks.append(Facts(vote_facts([votes for votes in opinions.votes if votes]), "Votes without names"))
    return Section("agreement", "Who disagrees with whom", blocks, TEXT)


def mean_agreement(opinions: Opinions) -> tuple[int, float] | None:
    """How many judges there are without gold, and how often two of them give equal verdicts; None for fewer than two."""
    named = {name: said for name, said in opinions.by_name.items() if name != GOLD}
    equal = [two.accuracy for two in agreement(_judgements(named)).pairs.values()] if len(named) > 1 else []
    return (len(named), float(np.mean(equal))) if equal else None


def _tables(by_name: Mapping[str, Sequence[float | None]]) -> list[Block]:
    found = agreement(_judgements(by_name))
    rows: list[dict[str, Any]] = [
        {
            "one": one,
            "other": other,
            "share": two.accuracy,
            "kappa": two.kappa,
            "pairs": two.comparisons,
            "agreement": Interval(two.accuracy),
        }
        for (one, other), two in found.pairs.items()
    ]
    rows.sort(key=lambda row: row["share"])
    cells = {(row["one"], row["other"]): row["agreement"] for row in rows}
    cells |= {(other, one): estimate for (one, other), estimate in cells.items()}
    caption = "Share of equal verdicts, those who agree most first"
    matrix = Matrix("agreement", caption, _order(by_name, rows), cells, Table("agreement", caption, (*BOTH, EQUAL), rows))
    alpha = f"Krippendorff's α of all: {number(found.alpha)}."
    return [matrix, Table("disagreement", "Who disagrees most", LISTED, rows, alpha)]


def _order(names: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """By mean agreement; the label, which is made of the others, last."""
    mean = {name: np.mean([row["share"] for row in rows if name in (row["one"], row["other"])] or [0]) for name in names}
    return sorted(names, key=lambda name: (name == LABEL, -float(mean[name])))


def _judgements(by_name: Mapping[str, Sequence[float | None]]) -> dict[str, list[Judgement]]:
    return {name: [Judgement(str(i), p, None, None) for i, p in enumerate(said)] for name, said in by_name.items()}


def vote_facts(votes: Sequence[tuple[float, float, float]]) -> list[tuple[str, str]]:
    """How many voted, how often all alike, and how often two of the voters of a pair agree."""
    totals = [sum(counts) for counts in votes]
    several = [counts for counts in votes if sum(counts) > 1]
    spread = f"from {min(totals):g} to {max(totals):g}"
    rows = [("votes", f"{np.mean(totals):.2f} per pair, {spread}, on {len(votes):,} pairs")]
    if several:
        alike = float(np.mean([max(counts) == sum(counts) for counts in several]))
        two = float(np.mean([two_agree(counts) for counts in several]))
        rows.append(("unanimous", f"{percent(alike)} of the {len(several):,} pairs with two votes or more"))
        rows.append(("two voters agree", f"{percent(two)} of the time"))
    return rows


def two_agree(counts: tuple[float, float, float]) -> float:
    """The chance that two of the voters, drawn without replacement, gave the same vote."""
    total = sum(counts)
    return sum(count * (count - 1) for count in counts) / (total * (total - 1))
