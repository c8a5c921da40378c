"""WebGPT's comparisons of answers with sources (Nakano et al. 2021, arXiv 2112.09332).

https://huggingface.co/datasets/openai/webgpt_comparisons:

    question                       {dataset, id, full_text}
    answer_0, answer_1             texts with [1] where they quote; quotes_0, quotes_1 are left out
    score_0, score_1               −1 to 1, each the other's opposite: how much better the answer is
"""

from __future__ import annotations

from collections.abc import Iterator

from softpref.data.sources.rows import LeftOutError, PairRow, Row, RowFaultError, number, text


def pairs(row: Row) -> Iterator[PairRow]:
    """p = (1 + score_0) / 2. A straight line is our choice; the data say only the order."""
    first, second = number(row, "score_0"), number(row, "score_1")
    if first != -second or abs(first) > 1:
        raise RowFaultError("score_0", f"is {first:g} beside {second:g}", "give two opposite scores from -1 to 1")
    answers = text(row, "answer_0").strip(), text(row, "answer_1").strip()
    if not all(answers):
        raise LeftOutError("an answer is empty")
    yield {
        "prompt": text(row, "question", "full_text").strip(),
        "response_1": answers[0],
        "response_2": answers[1],
        "soft_label": (1 + first) / 2,
        "label_source": {"method": "strength of preference", "formula": "(1 + score_0) / 2"},
    }
