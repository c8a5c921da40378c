"""UltraFeedback as pairs: the best-rated completion against another one, in the forms that are published.

https://huggingface.co/datasets/HuggingFaceH4/ultrafeedback_binarized (splits ``train_prefs``, ``test_prefs``):

    prompt, chosen, rejected    the last two whole conversations; score_chosen, score_rejected

https://huggingface.co/datasets/argilla/ultrafeedback-binarized-preferences-cleaned, and its elder without ``-cleaned``:

    prompt, chosen, rejected    conversations; chosen-rating, rejected-rating, chosen-model, rejected-model
    instruction, chosen_response, rejected_response    texts; chosen_avg_rating, rejected_avg_rating

The two rate differently (an overall score of 1 to 10, a mean of ratings of 1 to 5): one ``reward_scale`` does not fit both.
"""

from __future__ import annotations

from collections.abc import Iterator

from softpref.data.pairs import Message
from softpref.data.sources.rows import LeftOutError, PairRow, Row, RowFaultError, items, number, text, user

RATINGS = (("score_chosen", "score_rejected"), ("chosen-rating", "rejected-rating"), ("chosen_avg_rating", "rejected_avg_rating"))


def pairs(row: Row) -> Iterator[PairRow]:
    """Both responses with their ratings."""
    prompt, chosen, rejected = _texts(row) if "chosen_response" in row else _conversations(row)
    rated = next((names for names in RATINGS if names[0] in row), None)
    if rated is None:
        raise RowFaultError("score_chosen", "is missing, and so is chosen-rating")
    if any(row.get(name) is None for name in rated):
        raise LeftOutError("a rating is missing")
    models = [row.get(name) or row.get(name.replace("-", "_")) for name in ("chosen-model", "rejected-model")]
    meta = {"meta": {"models": models}} if any(models) else {}
    rewards = dict(zip(("chosen_reward", "rejected_reward"), (number(row, name) for name in rated), strict=True))
    yield {"prompt": prompt, "chosen": chosen, "rejected": rejected, **rewards, **meta}


def _texts(row: Row) -> tuple[list[Message], str, str]:
    return user(text(row, "instruction")), text(row, "chosen_response"), text(row, "rejected_response")


def _conversations(row: Row) -> tuple[list[Message], str, str]:
    sides = [_turns(row, side) for side in ("chosen", "rejected")]
    if any(len(turns) < 2 or turns[-1]["role"] != "assistant" for turns in sides):
        raise LeftOutError("a conversation does not end with an answer")
    if sides[0][:-1] != sides[1][:-1]:
        raise LeftOutError("the two sides differ before the last answer")
    return sides[0][:-1], sides[0][-1]["content"], sides[1][-1]["content"]


def _turns(row: Row, side: str) -> list[Message]:
    return [{"role": text(turn, "role"), "content": text(turn, "content")} for turn in items(row, side)]
