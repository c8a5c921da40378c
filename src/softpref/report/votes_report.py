"""The document about the people behind votes: how reliable each is, who agrees with whom, and which pairs to ask about next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from softpref.core.dawid_skene import TIE, worth_asking
from softpref.data.pairs import PairSet, PreferencePair
from softpref.data.voters import VOTERS, Fitted
from softpref.data.written import as_written
from softpref.records.figures import Interval
from softpref.report.data_sections.agreement import agreement_section
from softpref.report.document import Column, Document, Example, Examples, Section, Shown, Table
from softpref.report.format import interval, percent
from softpref.report.opinions import Opinions

# Annotators in the matrix of who agrees with whom, and pairs on the page.
MATRIX, PAIRS = 20, 40
ANNOTATORS = (
    Column("annotator", "annotator"),
    Column("reliability", "names the true verdict", "estimate_percent"),
    Column("votes", "votes", "count"),
    Column("tie", "ties", "percent"),
)
READING = (
    "Dawid and Skene's model: every pair has one true verdict, and everybody names it with errors of their own. "
    "p is then how probable it is that the true verdict is the first side, a tie counted half: not the share of people who would "
    "vote so. Somebody with few votes leans on the average of all."
)
WORDS = ("the first side", "unsure", "the second side")


def annotator_rows(fitted: Fitted) -> list[dict[str, Any]]:
    """One row for each annotator, the least reliable first."""
    votes, model = fitted.model.votes, fitted.model
    rows = []
    for place, name in enumerate(fitted.names):
        said = votes[votes[:, 1] == place, 2]
        low, high = map(float, fitted.reliability_intervals[place])
        estimate = Interval(float(model.reliability[place]), low, high, len(said))
        rows.append({"annotator": name, "reliability": estimate, "votes": len(said), "tie": float(np.mean(said == TIE))})
    return sorted(rows, key=lambda row: row["reliability"].point)


def asked_next(pairs: Sequence[PreferencePair], fitted: Fitted) -> list[tuple[int, PreferencePair]]:
    """Pairs by what one more vote is expected to say of them, the most first, each with its place."""
    order = np.argsort(-worth_asking(fitted.model), kind="stable")
    return [(int(place), pairs[int(place)]) for place in order]


def votes_report(pairs: PairSet, fitted: Fitted) -> Document:
    """Everything that the votes say of the people and the pairs."""
    rows = annotator_rows(fitted)
    caption = "The least reliable first; the interval is of 95%"
    table = Table("annotators", caption, ANNOTATORS, rows)
    sections = [
        Section("reliability", "How reliable each annotator is", [table], READING),
        _agreement(pairs, rows),
        Section("next", "Which pairs to ask about next", [_examples(pairs, fitted)], _asked(fitted)),
    ]
    least = rows[0]
    sentence = f"{least['annotator']} names the true verdict least often: {interval(least['reliability'], '.0%')}."
    detail = f"{len(pairs):,} pairs with {len(fitted.model.votes):,} votes of {len(rows)} annotators in {pairs.name}."
    return Document(Path(pairs.name).name, sentence, detail, sections)


def _asked(fitted: Fitted) -> str:
    unsure = float(np.mean(np.abs(fitted.model.soft_labels - 0.5) < 0.1))
    return f"By how much one more vote is expected to say of the verdict. {percent(unsure)} of all p lie between 0.4 and 0.6."


def _agreement(pairs: PairSet, rows: Sequence[dict[str, Any]]) -> Section:
    """Of those with most votes: the matrix is as large as their number squared."""
    shown = [row["annotator"] for row in sorted(rows, key=lambda row: -row["votes"])[:MATRIX]]
    written = [as_written(pair) for pair in pairs]
    said = {name: [pair.meta[VOTERS].get(name) for pair in written] for name in shown}
    section = agreement_section(written, Opinions(said))
    more = "" if len(rows) <= MATRIX else f" Shown are the {MATRIX} of {len(rows)} annotators with the most votes."
    return Section(section.name, section.title, section.blocks, f"{section.text}{more}")


def _examples(pairs: PairSet, fitted: Fitted) -> Examples:
    items = [_example(place, as_written(pair), fitted) for place, pair in asked_next(pairs, fitted)[:PAIRS]]
    return Examples("next", "Pairs", items, len(pairs), WORDS, "annotators differ")


def _example(place: int, pair: PreferencePair, fitted: Fitted) -> Example:
    p, (low, high) = float(fitted.model.soft_labels[place]), fitted.label_intervals[place]
    voters = pair.meta[VOTERS]
    said = ", ".join(f"{name}: {_WORD[opinion]}" for name, opinion in voters.items())
    sides = [Shown("first", pair.chosen, f"p = {p:.2f} [{low:.2f}, {high:.2f}]; {said}"), Shown("second", pair.rejected)]
    labels = list(voters.values())
    return Example(pair.prompt, sides, p, labels, max(labels) - min(labels), note=f" · row {pair.row}")


_WORD = {1.0: "first", 0.5: "tie", 0.0: "second"}
