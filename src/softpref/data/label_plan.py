"""How the label columns of a file become votes, rewards or p: decided once for whole columns, then done row by row.

Only columns whose meaning is certain are read: by their name, and by every one of their values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from softpref.data.read_options import ReadOptions
from softpref.data.side_columns import SideColumns, number_columns
from softpref.data.verdicts import (
    BOTH_BAD,
    FIRST,
    P_OF,
    SECOND,
    STEPS,
    TIE,
    SideNames,
    degree_of,
    number_of,
    word_of,
)

Row: TypeAlias = dict[str, Any]
Report: TypeAlias = Callable[[str, str, str], None]
Columns: TypeAlias = Mapping[str, Sequence[Any]]

WINNERS = (
    "winner", "choice", "preferred", "preference", "verdict", "selected", "pick", "vote", "pref", "better", "best", "label",
    "preferred_response", "better_response", "better_response_id", "chosen_response", "human_preference", "selection",
)  # fmt: skip
STRENGTHS = ("strength", "preference_strength", "overall_preference", "preference", "pref", "likert", "winner_strength")
ANNOTATORS = ("annotator", "rater", "worker", "labeler", "labeller", "coder", "participant", "respondent")
_WIDE = re.compile(rf"(?:{'|'.join(ANNOTATORS)}|judge|expert|person)[ _-]?(?!id\Z|name\Z)\w+\Z", re.IGNORECASE)
_EACH = (*WINNERS, "value", "result")
COUNT_OF = {FIRST: (1, 0, 0), SECOND: (0, 1, 0), TIE: (0, 0, 1), BOTH_BAD: (0, 0, 1)}


@dataclass(frozen=True)
class LabelPlan:
    """Which columns hold the label, and how a row's become ``votes_*``, ``*_reward`` or ``soft_label``.

    ``convert`` gives None for a row that is dropped: its verdict is that both are bad, or it has none, which is reported.
    ``note`` says what is read how.
    """

    columns: tuple[str, ...]
    convert: Callable[[Row, Report], Row | None]
    note: str


def annotator_column(columns: Columns) -> str | None:
    """The column that says whose label a row holds."""
    names = [f"{name}{end}" for name in ANNOTATORS for end in ("", "_id", "_name")]
    return next((column for name in names for column in columns if column.casefold() == name), None)


def label_plans(
    columns: Columns, sides: SideColumns, names: SideNames, options: ReadOptions, texts: Callable[[str], bool]
) -> list[LabelPlan]:
    """Every way in which these columns certainly hold the label; more than one is the user's to decide between.

    ``texts(column)`` says whether a column holds, in every row, the text of one of the row's sides.
    """
    winners = [name for name in WINNERS if name in columns and (names.verdicts(columns[name]) or texts(name))]
    strengths = [name for name in STRENGTHS if name in columns and name not in winners]
    plans = [_of_strength(name, columns[name], names, options, winners) for name in strengths]
    found = [plan for plan in plans if plan is not None]
    joined = {column for plan in found for column in plan.columns}
    found += [_of_winner(name, sides, names, options) for name in winners if name not in joined]
    found += [_of_numbers(pair) for pair in number_columns(columns, sides)]
    wide = [name for name in columns if _WIDE.match(name) and names.verdicts(columns[name])]
    found += [_of_annotators(wide, names, options)] if wide else []
    lists = [name for name in ("annotations", "votes", "choices", "verdicts") if _all_annotations(columns.get(name), names)]
    return found + [_of_annotations(name, names, options) for name in lists]


# --- one verdict a row


def _of_winner(name: str, sides: SideColumns, names: SideNames, options: ReadOptions) -> LabelPlan:
    def convert(row: Row, report: Report) -> Row | None:
        verdict = names.verdict(row.get(name)) or _side_with_text(row, name, sides)
        if verdict is None:
            report(name, "is missing", "give every row its verdict, or drop the row")
            return None
        if verdict == BOTH_BAD and options.both_bad == "drop":
            return None
        return _with_votes(row, [COUNT_OF[verdict]], both_bad=verdict == BOTH_BAD)

    return LabelPlan((name,), convert, f"{name} is read as one vote a row")


def _side_with_text(row: Row, name: str, sides: SideColumns) -> str | None:
    texts = [row.get(side) for side in sides.ours]
    return (FIRST, SECOND)[texts.index(row[name])] if row.get(name) in texts and texts[0] != texts[1] else None


def _with_votes(row: Row, counts: Sequence[tuple[int, int, int]], both_bad: int) -> Row:
    first, second, tie = (sum(column) for column in zip(*counts, strict=True))
    beside = {"both_bad": int(both_bad)} if both_bad else {}
    return {**row, "votes_1": first, "votes_2": second, "votes_tie": tie, **beside}


# --- how much better


def _of_strength(
    name: str, values: Sequence[Any], names: SideNames, options: ReadOptions, winners: Sequence[str]
) -> LabelPlan | None:
    """By the user's map or scale, or by words that say which side and how much. None where neither says it."""
    winner = next(iter(winners), None)
    if options.strength_map:
        return _by_map(name, names, {word_of(value): p for value, p in options.strength_map.items()}, winner)
    ends = options.strength_ends()
    if ends is not None and all(number_of(value) is not None for value in values):
        return _by_scale(name, ends)
    degrees = [degree_of(value, names) for value in values]
    sideless = any(degree is not None and degree[0] is None for degree in degrees)
    if None in degrees or not any(degree is not None and degree[1] for degree in degrees) or (sideless and winner is None):
        return None
    return _by_words(name, names, winner if sideless else None)


def _by_scale(name: str, ends: tuple[float, float]) -> LabelPlan:
    first, second = ends

    def convert(row: Row, report: Report) -> Row | None:
        x = number_of(row.get(name))
        if x is None or not min(ends) <= x <= max(ends):
            report(name, f"{row.get(name)!r} is not on the scale {first:g}..{second:g}", "give a value on it, or drop the row")
            return None
        return _with_p(row, (second - x) / (second - first), formula)

    formula = f"({second:g} - x) / {second - first:g}"
    return LabelPlan((name,), convert, f"{name} x is read as p = {formula} (another map: strength_map)")


def _by_words(name: str, names: SideNames, winner: str | None) -> LabelPlan:
    def convert(row: Row, report: Report) -> Row | None:
        degree = degree_of(row.get(name), names)
        side = degree and (degree[0] or (winner and names.verdict(row.get(winner))))
        if not degree or not side:
            report(name, "says of no side how much better it is", "give every row its verdict, or drop the row")
            return None
        steps = degree[1] if side in (FIRST, SECOND) else 0
        return _with_p(row, 0.5 + (P_OF[side] - 0.5) * steps / STEPS, formula)

    formula = "slightly better 2/3, better 5/6, much better 1"
    read = (name, winner) if winner else (name,)
    return LabelPlan(read, convert, f"{' and '.join(read)} are read as p: {formula} (another map: strength_map)")


def _by_map(name: str, names: SideNames, p_of: Mapping[str, float], winner: str | None) -> LabelPlan:
    def convert(row: Row, report: Report) -> Row | None:
        p, side = p_of.get(word_of(row.get(name))), names.verdict(row.get(winner)) if winner else FIRST
        if p is None or side is None:
            report(name, f"{row.get(name)!r} is not in strength_map", "add it there, or drop the row")
            return None
        return _with_p(row, 0.5 if side not in (FIRST, SECOND) else p if side == FIRST else 1 - p, "strength_map")

    read = (name, winner) if winner else (name,)
    return LabelPlan(read, convert, f"{' and '.join(read)} are read as p by strength_map")


def _with_p(row: Row, p: float, formula: str) -> Row:
    return {**row, "soft_label": p, "label_source": {"method": "strength of preference", "formula": formula}}


# --- a number of either side


def _of_numbers(pair: tuple[str, str]) -> LabelPlan:
    def convert(row: Row, _: Report) -> Row:
        rest = {name: value for name, value in row.items() if name not in pair}
        return {**rest, "chosen_reward": row.get(pair[0]), "rejected_reward": row.get(pair[1])}

    return LabelPlan(pair, convert, f"{pair[0]} and {pair[1]} are read as p = s(reward_scale · difference)")


# --- several people in one row


def _of_annotators(columns: Sequence[str], names: SideNames, options: ReadOptions) -> LabelPlan:
    def convert(row: Row, report: Report) -> Row | None:
        cast = [(name, names.verdict(row[name])) for name in columns if row.get(name) is not None]
        return _all_votes(row, columns[0], cast, options, report)

    return LabelPlan(tuple(columns), convert, f"{', '.join(columns)} are read as a vote each")


def _of_annotations(column: str, names: SideNames, options: ReadOptions) -> LabelPlan:
    def convert(row: Row, report: Report) -> Row | None:
        return _all_votes(row, column, list(_cast(row.get(column), names)), options, report)

    return LabelPlan((column,), convert, f"{column} are read as a vote each")


def _all_votes(row: Row, column: str, cast: Sequence[tuple[str, str | None]], options: ReadOptions, report: Report) -> Row | None:
    bad = sum(verdict == BOTH_BAD for _, verdict in cast)
    counted = [(name, verdict) for name, verdict in cast if not (verdict == BOTH_BAD and options.both_bad == "drop")]
    verdicts = [verdict for _, verdict in counted if verdict is not None]
    if len(verdicts) < len(counted) or not cast:
        report(column, "holds no verdict that names a side", "give every row a verdict, or drop the row")
        return None
    if not verdicts:
        return None
    meta = row.get("meta") if isinstance(row.get("meta"), dict) else {}
    voters = {name: P_OF[verdict] for name, verdict in counted if verdict is not None}
    row = _with_votes(row, [COUNT_OF[verdict] for verdict in verdicts], bad)
    return {**row, "meta": {**(meta or {}), "annotators": voters}}


def _all_annotations(values: Sequence[Any] | None, names: SideNames) -> bool:
    return bool(values) and all(
        isinstance(value, list) and value and all(verdict is not None for _, verdict in _cast(value, names))
        for value in values or ()
    )


def _cast(value: Any, names: SideNames) -> Iterator[tuple[str, str | None]]:
    """Who said what in a list of verdicts, or of objects with one."""
    for place, one in enumerate(value if isinstance(value, list) else (), start=1):
        if isinstance(one, Mapping):
            verdicts = [names.verdict(one[key]) for key in _EACH if key in one]
            who = next((one[key] for key in one if key.casefold().removesuffix("_id") in ANNOTATORS), place)
            yield str(who), verdicts[0] if len(verdicts) == 1 else None
        else:
            yield str(place), names.verdict(one)
