r"""Nectar: seven answers to a prompt, ranked by GPT-4 (Zhu et al. 2023, Starling-7B).

https://huggingface.co/datasets/berkeley-nest/Nectar:

    prompt    a transcript that ends with "\n\nAssistant: "
    answers   [{answer, model, rank (1 is best)}, …]
    turns, num_responses, source, good_natured
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from softpref.data.pairs import Message
from softpref.data.sources.hh import transcript
from softpref.data.sources.rows import LeftOutError, PairRow, Row, RowFaultError, items, number, text, voted


def pairs(row: Row) -> Iterator[PairRow]:
    """Every two answers, one vote for the one of the better rank: 21 pairs of seven. Equal ranks are a tie."""
    rated = [(number(one, "rank"), text(one, "answer"), one.get("model")) for one in items(row, "answers")]
    ranked = sorted(rated, key=lambda one: one[0])
    if len(ranked) < 2:
        raise LeftOutError("a prompt with fewer than two answers")
    prompt = _prompt(text(row, "prompt"))
    for better, worse in itertools.combinations(ranked, 2):
        votes = (0, 0, 1) if better[0] == worse[0] else (1, 0, 0)
        meta = {"models": [better[2], worse[2]], "ranks": [better[0], worse[0]]}
        yield voted(prompt, better[1], worse[1], votes, meta=meta)


def _prompt(written: str) -> list[Message]:
    turns = transcript(written.rstrip(), "prompt")
    if turns[-1] != {"role": "assistant", "content": ""} or len(turns) < 2:
        raise RowFaultError("prompt", "does not end with 'Assistant:'")
    return turns[:-1]
