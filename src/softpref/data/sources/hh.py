r"""Anthropic's helpful and harmless conversations (Bai et al. 2022, arXiv 2204.05862).

https://huggingface.co/datasets/Anthropic/hh-rlhf; ``--data_dir helpful-base`` and ``harmless-base`` are the paper's two sets.
Two columns, ``chosen`` and ``rejected``: whole transcripts, alike up to the last answer, in the form
``\n\nHuman: … \n\nAssistant: …``. One person chose; how sure they were was not published, so the pairs come without a label.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from softpref.data.pairs import Message
from softpref.data.sources.rows import LeftOutError, PairRow, Row, RowFaultError, text

_TURN = re.compile(r"\n\n(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def pairs(row: Row) -> Iterator[PairRow]:
    """The conversation up to the last answer, and both answers."""
    chosen, rejected = (transcript(text(row, side), side) for side in ("chosen", "rejected"))
    for turns in (chosen, rejected):
        if turns[-1]["role"] != "assistant":
            raise LeftOutError("a transcript does not end with an answer")
    if len(chosen) < 2:
        raise LeftOutError("an answer without a question")
    if chosen[:-1] != rejected[:-1]:
        raise LeftOutError("the two sides differ before the last answer")
    yield {"prompt": chosen[:-1], "chosen": chosen[-1]["content"], "rejected": rejected[-1]["content"]}


def transcript(written: str, field: str) -> list[Message]:
    """The turns of a transcript. Two of one speaker in a row are one turn. Raises RowFaultError."""
    before, *parts = _TURN.split(f"\n\n{written.lstrip()}")
    if before.strip() or not parts:
        raise RowFaultError(field, "does not begin with 'Human:' or 'Assistant:'")
    turns: list[Message] = []
    for speaker, said in zip(parts[::2], parts[1::2], strict=True):
        if turns and turns[-1]["role"] == _ROLES[speaker]:
            turns[-1]["content"] = f"{turns[-1]['content']}\n\n{said.strip()}".strip()
        else:
            turns.append({"role": _ROLES[speaker], "content": said.strip()})
    return turns
