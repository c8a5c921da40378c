"""Pairs to be labelled go in, labelled pairs come out; what failed is counted and kept apart, never given a ½."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from softpref.data.files import write_json
from softpref.data.formats import write_rows
from softpref.data.pairs import PreferencePair
from softpref.errors import InputError
from softpref.judges.base import Answer, Comparison, Judge
from softpref.judges.both_orders import Judgement, judge_comparisons
from softpref.judges.store import JudgementStore


@dataclass(frozen=True)
class Labelling:
    """What came of labelling one file. ``coverage`` is labelled / asked.

    ``position_bias`` is the mean of P(first shown preferred) over both orders, times two, less one: 0 without bias.
    ``order_disagreement`` is the share of pairs on which the two orders prefer different responses.
    """

    judge: str
    asked: int
    labelled: int
    coverage: float
    position_bias: float
    order_disagreement: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def label_pairs(
    pairs: Sequence[PreferencePair],
    judge: Judge,
    output: Path,
    on_answer: Callable[[Answer], None] | None = None,
) -> Labelling:
    """Label pairs by a judge in both orders, into ``output`` (JSONL that ``read_pairs`` reads).

    Row order is kept. Beside the output: ``OUTPUT.sqlite`` holds every answer, ``OUTPUT.failed.jsonl`` the rows without a
    label, ``OUTPUT.labels.json`` the returned summary. Run again, nothing that was answered is asked twice.

    Raises InputError when every judgement failed.
    """
    comparisons = [Comparison(str(i), p.prompt, p.chosen, p.rejected, p.meta) for i, p in enumerate(pairs)]
    with JudgementStore(output.with_suffix(".sqlite")) as store:
        judgements = judge_comparisons(judge, comparisons, store, on_answer)
    judged = [j for j in judgements if j.p is not None]
    if not judged:
        reasons = sorted({failure for j in judgements for failure in j.failures})
        raise InputError(f"all {len(judgements)} judgements failed ({'; '.join(reasons[:3])}): nothing was labelled")
    rows = [_row(pair, judgement, judge.identity) for pair, judgement in zip(pairs, judgements, strict=True)]
    write_rows(output, [row for row in rows if "soft_label" in row])
    write_rows(output.with_suffix(".failed.jsonl"), [row for row in rows if "soft_label" not in row])
    summary = _summary(judge.identity, judgements, judged)
    write_json(output.with_suffix(".labels.json"), summary.as_dict())
    return summary


def _row(pair: PreferencePair, judgement: Judgement, judge: str) -> dict[str, Any]:
    row: dict[str, Any] = {"prompt": pair.prompt, "response_1": pair.chosen, "response_2": pair.rejected}
    if pair.id:
        row["id"] = pair.id
    if pair.weight != 1.0:
        row["weight"] = pair.weight
    if judgement.p is None:
        return {**row, "failures": list(judgement.failures), "meta": dict(pair.meta)}
    source = {
        "method": "judge",
        "judge": judge,
        "orders": "both",
        "first_shown": judgement.first_shown,
        "second_shown": judgement.second_shown,
    }
    return {**row, "soft_label": judgement.p, "label_source": source, "meta": dict(pair.meta)}


def _summary(judge: str, judgements: Sequence[Judgement], judged: Sequence[Judgement]) -> Labelling:
    first = np.array([j.first_shown for j in judged], dtype=float)
    second = np.array([j.second_shown for j in judged], dtype=float)
    # response 1 preferred in order 1–2 is p_first > ½ there, and p_first < ½ in order 2–1
    disagree = (first - 0.5) * (0.5 - second) < 0
    return Labelling(
        judge=judge,
        asked=len(judgements),
        labelled=len(judged),
        coverage=len(judged) / len(judgements),
        position_bias=float(np.mean(first + second - 1)),
        order_disagreement=float(np.mean(disagree)),
    )
