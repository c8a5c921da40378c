"""The form of a file: which column is what. Decided once, from whole columns; then every row is put into our columns by itself.

What comes out has ``prompt``, ``chosen`` and ``rejected`` or ``response_1`` and ``response_2``, and at most one kind of label
(``label_columns``); everything else stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

from softpref.data import prompt_columns, several_responses
from softpref.data.label_columns import LABEL_KINDS
from softpref.data.label_plan import LabelPlan, annotator_column, label_plans
from softpref.data.read_options import ReadOptions
from softpref.data.row_reader import is_missing
from softpref.data.side_columns import LISTS, SIDES, SideColumns, numbered_responses, side_columns
from softpref.data.verdicts import SideNames, number_of, side_names
from softpref.errors import Fault, OptionError

Row: TypeAlias = dict[str, Any]
Numbered: TypeAlias = tuple[int, Row]
Report: TypeAlias = Callable[[str, str, str], None]
RANKINGS = {"ratings": ("ratings", "scores", "rewards"), "ranking": ("ranking", "ranks", "rank")}


@dataclass
class Layout:
    """One file on its way into our columns.

    Attributes:
        rows: as they are now; several may come of one row, and keep its number.
        sides: where the two sides stand.
        names: the words by which values name the sides, where the file has two of them in every row.
        shown: the file's own names of columns, by ours, for messages.
        notes: what was decided, for whoever looks at the file.
        annotator: the column that says whose label a row holds.
        meta: columns that are kept as they are, and read the columns of the label.
        both_bad_dropped: rows that were dropped because both of their sides are bad.
    """

    rows: list[Numbered]
    options: ReadOptions
    faults: list[Fault]
    sides: SideColumns = field(default_factory=lambda: SideColumns(SIDES[0], SIDES[0]))
    names: SideNames | None = None
    shown: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    annotator: str | None = None
    both_bad_dropped: int = 0
    meta: frozenset[str] = frozenset()
    read: frozenset[str] = frozenset()

    def columns(self) -> dict[str, list[Any]]:
        """The values that are there, by column."""
        found: dict[str, list[Any]] = {}
        for _, row in self.rows:
            for name, value in row.items():
                if not is_missing(value) and name not in self.meta:
                    found.setdefault(name, []).append(value)
        return found

    def fault(self, name: str, problem: str, mend: str) -> None:
        """Record a fault of the file as a whole."""
        self.faults.append(Fault(0, self.shown.get(name, name), problem, mend))

    def report(self, number: int) -> Report:
        """How a row's faults are recorded: under the file's own name of the column."""
        return lambda name, problem, mend: self.faults.append(Fault(number, self.shown.get(name, name), problem, mend))

    def each(self, change: Callable[[Row, Report], Row]) -> None:
        """Change every row by itself."""
        self.rows = [(number, change(row, self.report(number))) for number, row in self.rows]

    def rename(self, pairs: Mapping[str, str]) -> None:
        """Give columns our names, ``{theirs: ours}``."""
        if pairs:
            self.rows = [(number, {pairs.get(name, name): value for name, value in row.items()}) for number, row in self.rows]
            self.shown |= {ours: self.shown.get(theirs, theirs) for theirs, ours in pairs.items()}


def pair_layout(rows: Sequence[tuple[int, Mapping[str, Any]]], options: ReadOptions, faults: list[Fault]) -> Layout:
    """Rows of pairs in our columns. What is wrong is added to ``faults``, by the file's own names."""
    layout = _mapped(rows, options, faults)
    _several(layout)
    _name_sides(layout)
    _prompts(layout, layout.sides.ours)
    _labels(layout)
    return layout


def prompt_layout(
    rows: Sequence[tuple[int, Mapping[str, Any]]], options: ReadOptions, faults: list[Fault], answers: tuple[str, ...] = ()
) -> Layout:
    """Rows of which the prompt, and a ``completion`` where that is an answer, are read."""
    layout = _mapped(rows, options, faults)
    layout.each(lambda row, report: prompt_columns.read_written_messages(row, ("prompt", *answers, "history"), report))
    _context(layout, answers)
    return layout


def _mapped(rows: Sequence[tuple[int, Mapping[str, Any]]], options: ReadOptions, faults: list[Fault]) -> Layout:
    """The user's own mapping of columns."""
    layout = Layout([(number, dict(row)) for number, row in rows], options, faults, meta=options.notes)
    present = {name for _, row in rows for name in row}
    for name in (*options.columns.values(), *options.meta_columns):
        if rows and name not in present:
            layout.fault(name, "is named in the options, and no row has it", f"columns: {', '.join(sorted(present))}")
    for ours, theirs in options.columns.items():
        if ours in present and ours != theirs and ours not in options.columns.values():
            layout.fault(ours, f"stands there as well as {theirs}, which is to be read as {ours}", f"--meta_columns {ours}")
    layout.rename({theirs: ours for ours, theirs in options.columns.items() if theirs != ours})
    return layout


# --- sides


def _several(layout: Layout) -> None:
    """Rows with several responses become pairs, or a row with two of them has two sides."""
    columns, names = layout.columns(), []
    listed = next((name for name in LISTS if all(isinstance(value, list) for value in columns.get(name, [0]))), None)
    if listed is None or side_columns(columns):
        names = numbered_responses(columns)
        if not names:
            _refuse_ranked(layout)
            return
        layout.each(lambda row, _: _gathered(row, names))
    else:
        layout.rename({listed: "responses"} if listed != "responses" else {})
    layout.each(several_responses.unpack_responses)
    columns = layout.columns()
    for ours, theirs in RANKINGS.items():
        found = next((name for name in theirs if name in columns), None)
        if found is not None:
            layout.rename({found: ours} if found != ours else {})
            break
    _expand(layout, names)


def _refuse_ranked(layout: Layout) -> None:
    """Options about rows with several responses, in a file without any."""
    for name in ("ranked_pairs", "ranked_weights", "ranking"):
        if getattr(layout.options, name) != getattr(ReadOptions, name):
            problem = f"are in no row, so {name} has no effect"
            layout.fault("responses", problem, "leave it out, or name their column: --columns.responses NAME")


def _gathered(row: Row, names: Sequence[str]) -> Row:
    responses = [row[name] for name in names if row.get(name) is not None]
    return {**{name: value for name, value in row.items() if name not in names}, "responses": responses}


def _weighted(layout: Layout, number: int, pairs: Sequence[Row]) -> Iterator[Numbered]:
    """Numbered pairs of one row, which may share its weight, so that a prompt with many responses counts as one with two."""
    for pair in pairs:
        own = number_of(pair.get("weight", 1.0))
        shared = layout.options.ranked_weights == "prompt" and own is not None
        yield number, {**pair, "weight": own / len(pairs)} if shared and own is not None else pair


def _expand(layout: Layout, names: Sequence[str]) -> None:
    columns, which = layout.columns(), layout.options.ranked_pairs
    make: Callable[[Row, Report], Iterator[Row]]
    if "ratings" in columns:
        make = lambda row, report: several_responses.rated_pairs(row, which, report)  # noqa: E731
    elif "ranking" in columns:
        order = _is_order(layout, columns["ranking"])
        make = lambda row, report: several_responses.ranked_pairs(row, which, order, report)  # noqa: E731
    elif "best" in columns and "worst" in columns:
        make = lambda row, report: several_responses.best_worst_pairs(row, names, report)  # noqa: E731
    elif all(isinstance(value, list) and len(value) <= 2 for value in columns.get("responses", [])):
        make = _two_sides
    else:
        mend = "give ratings, ranks (1 is best), or best and worst, one for each response or by name"
        layout.fault("responses", "are more than two, and nothing says which is better", mend)
        layout.rows = []
        return
    # a row without a list of responses is a fault already
    whole = [(number, row) for number, row in layout.rows if isinstance(row["responses"], list) and len(row["responses"]) > 1]
    layout.rows = [pair for number, row in whole for pair in _weighted(layout, number, list(make(row, layout.report(number))))]


def _two_sides(row: Row, _: Report) -> Iterator[Row]:
    first, second = row["responses"]
    yield {**{name: value for name, value in row.items() if name != "responses"}, "response_1": first, "response_2": second}


def _is_order(layout: Layout, rankings: Sequence[Any]) -> bool:
    """Whether rankings list places in order. A list that is its own inverse means the same as ranks."""
    if layout.options.ranking is not None:
        return layout.options.ranking == "order"
    if layout.shown.get("ranking", "ranking") != "ranking" or all(map(several_responses.self_inverse, rankings)):
        return False
    raise OptionError(
        "ranking may list each response's rank, or the responses' places from the best: give --reading.ranking ranks or "
        "--reading.ranking order"
    )


def _name_sides(layout: Layout) -> None:
    found = side_columns(layout.columns())
    if len(found) > 1:
        layout.fault("response_1", "stands beside chosen/rejected", "keep one way of naming the two sides")
    if found:
        layout.sides = found[0]
    theirs, ours = layout.sides.names, layout.sides.ours
    layout.rename({a: b for a, b in zip(theirs, ours, strict=True) if a != b})
    own = [layout.shown.get(side, side) for side in ours]
    layout.sides = SideColumns((own[0], own[1]), ours)
    layout.names = side_names(own[0], own[1], layout.options)


# --- prompts


def _prompts(layout: Layout, sides: tuple[str, str]) -> None:
    _name_prompt(layout)
    names = ("prompt", *sides, "history")
    layout.each(lambda row, report: prompt_columns.read_written_messages(row, names, report))
    if "prompt" not in layout.columns() and set(sides) <= set(layout.columns()) and layout.sides.ranked:
        layout.each(lambda row, report: prompt_columns.split_conversations(row, sides, report))
        layout.notes.append("the prompt is what both sides begin with, up to the last turn of the assistant")
    else:
        layout.each(lambda row, report: prompt_columns.prompt_of_conversations(row, sides, report))
    _context(layout, sides)


def _name_prompt(layout: Layout) -> None:
    """Alpaca's instruction, or a conversation before the two sides, is the prompt where there is no other."""
    columns = layout.columns()
    named = next((name for name in ("instruction", prompt_columns.CONVERSATIONS) if name in columns), None)
    if "prompt" not in columns and named is not None:
        layout.rename({named: "prompt"})


def _context(layout: Layout, answers: tuple[str, ...]) -> None:
    """What stands beside the prompt is put into it, or refused by its name."""
    columns = layout.columns()
    for ours, others in prompt_columns.ALIASES.items():
        found = next((name for name in others if name in columns), None)
        if found is not None and ours not in columns:
            layout.rename({found: ours})
    columns = layout.columns()
    for name, mend in prompt_columns.REFUSED.items():
        if name in columns and any(prompt_columns.changes_prompt(row, name) for _, row in layout.rows):
            problem = "is part of the prompt, and nothing reads it"
            layout.fault(name, problem, f"{mend}; or, if it is only a note, --meta_columns {name}")
    context = [name for name in ("system", "history") if name in columns]
    layout.each(partial(_with_context, answers=answers, as_messages=bool(context), meta=layout.meta))
    if context:
        layout.notes.append(f"{' and '.join(context)} and the prompt are one conversation")


def _with_context(row: Row, report: Report, *, answers: tuple[str, ...], as_messages: bool, meta: frozenset[str]) -> Row:
    aside = {name: row[name] for name in meta & row.keys()}
    rest = {name: value for name, value in row.items() if name not in aside}
    return {**prompt_columns.with_context(rest, answers, as_messages, report), **aside}


# --- labels


def _labels(layout: Layout) -> None:
    columns = layout.columns()
    layout.annotator = _annotator(layout, columns)
    if any(columns.keys() & set(kind.columns) for kind in LABEL_KINDS):
        _refuse_unused(layout, [])
        _no_ties(layout, columns)
        return
    assert layout.names is not None  # noqa: S101  # _name_sides has set it
    plans = label_plans(columns, layout.sides, layout.names, layout.options, partial(_holds_texts, layout))
    _refuse_unused(layout, plans)
    layout.read = frozenset(name for plan in plans for name in plan.columns)
    if len(plans) > 1:
        both = " and ".join(plan.columns[0] for plan in plans)
        layout.fault(both, "are two sources of one label", "keep the one to train on, and name the others in --meta_columns")
    elif plans:
        _convert(layout, plans[0])


def _annotator(layout: Layout, columns: Mapping[str, Sequence[Any]]) -> str | None:
    return "annotator" if "annotator" in layout.options.columns else annotator_column(columns)


def _convert(layout: Layout, plan: LabelPlan) -> None:
    rows = [(number, plan.convert(row, layout.report(number))) for number, row in layout.rows]
    kept = [(number, row) for number, row in rows if row is not None]
    layout.both_bad_dropped = len(rows) - len(kept)
    layout.rows = [(number, {name: row[name] for name in row if name not in plan.columns}) for number, row in kept]
    if len(plan.columns) == 2 and any("chosen_reward" in row for _, row in layout.rows):
        layout.shown |= dict(zip(("chosen_reward", "rejected_reward"), plan.columns, strict=True))
    note = plan.note
    for column in plan.columns:
        note = note.replace(column, layout.shown.get(column, column), 1)
    layout.notes.append(note)


def _holds_texts(layout: Layout, column: str) -> bool:
    sides = layout.sides.ours
    return all(
        isinstance(row.get(column), str) and row[column] in (row.get(sides[0]), row.get(sides[1])) for _, row in layout.rows
    )


def _no_ties(layout: Layout, columns: Mapping[str, Sequence[Any]]) -> None:
    """A file without a column of ties counts none; one with it must give the number in every row."""
    if "votes_1" in columns and "votes_tie" not in columns:
        layout.each(lambda row, _: {**row, "votes_tie": 0})


def _refuse_unused(layout: Layout, plans: Sequence[LabelPlan]) -> None:
    """Options about a column that the file does not have."""
    options, read = layout.options, {name for plan in plans for name in plan.columns}
    if (options.strength_scale or options.strength_map) and not any("read as p" in plan.note for plan in plans):
        name = "strength_scale" if options.strength_scale else "strength_map"
        layout.fault("strength", f"is no column that is read, so {name} has no effect", "name it: --columns.strength NAME")
    if options.winner_first is not None and not read:
        layout.fault("winner", "is no column that is read, so winner_first has no effect", "name it: --columns.winner NAME")
