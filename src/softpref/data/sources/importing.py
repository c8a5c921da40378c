"""A source's rows become pairs that ``read_pairs`` reads; what is left out is counted by its reason."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from softpref.data.label_columns import VOTES
from softpref.data.pairs import Message, Text
from softpref.data.sources.rows import LeftOutError, PairRow, Row, RowFaultError
from softpref.data.voters import VOTERS
from softpref.errors import DataError, Fault

Numbered: TypeAlias = tuple[int, Row]
IDENTICAL = "both responses are the same text"
HALF_CHARACTER = "a text holds half a character"


@dataclass(frozen=True)
class Source:
    """A published format.

    Attributes:
        what: one line about it, for help.
        pairs: one row (or, with ``together``, the rows of one group) to pairs. Raises LeftOutError and RowFaultError.
        together: the key by which rows belong together, wherever they stand; None where every row is by itself.
        imitated: which side SFT imitates: the ``chosen`` one, that is the winner, or the ``rejected`` one.
        after: what the labels need when the file is read.
    """

    what: str
    pairs: Callable[[Any], Iterator[PairRow]]
    together: Callable[[Row], Hashable] | None = None
    imitated: str = "chosen"
    after: str = ""


@dataclass(frozen=True)
class Imported:
    """Pairs ready to be written, and what became of the rows."""

    pairs: list[PairRow]
    rows: int
    merged: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def most_votes(self) -> int:
        """Votes on the pair that has most of them; 0 where the pairs have no votes."""
        return max((sum(pair.get(name, 0) for name in VOTES) for pair in self.pairs), default=0)


def import_rows(source: Source, rows: Sequence[Numbered], name: str, faults: Iterable[Fault] = ()) -> Imported:
    """Pairs of all rows; votes on one and the same pair are put together.

    Raises DataError, with every fault together, where a row is not of the format.
    """
    wrong, left_out = list(faults), Counter[str]()
    found: list[PairRow] = []
    for number, unit in _units(source, rows, wrong):
        made, reasons = _pairs(source, number, unit, wrong)
        found += made
        left_out.update(reasons)
    if not rows and not wrong:
        wrong.append(Fault(0, "file", "holds no rows", "give at least one"))
    if wrong:
        raise DataError(name, sorted(wrong, key=lambda fault: fault.row))
    merged = merge_votes(found)
    return Imported(merged, len(rows), len(found) - len(merged), dict(left_out))


def _pairs(source: Source, number: int, unit: Any, wrong: list[Fault]) -> tuple[list[PairRow], list[str]]:
    """The usable pairs of one unit, and the reasons why others are left out."""
    try:
        pairs = [(pair, _unusable(pair)) for pair in source.pairs(unit)]
    except LeftOutError as reason:
        return [], [str(reason)]
    except RowFaultError as fault:
        wrong.append(Fault(number, fault.field, fault.problem, fault.mend))
        return [], []
    return [pair for pair, reason in pairs if reason is None], [reason for _, reason in pairs if reason is not None]


def _units(source: Source, rows: Sequence[Numbered], wrong: list[Fault]) -> Iterator[tuple[int, Any]]:
    """Rows one by one or in their groups, each with the number of its first row."""
    if source.together is None:
        yield from rows
        return
    groups: dict[Hashable, list[Numbered]] = {}
    for number, row in rows:
        try:
            key = source.together(row)
        except RowFaultError as fault:  # noqa: PERF203  # every faulty row is named
            wrong.append(Fault(number, fault.field, fault.problem, fault.mend))
        else:
            groups.setdefault(key, []).append((number, row))
    for group in groups.values():
        yield group[0][0], [row for _, row in group]


def _unusable(pair: PairRow) -> str | None:
    first, second = _sides(pair)
    if pair[first] == pair[second]:
        return IDENTICAL
    try:
        json.dumps(pair, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return HALF_CHARACTER
    return None


def _sides(pair: PairRow) -> tuple[str, str]:
    return ("chosen", "rejected") if "chosen" in pair else ("response_1", "response_2")


def merge_votes(pairs: Iterable[PairRow]) -> list[PairRow]:
    """Pairs with votes on the same prompt and responses, in either order, become one with all their votes.

    The first one's place, order, id and meta stay. Pairs without votes are left as they are.
    """
    found: list[PairRow] = []
    places: dict[str, int] = {}
    for pair in pairs:
        if "votes_1" not in pair:
            found.append(pair)
            continue
        key = json.dumps([pair["prompt"], *sorted((pair["response_1"], pair["response_2"]))])
        if key not in places:
            places[key] = len(found)
            found.append(pair)
            continue
        found[places[key]] = _with_votes(found[places[key]], pair)
    return found


def _with_votes(pair: PairRow, other: PairRow) -> PairRow:
    votes, voters = [other[name] for name in VOTES], other.get("meta", {}).get(VOTERS, {})
    if other["response_1"] != pair["response_1"]:
        votes, voters = [votes[1], votes[0], votes[2]], {who: 1 - p for who, p in voters.items()}
    meta = {"meta": {**pair["meta"], VOTERS: {**pair["meta"].get(VOTERS, {}), **voters}}} if voters else {}
    return {**pair, **{name: pair[name] + more for name, more in zip(VOTES, votes, strict=True)}, **meta}


# --- how texts are written


def as_messages(pair: PairRow) -> PairRow:
    """Prompt and responses as messages, for a model with a chat template; a prompt of plain text becomes one question."""
    prompt: Text = pair["prompt"]
    asked = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    answers = {side: [{"role": "assistant", "content": pair[side]}] for side in _sides(pair)}
    return {**pair, "prompt": asked, **answers}


def as_plain(pair: PairRow) -> PairRow:
    """Prompt and responses as plain text, for a model without a chat template.

    A conversation is written as HH has it, up to ``Assistant:``. White space begins the response, so that no token of the
    prompt's end merges with it.
    """
    prompt: Text = pair["prompt"]
    asked = prompt if isinstance(prompt, str) else transcript(prompt)
    answers = {side: pair[side] if pair[side][:1].isspace() else f" {pair[side]}" for side in _sides(pair)}
    return {**pair, "prompt": asked, **answers}


_SPEAKERS = {"user": "Human", "assistant": "Assistant"}


def transcript(messages: Sequence[Message]) -> str:
    r"""A conversation, up to where the assistant speaks next.

    >>> transcript([{"role": "user", "content": "Tea?"}])
    'Human: Tea?\n\nAssistant:'
    """
    turns = [f"{_SPEAKERS.get(turn['role'], turn['role'].capitalize())}: {turn['content']}" for turn in messages]
    return "\n\n".join([*turns, "Assistant:"])


TEXTS: dict[str, Callable[[PairRow], PairRow]] = {"plain": as_plain, "messages": as_messages}


# --- what to imitate first


def completions(pairs: Sequence[PairRow], imitated: str, share: float, seed: int) -> list[dict[str, Any]]:
    """Rows to imitate: of this share of the prompts, drawn with this seed, every response of the imitated side once.

    Args:
        pairs: as they will be written.
        imitated: ``chosen``, which among votes is the side with more of them (a tie has none), or ``rejected``.
        share: of the prompts, in (0, 1], rounded to a whole number and at least one.
    """
    by_prompt: dict[str, list[dict[str, Any]]] = {}
    for pair in pairs:
        side = _imitated_side(pair, imitated)
        if side is not None:
            row = {"prompt": pair["prompt"], "completion": pair[side]}
            same = by_prompt.setdefault(json.dumps(pair["prompt"]), [])
            same.extend([row] * (row not in same))
    count = max(1, round(share * len(by_prompt))) if by_prompt else 0
    drawn = sorted(random.Random(seed).sample(range(len(by_prompt)), count))  # noqa: S311  # a draw, no secret
    groups = list(by_prompt.values())
    return list(itertools.chain.from_iterable(groups[place] for place in drawn))


def _imitated_side(pair: PairRow, imitated: str) -> str | None:
    first, second = _sides(pair)
    for of_first, of_second in (("votes_1", "votes_2"), ("chosen_reward", "rejected_reward")):
        if of_first in pair and pair[of_first] == pair[of_second]:
            return None
    if "votes_1" in pair and pair["votes_1"] < pair["votes_2"]:
        first, second = second, first
    if "soft_label" in pair and pair["soft_label"] <= 0.5:
        if pair["soft_label"] == 0.5:
            return None
        first, second = second, first
    return first if imitated == "chosen" else second
