"""Votes of the Chatbot Arena (Chiang et al. 2024, arXiv 2403.04132): two models answer, and the person who asked votes.

``arena``: https://huggingface.co/datasets/lmsys/chatbot_arena_conversations and lmarena-ai/arena-human-preference-140k:

    conversation_a, conversation_b   [{role, content}, …]; content is text, or [{type, text, image, mimeType}, …]
    winner                           model_a, model_b, tie, and "tie (bothbad)" or both_bad
    model_a, model_b, question_id or id, language

``arena-55k``: https://huggingface.co/datasets/lmsys/lmsys-arena-human-preference-55k, where ``prompt``, ``response_a`` and
``response_b`` are JSON lists of turns, and ``winner_model_a``, ``winner_model_b``, ``winner_tie`` are 0 or 1.

Both models' conversations go on by themselves: from the second turn on they answer different contexts. Only votes on answers to
one and the same context are pairs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from softpref.data.pairs import Message
from softpref.data.sources.rows import LeftOutError, PairRow, Row, RowFaultError, inner, items, text, user, voted

# Two bad answers are equals as much as two good ones: the vote says nothing of which is better.
WINNERS = {
    "model_a": (1, 0, 0), "model_b": (0, 1, 0), "tie": (0, 0, 1), "tie (bothbad)": (0, 0, 1), "both_bad": (0, 0, 1),
}  # fmt: skip
_FLAGS = ("winner_model_a", "winner_model_b", "winner_tie")


def pairs(row: Row) -> Iterator[PairRow]:
    """One vote on two conversations."""
    winner = text(row, "winner")
    if winner not in WINNERS:
        raise RowFaultError("winner", f"is {winner!r}", f"known: {', '.join(WINNERS)}")
    first, second = (_conversation(row, side) for side in ("conversation_a", "conversation_b"))
    if first[:-1] != second[:-1]:
        raise LeftOutError("the two models answered different contexts")
    yield voted(
        first[:-1],
        first[-1]["content"],
        second[-1]["content"],
        WINNERS[winner],
        **_identity(row),
        meta=_meta(row, winner),
    )


def pairs_55k(row: Row) -> Iterator[PairRow]:
    """One vote on two answers to one question."""
    prompt, first, second = (_turns(row, name) for name in ("prompt", "response_a", "response_b"))
    if len(prompt) != 1:
        raise LeftOutError("the two models answered different contexts")
    if None in (prompt[0], *first, *second) or not (len(first) == len(second) == 1):
        raise LeftOutError("a question or an answer is missing")
    yield voted(user(prompt[0]), first[0], second[0], _flags(row), **_identity(row), meta=_meta(row, None))


def _flags(row: Row) -> tuple[int, int, int]:
    """Who won, as three numbers of which one is 1 and the others 0."""
    votes = [_flag(inner(row, name), name) for name in _FLAGS]
    if sorted(votes) != [0, 0, 1]:
        raise RowFaultError("winner_model_a", f"is one of {votes}", "give exactly one of the three winners")
    return votes[0], votes[1], votes[2]


def _flag(value: Any, name: str) -> int:
    number = value if isinstance(value, int | float) else {"0": 0, "1": 1, "0.0": 0, "1.0": 1}.get(str(value).strip())
    if number not in (0, 1):
        raise RowFaultError(name, f"is {value!r}", "give 0 or 1")
    return int(number)


def _conversation(row: Row, side: str) -> list[Message]:
    turns = [{"role": text(turn, "role"), "content": _content(turn)} for turn in items(row, side)]
    if len(turns) < 2 or turns[-1]["role"] != "assistant":
        raise LeftOutError("a conversation does not end with an answer")
    return turns


def _content(turn: Row) -> str:
    content = inner(turn, "content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list | tuple):
        raise LeftOutError("a question or an answer is missing")
    if any(part.get("type") != "text" for part in content):
        raise LeftOutError("a turn holds more than text")
    return "".join(text(part, "text") for part in content)


def _turns(row: Row, name: str) -> list[Any]:
    try:
        found = json.loads(text(row, name))
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(one is None or isinstance(one, str) for one in found):
        raise RowFaultError(name, "is no JSON list of texts")
    return found


def _identity(row: Row) -> dict[str, str]:
    found = row.get("question_id") or row.get("id")
    return {} if found is None else {"id": str(found)}


def _meta(row: Row, winner: str | None) -> dict[str, Any]:
    found = {"models": [row.get("model_a"), row.get("model_b")], "language": row.get("language"), "winner": winner}
    return {name: value for name, value in found.items() if value is not None}
