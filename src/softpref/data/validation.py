"""Rows as they were read become pairs, or one error that names every fault of the file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from softpref.data.columns import (
    COMMON,
    EVERY,
    LABELS,
    as_shown,
    asked_about,
    how_to_mend,
    how_to_read,
    looks_read,
    meant,
    names_a_verdict,
)
from softpref.data.label_columns import LABEL_KINDS, VOTE_KIND, LabelKind
from softpref.data.layout import Layout, pair_layout, prompt_layout
from softpref.data.long_format import Draft, Merged, merge
from softpref.data.pairs import TEMPLATE_FIELDS, Completion, PairSet, PreferencePair, Reading, Text, orient
from softpref.data.read_options import ReadOptions
from softpref.data.row_reader import RowReader, is_missing
from softpref.data.side_columns import SIDES
from softpref.data.voters import fit_annotators
from softpref.errors import DataError, Fault, OptionError


@dataclass
class _Table:
    """All rows of one file, in our columns, on their way to pairs."""

    name: str
    layout: Layout
    faults: list[Fault] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        """Columns that hold something. NaN is nothing in a note, and a fault in a column that is read."""
        rows = (row for _, row in self.layout.rows)
        there = (
            key for row in rows for key, value in row.items() if not is_missing(value) or (value is not None and key in EVERY)
        )
        return [column for column in dict.fromkeys(there) if column not in self.layout.meta]

    def fault(self, name: str, problem: str, mend: str) -> None:
        """Record one fault of the file as a whole."""
        self.layout.fault(name, problem, mend)

    def readers(self) -> list[RowReader]:
        readers = [RowReader(number, values, self.faults, self.layout.shown) for number, values in self.layout.rows]
        for row in readers:
            row.check_characters()
        return readers

    def check_rows(self, rows: Collection[Any], what: str) -> None:
        if not rows and not self.faults:
            self.fault("file", "holds no rows", f"give at least one {what}")

    def check_columns(self, read: Collection[str], known: Collection[str], labelled: bool = True) -> None:
        """Every column that is not read must be clearly a note; ``known`` are shown to who must rename one."""
        columns = self.layout.columns()
        for column in self.columns:
            if column in read:
                continue
            misspelt = meant(column) is not None
            values = None if labelled or misspelt else asked_about(column, columns.get(column, []), self.layout.names)
            if values is None and not labelled and names_a_verdict(column):
                values = as_shown(columns.get(column, []))
            if values is not None:
                self.fault(column, f"holds {values}, which looks like a label, and nothing reads it", how_to_read(column))
            elif looks_read(column):
                problem = "looks like a column that training would read, but nothing reads it"
                self.fault(column, problem, how_to_mend(column, known, self.columns))
        sides = [side for names in SIDES for side in names if side in self.columns]
        if sides and "completion" in self.columns:
            self.fault("completion", f"stands beside {sides[0]}", "give pairs or completions, not both in one file")

    def raise_faults(self) -> None:
        if self.faults:
            raise DataError(self.name, sorted(self.faults, key=lambda fault: (getattr(fault.row, "file", ""), fault.row)))


def pairs_from_rows(
    rows: Iterable[tuple[int, Mapping[str, Any]]],
    name: str,
    options: ReadOptions | None = None,
    faults: Sequence[Fault] = (),
    notes: Sequence[str] = (),
) -> PairSet:
    """Validated, labelled and oriented pairs from numbered rows.

    Columns: ``prompt``, the two sides (``chosen``/``rejected`` or ``response_1``/``response_2``), at most one kind of
    label (``LABEL_KINDS``, always for the first side), optional ``weight``, ``id``, ``meta``, ``label_source``; or what
    ``layout`` makes them of. Other columns are kept under ``meta``, unless their name or, in a file without a label, their
    values look like a label: then they are a fault.

    Args:
        faults: what the reader of the file has found already; reported with the rest.
        notes: what it has decided about the file's form.

    Raises:
        DataError: every fault of the file together.
        OptionError: the label cannot be made with these options.
    """
    options, rows, wrong = options or ReadOptions(), list(rows), list(faults)
    layout = pair_layout(rows, options, wrong)
    table, sides = _Table(name, layout, wrong), layout.sides.ours
    table.check_rows(rows, "pair")
    kind = _label_kind(table)
    read = {*COMMON, *sides, *(kind.columns if kind else ()), *layout.read} | ({layout.annotator} if layout.annotator else set())
    table.check_columns(read, known=read | set(LABELS), labelled=kind is not None or bool(layout.read) or not options.asking)
    drafts = [_draft(row, sides, kind, layout) for row in table.readers()]
    kept = [draft for draft in drafts if draft is not None]
    distinct = _without_identical(kept, sides, options, table)
    merged = merge(distinct, kind, layout.annotator)
    _check_annotators(merged, layout, table)
    _check_ids([draft.pair for draft in merged.drafts], table)
    table.raise_faults()
    reading = Reading(
        len(rows),
        identical_dropped=len(kept) - len(distinct),
        merged=merged.rows,
        both_bad=sum(draft.both_bad for draft in merged.drafts),
        both_bad_dropped=layout.both_bad_dropped,
        notes=(*notes, *layout.notes),
    )
    identical = tuple(draft.pair.row for draft in kept if draft.pair.chosen == draft.pair.rejected)
    try:
        return _labelled(merged, options, name, reading, identical)
    except OptionError as error:
        raise OptionError(f"{name}: {_by_their_names(str(error), layout.shown)}") from None


def completions_from_rows(
    rows: Iterable[tuple[int, Mapping[str, Any]]], name: str, faults: Sequence[Fault] = (), options: ReadOptions | None = None
) -> list[Completion]:
    """Validated ``prompt`` + ``completion`` rows for SFT.

    Raises DataError with every fault of the file, OptionError for options that only pairs have a use for.
    """
    rows, wrong = list(rows), list(faults)
    table = _Table(name, prompt_layout(rows, _of_prompts(options, name, "completions"), wrong, ("completion",)), wrong)
    table.check_rows(rows, "completion")
    read = {"prompt", "completion", "weight", "id", "meta", *TEMPLATE_FIELDS}
    table.check_columns(read, known=read)
    found = []
    for row in table.readers():
        prompt = row.text("prompt")
        completion = row.response("completion", prompt)
        if prompt is not None and completion is not None:
            meta = _meta(row, ["prompt", "completion"])
            beside = _for_template(row, prompt)
            found.append(Completion(prompt, completion, _weight(row), _id(row), meta, row.row, **beside))
    table.raise_faults()
    return found


def prompts_from_rows(
    rows: Iterable[tuple[int, Mapping[str, Any]]], name: str, faults: Sequence[Fault] = (), options: ReadOptions | None = None
) -> list[tuple[int, dict[str, Any]]]:
    """Numbered rows with their whole ``prompt``, validated, and with what its chat template gets beside it where there is any.

    Raises as ``completions_from_rows`` does.
    """
    rows, wrong = list(rows), list(faults)
    table = _Table(name, prompt_layout(rows, _of_prompts(options, name, "prompts"), wrong), wrong)
    table.check_rows(rows, "prompt")
    prompts = []
    for row in table.readers():
        prompt = row.text("prompt")
        if prompt is not None:
            beside = {key: value for key, value in _for_template(row, prompt).items() if value is not None}
            others = {key: value for key, value in row.values.items() if key not in TEMPLATE_FIELDS}
            prompts.append((row.row, {**others, "prompt": prompt, **beside}))
    table.raise_faults()
    return prompts


# Options that rows without a pair have a use for, and roles that a column of theirs can have.
_FOR_PROMPTS = ("columns", "meta_columns", "split", "subset", "revision")
_PROMPT_ROLES = ("prompt", "completion", "system", "history", "weight", "id", *TEMPLATE_FIELDS)


def _of_prompts(options: ReadOptions | None, name: str, what: str) -> ReadOptions:
    """The options, of which those about pairs may not be set: they would have no effect."""
    options, default = options or ReadOptions(), ReadOptions()
    fields_set = [field.name for field in fields(ReadOptions) if getattr(options, field.name) != getattr(default, field.name)]
    without = [field for field in fields_set if field not in (*_FOR_PROMPTS, "identical")]
    without += [f"columns.{role}" for role in options.columns if role not in _PROMPT_ROLES]
    if without:
        raise OptionError(f"reading.{without[0]} has no effect: {name} holds {what}, not pairs")
    return options


def _label_kind(table: _Table) -> LabelKind | None:
    columns = set(table.columns)
    present = [kind for kind in LABEL_KINDS if columns & set(kind.columns)]
    if len(present) > 1:
        both = " and ".join(next(c for c in kind.columns if c in columns) for kind in present)
        table.fault(both, "are two sources of one label", "keep the one to train on")
    return present[0] if present else None


def _draft(row: RowReader, sides: tuple[str, str], kind: LabelKind | None, layout: Layout) -> Draft | None:
    prompt = row.text("prompt")
    first, second = row.response(sides[0], prompt), row.response(sides[1], prompt)
    label = kind.read(row) if kind else None
    if prompt is None or first is None or second is None:
        return None
    pair = PreferencePair(
        prompt,
        first,
        second,
        weight=_weight(row),
        id=_id(row),
        meta=_meta(row, [*sides, "both_bad", *(kind.columns if kind else ())]),
        label_source=row.mapping("label_source"),
        row=row.row,
        chosen_is_preferred=layout.sides.ranked or kind is not None,
        **_for_template(row, prompt),
    )
    return Draft(pair, label, int(row.values.get("both_bad") or 0) if kind else 0)


def _weight(row: RowReader) -> float:
    if not row.has("weight"):
        return 1.0
    weight = row.number("weight", 0, 1e9, "give a factor for this pair's loss, 0 or more")
    return 1.0 if weight is None else weight


def _id(row: RowReader) -> str:
    return str(row.values["id"]) if row.has("id") else ""


def _for_template(row: RowReader, prompt: Text) -> dict[str, Any]:
    """``tools`` and ``chat_template_kwargs``, None where absent. A prompt without a template has no use for them."""
    fields = {"tools": row.tools(), "chat_template_kwargs": row.mapping("chat_template_kwargs") or None}
    for name, value in fields.items():
        if value is not None and isinstance(prompt, str):
            problem = "has no effect on a prompt that is a plain string"
            row.fault(name, problem, "give prompt and responses as messages, which the chat template renders with it")
    return fields


def _meta(row: RowReader, read: Sequence[str]) -> dict[str, Any]:
    known = {*COMMON, *read}
    extra = {key: value for key, value in row.values.items() if key not in known and not is_missing(value)}
    return {**extra, **row.mapping("meta")}


def _without_identical(drafts: list[Draft], sides: tuple[str, str], options: ReadOptions, table: _Table) -> list[Draft]:
    distinct = [draft for draft in drafts if draft.pair.chosen != draft.pair.rejected]
    if options.identical == "error":
        for draft in drafts:
            if draft.pair.chosen == draft.pair.rejected:
                mend = "drop the row, or have such rows dropped and counted (--reading.identical drop)"
                table.faults.append(Fault(draft.pair.row, f"{sides[0]}, {sides[1]}", "are the same text", mend))
    return distinct


def _check_annotators(merged: Merged, layout: Layout, table: _Table) -> None:
    column = layout.annotator or ""
    for row, who, before in merged.repeats:
        mend = f"keep one of the two, or count both (--meta_columns {layout.shown.get(column, column)})"
        problem = f"{who!r} has a label for this pair in row {before} already"
        table.faults.append(Fault(row, layout.shown.get(column, column), problem, mend))


def _check_ids(pairs: Sequence[PreferencePair], table: _Table) -> None:
    seen: dict[str, int] = {}
    for pair in pairs:
        if pair.id and pair.id in seen:
            table.faults.append(
                Fault(pair.row, "id", f"{pair.id!r} stands in row {seen[pair.id]} already", "give every row its own id")
            )
        seen.setdefault(pair.id, pair.row)


def _labelled(merged: Merged, options: ReadOptions, name: str, reading: Reading, identical: tuple[int, ...]) -> PairSet:
    drafts, kind = merged.drafts, merged.kind
    if kind is None or not drafts:
        return PairSet(tuple(draft.pair for draft in drafts), name, reading, identical)
    if kind is VOTE_KIND and options.votes == "dawid_skene":
        labels, how, beside = _by_annotators(drafts, name)
    else:
        labels, how = kind.to_labels([draft.label for draft in drafts if draft.label is not None], options)
        beside = [{}] * len(drafts)
    doubts = how.pop("doubts", ())
    pairs = tuple(
        orient(replace(draft.pair, soft_label=p, label_source={**_source(draft, kind, how), **more}))
        for draft, p, more in zip(drafts, labels, beside, strict=True)
    )
    reading = replace(
        reading,
        swapped=sum(pair.swapped for pair in pairs),
        ties=sum(pair.soft_label == 0.5 for pair in pairs),
        label_method=kind.method,
        vote_prior=how.get("vote_prior"),
        doubts=tuple(doubts),
    )
    return PairSet(pairs, name, reading, identical)


def _by_annotators(drafts: Sequence[Draft], name: str) -> tuple[list[float], dict[str, Any], list[dict[str, Any]]]:
    """Labels, what all rows say of their source, and each one's interval."""
    fitted = fit_annotators([draft.pair for draft in drafts], name)
    labels: list[float] = fitted.model.soft_labels.tolist()
    return labels, {"votes_by": "dawid_skene"}, [{"interval": ends} for ends in fitted.label_intervals.tolist()]


def _by_their_names(message: str, shown: Mapping[str, str]) -> str:
    for name in ("chosen_reward", "rejected_reward"):
        message = message.replace(name, shown.get(name, name))
    return message


def _source(draft: Draft, kind: LabelKind, how: Mapping[str, Any]) -> Mapping[str, Any]:
    if kind.method == "given":
        return draft.pair.label_source or {"method": "given"}
    counts = {"votes": [int(count) for count in draft.label or ()]} if kind.method == "votes" else {}
    bad = {"both_bad": draft.both_bad} if draft.both_bad else {}
    return {"method": kind.method, **counts, **bad, **how}
