"""Pairs to be labelled go in, labelled pairs come out; what failed is counted and kept apart, never given a ½."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from softpref.data.files import atomic_write, write_json
from softpref.data.formats import row_line
from softpref.data.pairs import PreferencePair, swap_sides
from softpref.errors import InputError
from softpref.judges.base import Answer, Comparison, Judge
from softpref.judges.both_orders import Judgement, ask, judgements, orders
from softpref.judges.store import JudgementStore

# p → p, applied to a judge's label after both orders are averaged.
Calibrate = Callable[[float], float]


@dataclass(frozen=True)
class Labelling:
    """What came of labelling one file.

    ``coverage`` is labelled / asked. ``position_bias`` is the mean of P(first shown preferred) over both orders, times two,
    less one: 0 without bias. ``order_disagreement`` is the share of pairs on which the two orders prefer different responses.
    Both are None where one order alone was asked. ``agreement`` compares with the labels that the file had before.
    """

    judge: str
    orders: str
    asked: int
    labelled: int
    coverage: float
    position_bias: float | None
    order_disagreement: float | None
    failures: Mapping[str, int] = field(default_factory=dict)
    calibration: str | None = None
    agreement: Mapping[str, float] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class LabelOptions:
    """How judgements become labels.

    Attributes:
        both_orders: ask both presentation orders; one order alone leaves the position bias in, and stands in every label.
        calibrate: a fitted map from p to p, and the name it is recorded by.
    """

    both_orders: bool = True
    calibrate: Calibrate | None = None
    calibration_name: str | None = None


def label_pairs(
    pairs: Sequence[PreferencePair],
    judge: Judge,
    output: Path,
    on_answer: Callable[[Answer], None] | None = None,
    options: LabelOptions | None = None,
) -> Labelling:
    """Label pairs by a judge, into ``output`` (JSONL that ``read_pairs`` reads), in the order and orientation of the file.

    Beside the output: ``OUTPUT.sqlite`` holds every answer as it comes, ``OUTPUT.failed.jsonl`` the rows without a label,
    ``OUTPUT.labels.json`` the returned summary. Run again, nothing that was answered is asked twice.

    Raises InputError when every judgement failed.
    """
    options = options or LabelOptions()
    as_in_file = [swap_sides(pair) if pair.swapped else pair for pair in pairs]
    with JudgementStore(output.with_suffix(".sqlite")) as store:
        asked = (q for one in _comparisons(as_in_file) for q in orders(one, options.both_orders))
        ask(judge, asked, store, on_answer)
        found = list(judgements(judge, _comparisons(as_in_file), store, options.both_orders))
    if not any(j.p is not None for j in found):
        reasons = sorted({failure for j in found for failure in j.failures})
        raise InputError(f"all {len(found)} judgements failed ({'; '.join(reasons[:3])}): nothing was labelled")
    _write(as_in_file, found, judge, output, options)
    summary = summarise(judge.identity, as_in_file, found, options)
    write_json(output.with_suffix(".labels.json"), summary.as_dict())
    return summary


def _comparisons(pairs: Iterable[PreferencePair]) -> Iterator[Comparison]:
    """One at a time: the questions of a large file are never all in memory."""
    for place, pair in enumerate(pairs):
        yield Comparison(str(place), pair.prompt, pair.chosen, pair.rejected)


def _write(
    pairs: Sequence[PreferencePair],
    found: Sequence[Judgement],
    judge: Judge,
    output: Path,
    options: LabelOptions,
) -> None:
    with atomic_write(output) as labelled, atomic_write(output.with_suffix(".failed.jsonl")) as failed:
        for pair, judgement in zip(pairs, found, strict=True):
            file = failed if judgement.p is None else labelled
            file.write(row_line(_row(pair, judgement, judge, options)))


def _row(pair: PreferencePair, judgement: Judgement, judge: Judge, options: LabelOptions) -> dict[str, Any]:
    row: dict[str, Any] = {"prompt": pair.prompt, "response_1": pair.chosen, "response_2": pair.rejected}
    if pair.id:
        row["id"] = pair.id
    if pair.weight != 1.0:
        row["weight"] = pair.weight
    meta = dict(pair.meta)
    if pair.soft_label is not None:
        meta["label_before"] = pair.soft_label
    if judgement.p is None:
        return {**row, "failures": list(judgement.failures), "meta": meta}
    source: dict[str, Any] = {
        "method": "judge",
        "judge": judge.identity,
        **getattr(judge, "method", {}),
        "orders": orders_text(options.both_orders),
        "first_shown": judgement.first_shown,
        "second_shown": judgement.second_shown,
        "mass": judgement.mass,
    }
    p = judgement.p
    if options.calibrate is not None:
        source |= {"uncalibrated": p, "calibration": options.calibration_name}
        p = options.calibrate(p)
    return {**row, "soft_label": p, "label_source": source, "meta": meta}


def orders_text(both: bool) -> str:
    """How a label names the orders that were asked."""
    return "both" if both else "response 1 first only"


def summarise(
    judge: str, pairs: Sequence[PreferencePair], found: Sequence[Judgement], options: LabelOptions
) -> Labelling:
    """The figures of one labelling; see ``Labelling``."""
    judged = [j for j in found if j.p is not None]
    first = np.array([j.first_shown for j in judged], dtype=float)
    second = np.array([j.second_shown for j in judged], dtype=float) if options.both_orders else None
    reasons = [failure for j in found for failure in j.failures]
    return Labelling(
        judge=judge,
        orders=orders_text(options.both_orders),
        asked=len(found),
        labelled=len(judged),
        coverage=len(judged) / len(found),
        position_bias=None if second is None else float(np.mean(first + second - 1)),
        # response 1 is preferred in order 1–2 where p_first > ½ there, and in order 2–1 where p_first < ½
        order_disagreement=None if second is None else float(np.mean((first - 0.5) * (0.5 - second) < 0)),
        failures={reason: reasons.count(reason) for reason in sorted(set(reasons))[:20]},
        calibration=options.calibration_name,
        agreement=_agreement(pairs, found),
    )


def _agreement(pairs: Sequence[PreferencePair], found: Sequence[Judgement]) -> dict[str, float] | None:
    """With the labels that the file had before: accuracy (a tie of the judge's counts half) and Cohen's kappa of the sides."""
    both = [
        (j.p, pair.soft_label)
        for pair, j in zip(pairs, found, strict=True)
        if j.p is not None and pair.soft_label not in (None, 0.5)
    ]
    if not both:
        return None
    from sklearn.metrics import cohen_kappa_score

    from softpref.core.statistics import tie_aware_accuracy

    p, before = (np.array(side, dtype=float) for side in zip(*both, strict=True))
    kappa = cohen_kappa_score(p > 0.5, before > 0.5) if len({*(before > 0.5)}) == 2 else float("nan")
    return {"pairs": len(both), "accuracy": tie_aware_accuracy(p - 0.5, before), "cohen_kappa": float(kappa)}
