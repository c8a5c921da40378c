"""DICES: a diverse crowd says of a chatbot's last answer whether it is safe (Aroyo et al. 2023, arXiv 2306.11247).

https://github.com/google-research-datasets/dices-dataset, one row per rater and item. The columns read here:

    rater_id, item_id, context, response, Q_overall (No: safe, Unsure, Yes: unsafe)

The data set rates single answers. Two answers to one context make a pair, with the share of raters who call each safe as its
reward, an Unsure counted half; a context with one answer only makes none.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Sequence
from statistics import fmean

from softpref.data.sources.rows import LeftOutError, PairRow, Row, RowFaultError, inner, text

_SAFE = {"no": 1.0, "unsure": 0.5, "yes": 0.0}


def context_of(row: Row) -> Hashable:
    """By what rows belong together."""
    return text(row, "context")


def pairs(rows: Sequence[Row]) -> Iterator[PairRow]:
    """Every two answers to one context."""
    by_response: dict[str, list[float]] = {}
    for row in rows:
        by_response.setdefault(text(row, "response"), []).append(_safe(row))
    if len(by_response) < 2:
        raise LeftOutError("a context with one answer only")
    rated = sorted(((fmean(said), response, len(said)) for response, said in by_response.items()), key=lambda one: -one[0])
    for better, worse in itertools.combinations(rated, 2):
        yield {
            "prompt": text(rows[0], "context"),
            "chosen": better[1],
            "rejected": worse[1],
            "chosen_reward": better[0],
            "rejected_reward": worse[0],
            "meta": {"raters": [better[2], worse[2]]},
        }


def _safe(row: Row) -> float:
    said = inner(row, "Q_overall")
    if str(said).strip().lower() not in _SAFE:
        raise RowFaultError("Q_overall", f"is {said!r}", "give Yes, No or Unsure")
    return _SAFE[str(said).strip().lower()]
