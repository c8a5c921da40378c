"""Rows with several responses become pairs: by rating, by rank, or by the best and the worst. Pure functions of one row."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from softpref.data.verdicts import number_of, word_of

Row: TypeAlias = dict[str, Any]
Report: TypeAlias = Callable[[str, str, str], None]
_TEXT_KEYS = ("text", "response", "content", "completion", "answer", "output")
_RATING_KEYS = ("rating", "score", "reward", "overall_score")
VOTED = {"votes_1": 1, "votes_2": 0, "votes_tie": 0}
TIED = {"votes_1": 0, "votes_2": 0, "votes_tie": 1}


def unpack_responses(row: Row, report: Report) -> Row:
    """Responses that are objects, {text, rating}, become texts and, where all have one, ``ratings``."""
    responses = row.get("responses")
    if not (isinstance(responses, list) and len(responses) > 1):
        report("responses", "is no list of two responses or more", "give a list of texts")
        return {**row, "responses": None}
    if not all(isinstance(one, Mapping) and "role" not in one for one in responses):
        return row
    texts = [next((one[key] for key in _TEXT_KEYS if isinstance(one.get(key), str)), None) for one in responses]
    if None in texts:
        report("responses", "holds an object without text", f"give texts, or objects with {' or '.join(_TEXT_KEYS)}")
        return row
    ratings = [next((one[key] for key in _RATING_KEYS if one.get(key) is not None), None) for one in responses]
    return {**row, "responses": texts, **({} if None in ratings else {"ratings": ratings})}


def rated_pairs(row: Row, which: str, report: Report) -> Iterator[Row]:
    """Pairs with ``chosen_reward`` and ``rejected_reward``, the higher rating first."""
    ratings = _numbers(row, "ratings", report)
    if ratings is None:
        return
    for k, j in _chosen_pairs([-rating for rating in ratings], which):
        yield _pair(row, k, j, {"chosen_reward": ratings[k], "rejected_reward": ratings[j]})


def ranked_pairs(row: Row, which: str, order: bool, report: Report) -> Iterator[Row]:
    """Pairs with one vote for the response of the lower rank; equal ranks are a tie."""
    ranks = _numbers(row, "ranking", report)
    if ranks is None:
        return
    if order:
        places = [int(place) - int(min(ranks)) for place in ranks]
        if sorted(places) != list(range(len(places))):
            report("ranking", "does not name every response once", "give each response's place once")
            return
        ranks = [float(places.index(k)) for k in range(len(places))]
    for k, j in _chosen_pairs(ranks, which):
        yield _pair(row, k, j, TIED if ranks[k] == ranks[j] else VOTED)


def best_worst_pairs(row: Row, names: Sequence[str], report: Report) -> Iterator[Row]:
    """The best response against each other one, and each other one against the worst: 2n − 3 pairs of n, one vote each."""
    best, worst = (_place(row, name, names, report) for name in ("best", "worst"))
    if best is None or worst is None:
        return
    if best == worst:
        report("best, worst", "name one and the same response", "give two different ones")
        return
    others = [k for k in range(len(row["responses"])) if k not in (best, worst)]
    for k, j in [(best, worst), *((best, k) for k in others), *((k, worst) for k in others)]:
        yield _pair(row, k, j, VOTED)


def self_inverse(ranking: Any) -> bool:
    """Whether a list means the same as ranks and as places in order; so does one that can only be ranks."""
    if not isinstance(ranking, list) or not all(isinstance(one, int | float) for one in ranking) or not ranking:
        return True
    places = [int(one) - int(min(ranking)) for one in ranking]
    if sorted(places) != list(range(len(places))):
        return True
    return all(places[place] == k for k, place in enumerate(places))


def _numbers(row: Row, name: str, report: Report) -> list[float] | None:
    values, count = row.get(name), len(row["responses"])
    numbers = [number_of(value) for value in values] if isinstance(values, list) else []
    if len(numbers) != count or None in numbers:
        report(name, f"is not {count} numbers, one of each response", "give a list with a number for each, or drop the row")
        return None
    return [x for x in numbers if x is not None]


def _place(row: Row, name: str, names: Sequence[str], report: Report) -> int | None:
    """Which response a value names: by its column's name or number, by its text, or by its place where that is certain."""
    value, responses = row.get(name), row["responses"]
    if value in responses:
        return int(responses.index(value))
    for k, column in enumerate(names):
        if word_of(value) in (word_of(column), word_of(column).rpartition("_")[2], word_of(column)[-1:]):
            return k
    report(name, f"{value!r} names none of the responses", "give one of their columns, or the response's text")
    return None


def _chosen_pairs(ranks: Sequence[float], which: str) -> list[tuple[int, int]]:
    """Places of pairs, the better first. Of equal ones the earlier counts as better."""
    places = sorted(range(len(ranks)), key=lambda k: ranks[k])
    if which == "adjacent":
        return list(itertools.pairwise(places))
    if which == "best":
        return [(places[0], k) for k in places[1:]]
    return list(itertools.combinations(places, 2))


def _pair(row: Row, k: int, j: int, label: Mapping[str, Any]) -> Row:
    rest = {name: value for name, value in row.items() if name not in ("responses", "ratings", "ranking", "best", "worst")}
    identity = {"id": f"{row['id']}/{k + 1}-{j + 1}"} if row.get("id") is not None else {}
    return {**rest, **identity, "response_1": row["responses"][k], "response_2": row["responses"][j], **label}
