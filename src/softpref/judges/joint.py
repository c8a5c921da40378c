"""Several judges label one file together: each is asked and stored as if alone, and every label keeps each one's share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softpref.data.pairs import PreferencePair
from softpref.data.written import as_written
from softpref.errors import OptionError, nearest
from softpref.judges.base import Answer, Judge
from softpref.judges.both_orders import Judgement
from softpref.judges.ensemble import AVERAGES, Agreement, Combined, agreement, combine
from softpref.judges.labelling import (
    LabelOptions,
    by_judge,
    judged,
    summarise,
    write_labels,
)
from softpref.judges.store import JudgementStore
from softpref.judges.watch import JudgeFailedError
from softpref.records.labels import BetweenJudges, LabelRecord, TwoJudges


@dataclass(frozen=True)
class Joint:
    """How several judges' p become one; see ``ensemble.combine``.

    Attributes:
        average: ``probability`` or ``log_odds``.
        min_judges: a pair that fewer have answered has failed; None asks for all of them.
    """

    average: str = "probability"
    min_judges: int | None = None

    def check(self, judges: Mapping[str, Judge]) -> None:
        """Before anything is paid. Raises OptionError: an average or a number of judges that cannot be, or one judge twice."""
        if self.average not in AVERAGES:
            raise OptionError(f"average is {self.average!r}{nearest(self.average, AVERAGES)}")
        if self.min_judges is not None and not 1 <= self.min_judges <= len(judges):
            raise OptionError(f"min_judges is {self.min_judges}; it must lie between 1 and {len(judges)}, their number")
        names: dict[str, str] = {}
        for name, judge in judges.items():
            twin = names.setdefault(judge.identity, name)
            if twin != name:
                raise OptionError(f"judges {twin} and {name} are the same judge: its answers would count twice")

    def identity(self, judges: Mapping[str, Judge]) -> str:
        """The judges, whatever they are called, and how they are averaged: what a calibration of their labels is good for."""
        members = "\n".join(sorted(judge.identity for judge in judges.values()))
        digest = hashlib.sha256(members.encode()).hexdigest()[:12]
        return f"together:{self.average}:{self.min_judges or len(judges)} of {len(judges)}:{digest}"


def label_together(
    pairs: Sequence[PreferencePair],
    judges: Mapping[str, Judge],
    output: Path,
    joint: Joint,
    on_answer: Callable[[Answer], None] | None = None,
    options: LabelOptions | None = None,
) -> LabelRecord:
    """Label pairs by several judges, by name, one after the other. Files and resumption are those of ``label_pairs``.

    A calibration is applied to the joint label. Raises InputError when too few judges answered on every pair.
    """
    joint.check(judges)
    options = options or LabelOptions()
    as_in_file = [as_written(pair) for pair in pairs]
    with JudgementStore(output.with_suffix(".sqlite")) as store:
        found = {name: _judged(name, judge, as_in_file, store, on_answer, options) for name, judge in judges.items()}
    combined = combine(found, joint.average, joint.min_judges)
    together = [one.judgement for one in combined]
    identity = joint.identity(judges)
    write_labels(as_in_file, together, _sources(combined, judges, joint, identity), output, options)
    record = LabelRecord(
        **vars(summarise(identity, as_in_file, together, options)),
        each={name: summarise(judge.identity, as_in_file, found[name], options) for name, judge in judges.items()},
        between=between_judges(agreement(found)),
    )
    record.write(output.with_suffix(".labels.json"))
    return record


def between_judges(found: Agreement) -> BetweenJudges:
    """How far judges agree, as it is recorded."""
    pairs = [TwoJudges(names, two.comparisons, two.accuracy, two.kappa) for names, two in found.pairs.items()]
    return BetweenJudges(pairs, found.alpha)


def _judged(
    name: str,
    judge: Judge,
    pairs: Sequence[PreferencePair],
    store: JudgementStore,
    on_answer: Callable[[Answer], None] | None,
    options: LabelOptions,
) -> list[Judgement]:
    """One judge's judgements; where it does not answer, which judge that is."""
    try:
        return judged(judge, pairs, store, on_answer, options)
    except JudgeFailedError as error:
        raise JudgeFailedError(f"judge {name}: {error}") from None


def _sources(combined: Sequence[Combined], judges: Mapping[str, Judge], joint: Joint, identity: str) -> Iterator[dict[str, Any]]:
    named = {name: by_judge(judge) for name, judge in judges.items()}
    for one in combined:
        shares = {name: {**named[name], **share.as_dict()} for name, share in one.shares.items()}
        yield {"method": "judges", "judge": identity, "average": joint.average, "judges": shares}
