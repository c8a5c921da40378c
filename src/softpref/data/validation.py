"""Rows as they were read become pairs, or one error that names every fault of the file."""

from __future__ import annotations

import contextlib
import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from softpref.core.soft_labels import BetaPrior, fit_beta_prior, from_scores, from_votes
from softpref.data.pairs import Completion, Message, PairSet, PreferencePair, Reading, Text, orient
from softpref.errors import DataError, Fault, OptionError, nearest

SIDES = (("chosen", "rejected"), ("response_1", "response_2"))
VOTES = ("votes_1", "votes_2", "votes_tie")
REWARDS = ("chosen_reward", "rejected_reward")
COMMON = ("prompt", "weight", "id", "meta", "label_source")
ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})

# A column of one of these names would change what is learned, so leaving it unread in silence is not an option.
_LABEL_LIKE = re.compile(
    r"label|weight|margin|reward|score|rating|vote|prefer|prob|confiden|agree|winner|better|rank", re.IGNORECASE
)


@dataclass(frozen=True)
class ReadOptions:
    """How a file of pairs becomes labelled, oriented pairs.

    Attributes:
        identical: pairs whose two sides are the same text are refused (``error``) or dropped and counted (``drop``).
        votes: vote counts become p through a Beta prior fitted to the file (``prior``), or as their raw ``mean``.
        vote_prior: the a of a Beta(a, a) to use in place of the fitted one.
        reward_scale: p = s(scale · (chosen_reward − rejected_reward)), in 1 / units of the reward.
    """

    identical: str = "error"
    votes: str = "prior"
    vote_prior: float | None = None
    reward_scale: float | None = None

    def __post_init__(self) -> None:
        for name, known in (("identical", ("error", "drop")), ("votes", ("prior", "mean"))):
            value = getattr(self, name)
            if value not in known:
                raise OptionError(f"{name} is {value!r}{nearest(str(value), known)}")
        for name in ("vote_prior", "reward_scale"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise OptionError(f"{name} is {value}; it must be a finite number above 0")
        if self.vote_prior is not None and self.votes == "mean":
            raise OptionError("vote_prior has no effect with votes='mean': leave one of the two out")


@dataclass
class RowReader:
    """One row while it is read: hands out checked fields and collects what is wrong with the others."""

    row: int
    values: Mapping[str, Any]
    faults: list[Fault]

    def fault(self, name: str, problem: str, mend: str) -> None:
        """Record one fault of this row."""
        self.faults.append(Fault(self.row, name, problem, mend))

    def has(self, name: str) -> bool:
        """Whether the field is there and not empty. An empty CSV cell and a JSON null are both 'not there'."""
        return self.values.get(name) is not None

    def number(self, name: str, low: float, high: float, mend: str) -> float | None:
        """A finite number in [low, high], from a number or its text."""
        value = self.values.get(name)
        try:
            number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            number = math.nan
        if low <= number <= high and math.isfinite(number):
            return number
        problem = "is missing" if value is None else f"{_shown(value)} is not a number in [{low:g}, {high:g}]"
        self.fault(name, problem, mend)
        return None

    def text(self, name: str) -> Text | None:
        """A string, or a list of messages (in CSV: its JSON)."""
        value = self.values.get(name)
        if isinstance(value, str):
            return self._messages(name, json_list) if (json_list := _json_list(value)) is not None else value
        if isinstance(value, list):
            return self._messages(name, value)
        what = "is missing" if value is None else f"is {_shown(value)}"
        self.fault(name, what, "give a string or a list of {role, content} messages")
        return None

    def _messages(self, name: str, value: list[Any]) -> list[Message] | None:
        if not value:
            self.fault(name, "is an empty list of messages", "give at least one message, or drop the row")
            return None
        for position, message in enumerate(value, start=1):
            if not (isinstance(message, dict) and isinstance(message.get("content"), str)):
                self.fault(name, f"message {position} has no text content", 'write {"role": …, "content": "text"}')
                return None
            if message.get("role") not in ROLES:
                role = _shown(message.get("role"))
                self.fault(name, f"message {position} has the role {role}", f"use one of {', '.join(sorted(ROLES))}")
                return None
        return [dict(message) for message in value]

    def mapping(self, name: str) -> dict[str, Any]:
        """An object (in CSV: its JSON); empty when absent."""
        value = self.values.get(name)
        if isinstance(value, str):
            with contextlib.suppress(json.JSONDecodeError):
                value = json.loads(value)
        if value is None or isinstance(value, dict):
            return value or {}
        self.fault(name, f"{_shown(value)} is not an object", "write a JSON object, or remove it")
        return {}


@dataclass
class _Draft:
    """A pair without its label, and the numbers that the label will be made of."""

    pair: PreferencePair
    label: tuple[float, ...] | None = None


@dataclass(frozen=True)
class LabelKind:
    """One way in which a row can carry its label: its columns, how one is read, and how a file's become p."""

    columns: tuple[str, ...]
    read: Callable[[RowReader], tuple[float, ...] | None]
    to_labels: Callable[[list[tuple[float, ...]], ReadOptions], tuple[list[float], dict[str, Any]]]
    method: str


def _read_soft_label(row: RowReader) -> tuple[float, ...] | None:
    p = row.number("soft_label", 0, 1, "give P(chosen ≻ rejected) as a probability; divide percentages by 100")
    return None if p is None else (p,)


def _read_votes(row: RowReader) -> tuple[float, ...] | None:
    counts = []
    for name in VOTES:
        if name == "votes_tie" and not row.has(name):
            counts.append(0.0)
            continue
        count = row.number(name, 0, 1e9, "give a count of votes, 0 or more")
        if count is not None and count != int(count):
            row.fault(name, f"{count:g} is not a whole number", "give a count of votes; a mean belongs in soft_label")
            count = None
        if count is None:
            return None
        counts.append(count)
    if sum(counts) == 0:
        row.fault("votes_1", "nobody voted on this pair", "drop the row, or give its votes")
        return None
    return tuple(counts)


def _read_rewards(row: RowReader) -> tuple[float, ...] | None:
    found = [row.number(name, -1e9, 1e9, "give the reward model's score") for name in REWARDS]
    return None if None in found else tuple(x for x in found if x is not None)


def _given(labels: list[tuple[float, ...]], _: ReadOptions) -> tuple[list[float], dict[str, Any]]:
    return [p for (p,) in labels], {}


def _from_vote_counts(labels: list[tuple[float, ...]], options: ReadOptions) -> tuple[list[float], dict[str, Any]]:
    first, second, tie = zip(*labels, strict=True)
    if options.votes == "mean":
        return from_votes(first, second, tie).tolist(), {"vote_prior": None}
    if options.vote_prior is not None:
        prior = BetaPrior(options.vote_prior, options.vote_prior)
    elif max(map(sum, labels)) < 2:
        raise OptionError(
            "no pair has two votes, so they cannot show how much people disagree: set vote_prior to a number "
            "(1 is Laplace's rule), or votes to 'mean'"
        )
    else:
        prior = fit_beta_prior(first, second, tie)
    return from_votes(first, second, tie, prior).tolist(), {"vote_prior": prior.a}


def _from_reward_columns(labels: list[tuple[float, ...]], options: ReadOptions) -> tuple[list[float], dict[str, Any]]:
    if options.reward_scale is None:
        raise OptionError("chosen_reward and rejected_reward become p = s(scale · difference): set reward_scale")
    first, second = zip(*labels, strict=True)
    return from_scores(first, second, options.reward_scale).tolist(), {"reward_scale": options.reward_scale}


LABEL_KINDS = (
    LabelKind(("soft_label",), _read_soft_label, _given, "given"),
    LabelKind(VOTES, _read_votes, _from_vote_counts, "votes"),
    LabelKind(REWARDS, _read_rewards, _from_reward_columns, "rewards"),
)


@dataclass
class _Table:
    """All rows of one file on their way to pairs."""

    name: str
    rows: Sequence[tuple[int, Mapping[str, Any]]]
    faults: list[Fault] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(key for _, values in self.rows for key in values if values[key] is not None))

    def check_columns(self, known: Iterable[str]) -> None:
        known = set(known)
        for column in self.columns:
            if column not in known and (
                _LABEL_LIKE.search(column) or difflib.get_close_matches(column, known, cutoff=0.85)
            ):
                mend = f"rename it{nearest(column, known)}; or move it under meta if it is only a note"
                self.faults.append(
                    Fault(0, column, "looks like a column that training would read, but nothing reads it", mend)
                )

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
    if not table.rows and not table.faults:
        table.faults.append(Fault(0, "file", "holds no rows", "give at least one pair"))
    sides = _sides(table)
    kind = _label_kind(table)
    table.check_columns([*COMMON, *sides, *(kind.columns if kind else ())])
    drafts = [_draft(RowReader(number, values, table.faults), sides, kind) for number, values in table.rows]
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
    table.check_columns(["prompt", "completion", "weight", "id", "meta"])
    found = []
    for number, values in table.rows:
        row = RowReader(number, values, table.faults)
        prompt, completion = row.text("prompt"), row.text("completion")
        if prompt is None or completion is None or not _same_kind(row, prompt, {"completion": completion}):
            continue
        meta = _meta(row, ["prompt", "completion"])
        found.append(Completion(prompt, completion, _weight(row), _id(row), meta, number))
    table.raise_faults()
    return found


def _sides(table: _Table) -> tuple[str, str]:
    columns = set(table.columns)
    present = [sides for sides in SIDES if columns & set(sides)]
    if len(present) == 2:
        table.faults.append(
            Fault(0, "response_1", "stands beside chosen/rejected", "keep one way of naming the two sides")
        )
    return present[0] if present else SIDES[0]


def _label_kind(table: _Table) -> LabelKind | None:
    columns = set(table.columns)
    present = [kind for kind in LABEL_KINDS if columns & set(kind.columns)]
    if len(present) > 1:
        both = " and ".join(next(c for c in kind.columns if c in columns) for kind in present)
        table.faults.append(Fault(0, both, "are two sources of one label", "keep the one to train on"))
    return present[0] if present else None


def _draft(row: RowReader, sides: tuple[str, str], kind: LabelKind | None) -> _Draft | None:
    prompt, first, second = row.text("prompt"), row.text(sides[0]), row.text(sides[1])
    label = kind.read(row) if kind else None
    if prompt is None or first is None or second is None:
        return None
    if not _same_kind(row, prompt, {sides[0]: first, sides[1]: second}):
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
    )
    return _Draft(pair, label)


def _same_kind(row: RowReader, prompt: Text, responses: Mapping[str, Text]) -> bool:
    wrong = [name for name, text in responses.items() if isinstance(text, str) != isinstance(prompt, str)]
    for name in wrong:
        row.fault(name, "is not of the prompt's kind", "give strings on all sides, or message lists on all sides")
    return not wrong


def _weight(row: RowReader) -> float:
    if not row.has("weight"):
        return 1.0
    weight = row.number("weight", 0, 1e9, "give a factor for this pair's loss, 0 or more")
    return 1.0 if weight is None else weight


def _id(row: RowReader) -> str:
    return str(row.values["id"]) if row.has("id") else ""


def _meta(row: RowReader, read: Sequence[str]) -> dict[str, Any]:
    known = {*COMMON, *read}
    extra = {key: value for key, value in row.values.items() if key not in known and value is not None}
    return {**extra, **row.mapping("meta")}


def _without_identical(
    drafts: list[_Draft], sides: tuple[str, str], options: ReadOptions, table: _Table
) -> list[_Draft]:
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


def _json_list(value: str) -> list[Any] | None:
    """The messages in a CSV cell. Only text that *is* a JSON list of objects counts; a story in brackets is a story."""
    if not value.lstrip().startswith("[{"):
        return None
    try:
        parsed = json.loads(value)
    except json.JSONDecodeError:
        return None
    return parsed if isinstance(parsed, list) else None


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:59] + "…"
