"""Pairs to be labelled go in, labelled pairs come out; what failed is counted and kept apart, never given a ½."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from softpref.core.statistics import tie_aware_accuracy
from softpref.data.files import atomic_write
from softpref.data.formats import row_line
from softpref.data.pairs import PreferencePair
from softpref.data.written import as_written, text_columns
from softpref.errors import InputError
from softpref.judges.base import Answer, Comparison, Judge
from softpref.judges.both_orders import Judgement, all_failed, ask, judgements, orders
from softpref.judges.ensemble import agreement
from softpref.judges.failures import by_kind
from softpref.judges.store import JudgementStore
from softpref.records.labels import Against, Labelling, LabelRecord

# p → p, applied to a judge's label after both orders are averaged.
Calibrate = Callable[[float], float]


@dataclass(frozen=True)
class LabelOptions:
    """How judgements become labels.

    Attributes:
        both_orders: ask both presentation orders; one order alone leaves the position bias in, and stands in every label.
        calibrate: a fitted map from p to p, and the name it is recorded by.
        gold: P(first side of the file preferred) of every pair by people or by construction; compared with, never used.
    """

    both_orders: bool = True
    calibrate: Calibrate | None = None
    calibration_name: str | None = None
    gold: Sequence[float] | None = None

    @property
    def orders(self) -> str:
        """How a label names the orders that were asked."""
        return orders_text(self.both_orders)


def label_pairs(
    pairs: Sequence[PreferencePair],
    judge: Judge,
    output: Path,
    on_answer: Callable[[Answer], None] | None = None,
    options: LabelOptions | None = None,
) -> LabelRecord:
    """Label pairs by a judge, into ``output`` (JSONL that ``read_pairs`` reads), in the order and orientation of the file.

    Beside the output: ``OUTPUT.sqlite`` holds every answer as it comes, ``OUTPUT.failed.jsonl`` the rows without a label,
    ``OUTPUT.labels.json`` the returned summary. Run again, nothing that was answered is asked twice.

    Raises InputError when every judgement failed.
    """
    options = options or LabelOptions()
    as_in_file = [as_written(pair) for pair in pairs]
    with JudgementStore(output.with_suffix(".sqlite")) as store:
        found = judged(judge, as_in_file, store, on_answer, options)
    source = {"method": "judge", **by_judge(judge)}
    write_labels(as_in_file, found, (source for _ in found), output, options)
    record = LabelRecord(**vars(summarise(judge.identity, as_in_file, found, options)))
    record.write(output.with_suffix(".labels.json"))
    return record


def judged(
    judge: Judge,
    pairs: Sequence[PreferencePair],
    store: JudgementStore,
    on_answer: Callable[[Answer], None] | None,
    options: LabelOptions,
) -> list[Judgement]:
    """Ask for what the store lacks, then read it: one judgement per pair, in their order."""
    ask(judge, (q for one in _comparisons(pairs) for q in orders(one, options.both_orders)), store, on_answer)
    return list(judgements(judge, _comparisons(pairs), store, options.both_orders))


def by_judge(judge: Judge) -> dict[str, Any]:
    """How a label names its judge, and how that answers."""
    return {"judge": judge.identity, **getattr(judge, "method", {})}


def _comparisons(pairs: Iterable[PreferencePair]) -> Iterator[Comparison]:
    """One at a time: the questions of a large file are never all in memory."""
    for place, pair in enumerate(pairs):
        yield Comparison(str(place), pair.prompt, pair.chosen, pair.rejected)


def write_labels(
    pairs: Sequence[PreferencePair],
    found: Sequence[Judgement],
    sources: Iterable[Mapping[str, Any]],
    output: Path,
    options: LabelOptions,
) -> None:
    """The labelled rows, and beside them those that failed. ``sources`` says of each label by whom it is.

    Raises InputError, and writes nothing, when every judgement failed.
    """
    if not any(j.p is not None for j in found):
        raise InputError(all_failed(found, "nothing was labelled"))
    with atomic_write(output) as labelled, atomic_write(output.with_suffix(".failed.jsonl")) as failed:
        for pair, judgement, source in zip(pairs, found, sources, strict=True):
            file = failed if judgement.p is None else labelled
            file.write(row_line(_row(pair, judgement, source, options)))


def _row(pair: PreferencePair, judgement: Judgement, by: Mapping[str, Any], options: LabelOptions) -> dict[str, Any]:
    row = text_columns(pair)
    meta = dict(pair.meta)
    if pair.soft_label is not None:
        meta["label_before"] = pair.soft_label
    if judgement.p is None:
        return {**row, "failures": list(judgement.failures), "meta": meta}
    shown = {name: getattr(judgement, name) for name in ("first_shown", "second_shown", "mass")}
    source = {**by, "orders": options.orders, **shown}
    p = judgement.p
    if options.calibrate is not None:
        source |= {"uncalibrated": p, "calibration": options.calibration_name}
        p = options.calibrate(p)
    return {**row, "soft_label": p, "label_source": source, "meta": meta}


def orders_text(both: bool) -> str:
    """How a label names the orders that were asked."""
    return "both" if both else "response 1 first only"


def summarise(judge: str, pairs: Sequence[PreferencePair], found: Sequence[Judgement], options: LabelOptions) -> Labelling:
    """The figures of one judge on one file; see ``Labelling``."""
    answered = [j for j in found if j.p is not None]
    first = np.array([j.first_shown for j in answered], dtype=float)
    second = np.array([j.second_shown for j in answered], dtype=float)
    known = options.both_orders and bool(answered)
    others = {"the labels before": [pair.soft_label for pair in pairs], "gold": options.gold}
    compared = {name: against(found, labels) for name, labels in others.items() if labels is not None}
    return Labelling(
        judge=judge,
        orders=options.orders,
        asked=len(found),
        labelled=len(answered),
        coverage=len(answered) / len(found),
        position_bias=float(np.mean(first + second - 1)) if known else None,
        # response 1 is preferred in order 1–2 where p_first > ½ there, and in order 2–1 where p_first < ½
        order_disagreement=float(np.mean((first - 0.5) * (0.5 - second) < 0)) if known else None,
        failures=by_kind(failure for j in found for failure in j.failures),
        calibration=options.calibration_name,
        against={name: one for name, one in compared.items() if one is not None},
    )


def against(found: Sequence[Judgement], labels: Sequence[float | None]) -> Against | None:
    """Judgements held against labels for the same side; None where no pair has both."""
    both = [
        (judgement, label)
        for judgement, label in zip(found, labels, strict=True)
        if judgement.p is not None and label not in (None, 0.5)
    ]
    if not both:
        return None
    said = [judgement for judgement, _ in both]
    trusted = [Judgement(judgement.id, label, None, None) for judgement, label in both]
    between = agreement({"judge": said, "labels": trusted})
    p, label = ([one.p for one in side] for side in (said, trusted))
    accuracy = tie_aware_accuracy(np.array(p, dtype=float) - 0.5, np.array(label, dtype=float))
    return Against(len(both), accuracy, between.pairs["judge", "labels"].kappa, between.alpha)
