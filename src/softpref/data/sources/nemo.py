r"""NVIDIA's two forms of preference data.

``nemo``, NeMo-Aligner's DPO (one object a line): prompt, chosen_response, rejected_response, and chosen_reward, rejected_reward.
In the prompt stand ``<extra_id_0>System\n``, ``<extra_id_1>User\n`` and ``<extra_id_1>Assistant\n``; a response ends with
``<extra_id_1>``.

``nemo-rl``, NeMo-RL's preference data: context (messages), completions [{rank, completion: [messages]}, …]; rank 0 is best.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from softpref.data.pairs import Message
from softpref.data.sources.rows import LeftOutError, PairRow, Row, RowFaultError, items, number, text, user, voted

_TURN = re.compile(r"<extra_id_[01]>(System|User|Assistant)\n")
_END = re.compile(r"\s*(?:<extra_id_1>\s*)?\Z")


def pairs(row: Row) -> Iterator[PairRow]:
    """Two responses with their rewards."""
    chosen, rejected = (_END.sub("", text(row, name)) for name in ("chosen_response", "rejected_response"))
    if row.get("chosen_reward") is None or row.get("rejected_reward") is None:
        raise LeftOutError("a reward is missing")
    rewards = {name: number(row, name) for name in ("chosen_reward", "rejected_reward")}
    yield {"prompt": _prompt(text(row, "prompt")), "chosen": chosen, "rejected": rejected, **rewards}


def _prompt(written: str) -> list[Message]:
    before, *parts = _TURN.split(written)
    if not parts:
        return user(written)
    turns = [{"role": role.lower(), "content": said.strip()} for role, said in zip(parts[::2], parts[1::2], strict=True)]
    if before.strip() or turns[-1] != {"role": "assistant", "content": ""}:
        raise RowFaultError("prompt", "does not end with '<extra_id_1>Assistant'")
    return [turn for turn in turns[:-1] if turn["content"] or turn["role"] != "system"]


def ranked(row: Row) -> Iterator[PairRow]:
    """Every two completions, one vote for the one of the better rank."""
    context = [{"role": text(turn, "role"), "content": text(turn, "content")} for turn in items(row, "context")]
    found = sorted(((number(one, "rank"), _answer(one)) for one in items(row, "completions")), key=lambda one: one[0])
    if len(found) < 2:
        raise LeftOutError("fewer than two completions")
    for better, worse in itertools.combinations(found, 2):
        yield voted(context, better[1], worse[1], (0, 0, 1) if better[0] == worse[0] else (1, 0, 0))


def _answer(completion: Row) -> str:
    turns = items(completion, "completion")
    if len(turns) != 1 or turns[0].get("role") != "assistant":
        raise LeftOutError("a completion is not one message of the assistant")
    return text(turns[0], "content")
