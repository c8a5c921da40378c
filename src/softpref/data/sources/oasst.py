"""Open Assistant's conversation trees, whose sister answers people have ranked (Köpf et al. 2023, arXiv 2304.07327).

https://huggingface.co/datasets/OpenAssistant/oasst1 and oasst2; one row per message:

    message_id, parent_id, message_tree_id, role (prompter or assistant), text, rank (0 is best), deleted, review_result, lang
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Mapping, Sequence

from softpref.data.pairs import Message
from softpref.data.sources.rows import LeftOutError, PairRow, Row, RowFaultError, inner, number, text, voted

_ROLES = {"prompter": "user", "assistant": "assistant"}


def tree_of(row: Row) -> Hashable:
    """By what messages belong together."""
    return text(row, "message_tree_id")


def pairs(rows: Sequence[Row]) -> Iterator[PairRow]:
    """Every two ranked answers to one message of a tree: one vote, that of the ranking. Deleted answers are left out."""
    by_id = {text(row, "message_id"): row for row in rows}
    answers: dict[str, list[Row]] = {}
    for row in rows:
        if _role(row) == "assistant" and row.get("rank") is not None and not row.get("deleted"):
            answers.setdefault(text(row, "parent_id"), []).append(row)
    ranked = {parent: sorted(some, key=lambda row: number(row, "rank")) for parent, some in answers.items() if len(some) > 1}
    if not ranked:
        raise LeftOutError("a tree in which no two answers to one message are ranked")
    for parent, some in ranked.items():
        prompt = _path(parent, by_id)
        for better, worse in itertools.combinations(some, 2):
            votes = (0, 0, 1) if better["rank"] == worse["rank"] else (1, 0, 0)
            meta = {"language": better.get("lang"), "ranks": [int(better["rank"]), int(worse["rank"])]}
            yield voted(prompt, text(better, "text"), text(worse, "text"), votes, meta=meta)


def _path(identifier: str, by_id: Mapping[str, Row]) -> list[Message]:
    """The conversation from the root of the tree to this message."""
    turns: list[Message] = []
    place: str | None = identifier
    while place is not None:
        if place not in by_id or len(turns) > len(by_id):
            raise RowFaultError("parent_id", f"{place!r} is no message of its tree", "give the whole tree")
        row = by_id[place]
        turns.append({"role": _role(row), "content": text(row, "text")})
        place = inner(row, "parent_id")
    return turns[::-1]


def _role(row: Row) -> str:
    role = inner(row, "role")
    if role not in _ROLES:
        raise RowFaultError("role", f"is {role!r}", f"known: {', '.join(_ROLES)}")
    return _ROLES[role]
