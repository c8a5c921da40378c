"""UltraFeedback: four completions per instruction, each rated by GPT-4 on four aspects (Cui et al. 2023, arXiv 2310.01377).

https://huggingface.co/datasets/openbmb/UltraFeedback. The columns read here:

    source, instruction
    completions  [{model, response, overall_score, fine-grained_score, annotations: {helpfulness: {Rating, …}, honesty: …,
                 instruction_following: …, truthfulness: …}, …}, …]; a Rating is "1" to "5", or "N/A"

``overall_score`` is not read: some of its 1s were stored as 10 (github.com/OpenBMB/UltraFeedback/issues/8). The score here is the
mean of the four ratings, from 1 to 5; ``reading.reward_scale`` makes p of a difference when the file is read.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from statistics import fmean

from softpref.data.sources.rows import LeftOutError, PairRow, Row, inner, items, text, user

ASPECTS = ("helpfulness", "honesty", "instruction_following", "truthfulness")


def pairs(row: Row) -> Iterator[PairRow]:
    """Every pair of rated completions, the better one chosen: six of four. Equal scores are a tie."""
    completions = items(row, "completions")
    rated = [(score, text(one, "response"), text(one, "model")) for one in completions if (score := _score(one)) is not None]
    if len(rated) < 2:
        raise LeftOutError("fewer than two completions are rated on all four aspects")
    for better, worse in itertools.combinations(sorted(rated, key=lambda one: -one[0]), 2):
        yield {
            "prompt": user(text(row, "instruction")),
            "chosen": better[1],
            "rejected": worse[1],
            "chosen_reward": better[0],
            "rejected_reward": worse[0],
            "meta": {"source": row.get("source"), "models": [better[2], worse[2]]},
        }


def _score(completion: Row) -> float | None:
    """None unless all four aspects are rated: means over other aspects are no measure of the same thing."""
    annotations = inner(completion, "annotations") or {}
    ratings = [str((annotations.get(aspect) or {}).get("Rating")) for aspect in ASPECTS]
    return fmean(map(float, ratings)) if set(ratings) <= set("12345") else None
