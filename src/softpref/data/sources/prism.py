"""PRISM: people of 75 countries talk to several models and score each answer (Kirk et al. 2024, arXiv 2404.16019).

https://huggingface.co/datasets/HannahRoseKirk/prism-alignment, ``--subset utterances``; one row per answer:

    interaction_id, conversation_id, user_id, turn, user_prompt, model_response, model_name, score (1 to 100), if_chosen

The answers to one prompt share their ``interaction_id``. Later turns are left out: what was said before stands in other rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Sequence

from softpref.data.sources.rows import LeftOutError, PairRow, Row, inner, number, text, user


def interaction_of(row: Row) -> Hashable:
    """By what the answers to one prompt belong together."""
    return str(inner(row, "interaction_id"))


def pairs(rows: Sequence[Row]) -> Iterator[PairRow]:
    """Every two answers to the first prompt of a conversation, with their scores; who scored them is kept."""
    if number(rows[0], "turn") != 0:
        raise LeftOutError("a later turn, whose history stands in other rows")
    scored = [row for row in rows if row.get("score") is not None]
    if len(scored) < 2:
        raise LeftOutError("fewer than two answers have a score")
    for better, worse in itertools.combinations(sorted(scored, key=lambda row: -number(row, "score")), 2):
        yield {
            "prompt": user(text(better, "user_prompt")),
            "chosen": text(better, "model_response"),
            "rejected": text(worse, "model_response"),
            "chosen_reward": number(better, "score"),
            "rejected_reward": number(worse, "score"),
            "meta": {"user": better.get("user_id"), "models": [better.get("model_name"), worse.get("model_name")]},
        }
