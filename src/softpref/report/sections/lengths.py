"""Whether longer is what wins: lengths and repetition of both sides, and the win rate at equal length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from softpref.records.evaluation import EvaluationRecord
from softpref.records.figures import LengthFigures, RepetitionFigures
from softpref.report import charts
from softpref.report.document import Block, Column, Figure, Section, Table
from softpref.report.format import interval
from softpref.report.groups import Group, slug
from softpref.report.palette import Colours

SIDES = (
    Column("who", "responses of"),
    Column("mean_words", "mean words", "number1"),
    Column("median_words", "median words", "number1"),
    Column("unfinished", "unfinished", "count"),
    Column("distinct_1", "distinct 1-grams", "percent"),
    Column("distinct_2", "2-grams", "percent"),
    Column("distinct_3", "3-grams", "percent"),
    Column("longest_repeat", "longest repeat, words", "number1"),
    Column("longer_wins", "longer side wins", "estimate_percent"),
    Column("percentage", "win rate", "estimate_percent"),
    Column("length_controlled", "at equal length", "estimate_percent"),
)
NOTE = "Longer side wins: how often the judge prefers the longer of two responses of unequal length."
CONTROLLED = " At equal length: the win rate that a logistic regression on the difference in length leaves at a difference of 0."


def lengths(groups: Sequence[Group], colours: Colours) -> Section:
    """One table per group, and one figure where a length-controlled win rate was computed."""
    blocks = [block for group in groups for block in _group(group, colours)]
    text = NOTE + (CONTROLLED if any(isinstance(block, Figure) for block in blocks) else "")
    return Section("lengths", "Length and repetition", blocks, text)


def _group(group: Group, colours: Colours) -> list[Block]:
    rows = [_model_row(name, one.record) for name, one in group.contenders]
    if not rows:
        return []
    first = group.contenders[0][1].record
    rows.append(side_row(group.against, first.lengths.against, first.repetition.against if first.repetition else None))
    table = length_table(slug("lengths", group.heading), f"Lengths, {group.heading}", rows)
    figure = _figure(group, rows[:-1], colours)
    return [figure, table] if figure else [table]


def side_row(who: str, lengths: LengthFigures, repetition: RepetitionFigures | None) -> dict[str, Any]:
    """Lengths and repetition of one side's responses."""
    return {"who": who, **vars(lengths), **(vars(repetition) if repetition else {})}


def length_table(name: str, caption: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """The columns that any row has."""
    columns = [column for column in SIDES if any(row.get(column.key) is not None for row in rows)]
    return Table(name, caption, columns, rows)


def _model_row(who: str, record: EvaluationRecord) -> dict[str, Any]:
    return {
        **side_row(who, record.lengths.model, record.repetition.model if record.repetition else None),
        "longer_wins": record.longer_wins,
        "length_controlled": record.length_controlled,
        "percentage": record.win_rates.percentage,
    }


def _figure(group: Group, rows: Sequence[Mapping[str, Any]], colours: Colours) -> Figure | None:
    if not any(row.get("length_controlled") for row in rows):
        return None
    name, caption = (
        slug("length control", group.heading),
        f"Win rate as judged (ring) and at equal length (dot), {group.heading}",
    )
    shown = [(row["who"], row["percentage"], row.get("length_controlled")) for row in rows]
    drawn = charts.pairs_of_points(shown, colours, "percentage win rate", 0.5, caption, f"{name}-")
    said = "; ".join(f"{who} {interval(raw, '.1%')}, at equal length {interval(fair, '.1%')}" for who, raw, fair in shown)
    columns = [c for c in SIDES if c.key in ("who", "percentage", "length_controlled")]
    return Figure(name, caption, f"{said}.", drawn, Table(name, caption, columns, rows))
