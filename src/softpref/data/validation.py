"""Rows as they were read become pairs, or one error that names every fault of the file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from softpref.data.columns import COMMON, EVERY, LABELS, SIDES, how_to_mend, looks_read
from softpref.data.label_columns import LABEL_KINDS, LabelKind
from softpref.data.pairs import TEMPLATE_FIELDS, Completion, PairSet, PreferencePair, Reading, Text, orient
from softpref.data.read_options import ReadOptions
from softpref.data.row_reader import RowReader, is_missing
from softpref.errors import DataError, Fault, OptionError


@dataclass
class _Draft:
    """A pair without its label, and the numbers that the label will be made of."""

    pair: PreferencePair
    label: tuple[float, ...] | None = None


def _is_there(column: str, value: Any) -> bool:
    """NaN is nothing in a note, and a fault in a column that is read."""
    return not is_missing(value) or (value is not None and column in EVERY)


@dataclass
class _Table:
    """All rows of one file on their way to pairs."""

    name: str
    rows: Sequence[tuple[int, Mapping[str, Any]]]
    faults: list[Fault] = field(default_factory=list)

    @cached_property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(key for _, values in self.rows for key in values if _is_there(key, values[key])))

    def fault(self, name: str, problem: str, mend: str) -> None:
        """Record one fault of the file as a whole."""
        self.faults.append(Fault(0, name, problem, mend))

    def readers(self) -> list[RowReader]:
        readers = [RowReader(number, values, self.faults) for number, values in self.rows]
        for row in readers:
            row.check_characters()
        return readers

    def check_rows(self, what: str) -> None:
        if not self.rows and not self.faults:
            self.fault("file", "holds no rows", f"give at least one {what}")

    def check_columns(self, read: Collection[str], known: Collection[str]) -> None:
        """Every column that is not read must be clearly a note; ``known`` are shown to who must rename one."""
        for column in self.columns:
            if column not in read and looks_read(column):
                problem = "looks like a column that training would read, but nothing reads it"
                self.fault(column, problem, how_to_mend(column, known))
        sides = [side for names in SIDES for side in names if side in self.columns]
        if sides and "completion" in self.columns:
            self.fault("completion", f"stands beside {sides[0]}", "give pairs or completions, not both in one file")

    def raise_faults(self) -> None:
        if self.faults:
            raise DataError(self.name, sorted(self.faults, key=lambda fault: fault.row))


def pairs_from_rows(
    rows: Iterable[tuple[int, Mapping[str, Any]]],
    name: str,
    options: ReadOptions | None = None,
    faults: Sequence[Fault] = (),
) -> PairSet:
    """Validated, labelled and oriented pairs from numbered rows.

    Columns: ``prompt``, the two sides (``chosen``/``rejected`` or ``response_1``/``response_2``), at most one kind of
    label (``LABEL_KINDS``, always for the first side), optional ``weight``, ``id``, ``meta``, ``label_source``. Other
    columns are kept under ``meta``, unless their name looks like a label: then they are a fault.

    Args:
        faults: what the reader of the file has found already; reported with the rest.

    Raises:
        DataError: every fault of the file together.
        OptionError: the label cannot be made with these options.
    """
    options = options or ReadOptions()
    table = _Table(name, list(rows), list(faults))
    table.check_rows("pair")
    sides = _sides(table)
    kind = _label_kind(table)
    read = {*COMMON, *sides, *(kind.columns if kind else ())}
    table.check_columns(read, known=read | set(LABELS))
    drafts = [_draft(row, sides, kind) for row in table.readers()]
    kept = [draft for draft in drafts if draft is not None]
    distinct = _without_identical(kept, sides, options, table)
    _check_ids([draft.pair for draft in distinct], table)
    table.raise_faults()
    return _labelled(distinct, kind, options, name, len(table.rows))


def completions_from_rows(
    rows: Iterable[tuple[int, Mapping[str, Any]]], name: str, faults: Sequence[Fault] = ()
) -> list[Completion]:
    """Validated ``prompt`` + ``completion`` rows for SFT. Raises DataError with every fault of the file."""
    table = _Table(name, list(rows), list(faults))
    table.check_rows("completion")
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
    rows: Iterable[tuple[int, Mapping[str, Any]]], name: str, faults: Sequence[Fault] = ()
) -> list[tuple[int, dict[str, Any]]]:
    """Numbered rows with a validated ``prompt``, and with what its chat template gets beside it where there is any.

    Raises DataError with every fault of the file.
    """
    table = _Table(name, list(rows), list(faults))
    table.check_rows("prompt")
    prompts = []
    for row in table.readers():
        prompt = row.text("prompt")
        if prompt is not None:
            beside = {key: value for key, value in _for_template(row, prompt).items() if value is not None}
            others = {key: value for key, value in row.values.items() if key not in TEMPLATE_FIELDS}
            prompts.append((row.row, {**others, "prompt": prompt, **beside}))
    table.raise_faults()
    return prompts


def _sides(table: _Table) -> tuple[str, str]:
    columns = set(table.columns)
    present = [sides for sides in SIDES if columns & set(sides)]
    if len(present) == 2:
        table.fault("response_1", "stands beside chosen/rejected", "keep one way of naming the two sides")
    return present[0] if present else SIDES[0]


def _label_kind(table: _Table) -> LabelKind | None:
    columns = set(table.columns)
    present = [kind for kind in LABEL_KINDS if columns & set(kind.columns)]
    if len(present) > 1:
        both = " and ".join(next(c for c in kind.columns if c in columns) for kind in present)
        table.fault(both, "are two sources of one label", "keep the one to train on")
    return present[0] if present else None


def _draft(row: RowReader, sides: tuple[str, str], kind: LabelKind | None) -> _Draft | None:
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
        meta=_meta(row, [*sides, *(kind.columns if kind else ())]),
        label_source=row.mapping("label_source"),
        row=row.row,
        **_for_template(row, prompt),
    )
    return _Draft(pair, label)


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


def _without_identical(drafts: list[_Draft], sides: tuple[str, str], options: ReadOptions, table: _Table) -> list[_Draft]:
    distinct = [draft for draft in drafts if draft.pair.chosen != draft.pair.rejected]
    if options.identical == "error":
        for draft in drafts:
            if draft.pair.chosen == draft.pair.rejected:
                mend = "drop the row, or have such rows dropped and counted (--reading.identical drop)"
                table.faults.append(Fault(draft.pair.row, f"{sides[0]}, {sides[1]}", "are the same text", mend))
    return distinct


def _check_ids(pairs: Sequence[PreferencePair], table: _Table) -> None:
    seen: dict[str, int] = {}
    for pair in pairs:
        if pair.id and pair.id in seen:
            table.faults.append(
                Fault(pair.row, "id", f"{pair.id!r} stands in row {seen[pair.id]} already", "give every row its own id")
            )
        seen.setdefault(pair.id, pair.row)


def _labelled(drafts: list[_Draft], kind: LabelKind | None, options: ReadOptions, name: str, rows: int) -> PairSet:
    dropped = rows - len(drafts)
    if kind is None or not drafts:
        return PairSet(tuple(draft.pair for draft in drafts), name, Reading(rows, identical_dropped=dropped))
    try:
        labels, how = kind.to_labels([draft.label for draft in drafts if draft.label is not None], options)
    except OptionError as error:
        raise OptionError(f"{name}: {error}") from None
    pairs = tuple(
        orient(replace(draft.pair, soft_label=p, label_source=_source(draft, kind, how)))
        for draft, p in zip(drafts, labels, strict=True)
    )
    return PairSet(
        pairs,
        name,
        Reading(
            rows,
            swapped=sum(pair.swapped for pair in pairs),
            ties=sum(pair.soft_label == 0.5 for pair in pairs),
            identical_dropped=dropped,
            label_method=kind.method,
            vote_prior=how.get("vote_prior"),
        ),
    )


def _source(draft: _Draft, kind: LabelKind, how: Mapping[str, Any]) -> Mapping[str, Any]:
    if kind.method == "given":
        return draft.pair.label_source or {"method": "given"}
    counts = {"votes": [int(count) for count in draft.label or ()]} if kind.method == "votes" else {}
    return {"method": kind.method, **counts, **how}
