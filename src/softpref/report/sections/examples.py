"""Responses side by side: for every prompt what each run wrote, what it was compared with, and what the judge made of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

from softpref.data.pairs import text_of
from softpref.records.evaluation import ComparisonRow
from softpref.report.collect import HeadToHead
from softpref.report.document import Example, Examples, Section, Shown
from softpref.report.format import page_bytes
from softpref.report.groups import Group, slug

# Examples of one page, in bytes of HTML, and the fewest of one group whatever they cost.
BUDGET = 900_000
FEWEST, MOST = 8, 60
TEXT = "p is the probability, by the judge, that the model's response is better than the other; both orders were asked."
WORDS = ("the model wins", "unsure", "the model loses")


def examples(groups: Sequence[Group], duels: Sequence[HeadToHead] = ()) -> Section:
    """Some of the comparisons of every group: the surest either way, the least sure, and those that divide the runs.

    Those of a head-to-head stand here where no group has any.
    """
    found = [(group.heading, len(group.contenders) > 1, list(_joined(group))) for group in groups]
    if not any(rows for _, _, rows in found):
        found = [(duel.name, True, list(_duelled(duel))) for duel in duels]
    blocks = [_block(*one, BUDGET // len(found)) for one in found if one[-1]]
    return Section("examples", "Examples", blocks, TEXT)


def _duelled(duel: HeadToHead) -> Iterator[Example]:
    """One example per prompt, sample and seed: what every model wrote, and p of every two."""
    found: dict[tuple[str, str, int], dict[tuple[str, str], ComparisonRow]] = {}
    for pair, rows in duel.comparisons.items():
        seen: dict[tuple[str, str], int] = {}
        for row in rows:
            key = text_of(row.prompt), row.seed or ""
            seen[key] = seen.get(key, -1) + 1
            if row.p is not None:
                found.setdefault((*key, seen[key]), {})[pair] = row
    for judged in found.values():
        yield _duel_example(judged)


def _duel_example(judged: dict[tuple[str, str], ComparisonRow]) -> Example:
    texts: dict[str, Any] = {}
    notes: dict[str, list[str]] = {}
    for (one, other), row in judged.items():
        texts[one], texts[other] = row.response, row.against
        p = row.p or 0.0
        notes.setdefault(one, []).append(f"{p:.2f} over {other}")
        notes.setdefault(other, []).append(f"{1 - p:.2f} over {one}")
    sides = [Shown(name, text, f"p = {', '.join(notes[name])}") for name, text in texts.items()]
    labels = [row.p or 0.0 for row in judged.values()]
    prompt = next(iter(judged.values())).prompt
    disagree = any(map(_sides_differ, judged.values()))
    return Example(prompt, sides, sum(labels) / len(labels), labels, max(labels) - min(labels), disagree)


def _joined(group: Group) -> Iterator[Example]:
    """One example per prompt and sample, of all runs that have it judged."""
    found: dict[tuple[str, int], list[tuple[str, ComparisonRow]]] = {}
    for run, one in group.contenders:
        seen: dict[str, int] = {}
        for row in one.comparisons:
            prompt = text_of(row.prompt)
            seen[prompt] = seen.get(prompt, -1) + 1
            if row.p is not None:
                found.setdefault((prompt, seen[prompt]), []).append((run, row))
    for rows in found.values():
        yield _example(group.against, rows)


def _example(against: str, rows: Sequence[tuple[str, ComparisonRow]]) -> Example:
    labels = [row.p or 0.0 for _, row in rows]
    gaps = [_order_gap(row) for _, row in rows]
    disagree = any(_sides_differ(row) for _, row in rows)
    sides = [Shown(run, row.response, f"p = {row.p or 0.0:.2f}{_orders(row)}") for run, row in rows]
    others = list(dict.fromkeys(text_of(row.against) for _, row in rows))
    sides += [Shown(against, text) for text in others]
    divided = max(labels) - min(labels) if len(rows) > 1 else max(gaps)
    return Example(rows[0][1].prompt, sides, sum(labels) / len(labels), labels, divided, disagree)


def _sides_differ(row: ComparisonRow) -> bool:
    """The response is preferred in one order and not in the other: p_first > ½ in both, or < ½ in both."""
    first, second = row.first_shown, row.second_shown
    return first is not None and second is not None and (first - 0.5) * (second - 0.5) > 0


def _order_gap(row: ComparisonRow) -> float:
    first, second = row.first_shown, row.second_shown
    return 0.0 if first is None or second is None else abs(first + second - 1)


def _orders(row: ComparisonRow) -> str:
    return " · the two orders disagree" if _sides_differ(row) else ""


def _block(heading: str, several: bool, found: Sequence[Example], budget: int) -> Examples:
    return Examples(
        slug("examples", heading),
        f"Examples, {heading}",
        choose(found, budget),
        len(found),
        WORDS,
        "the runs differ" if several else "the orders differ",
    )


def choose(found: Sequence[Example], budget: int) -> list[Example]:
    """In turn the surest for, the surest against, the least sure and the most divided, each once, up to the budget."""
    rankings = (
        sorted(found, key=lambda one: -one.p),
        sorted(found, key=lambda one: one.p),
        sorted(found, key=lambda one: abs(one.p - 0.5)),
        sorted(found, key=lambda one: -one.disagreement),
    )
    chosen: dict[int, Example] = {}
    spent = 0
    for turn in zip_longest(*rankings):
        for one in turn:
            if id(one) in chosen:
                continue
            spent += page_bytes(one.prompt) + sum(page_bytes(side.text) for side in one.sides)
            if len(chosen) >= MOST or (len(chosen) >= FEWEST and spent > budget):
                return list(chosen.values())
            chosen[id(one)] = one
    return list(chosen.values())
