"""The label sets of the study: who judges by what criterion and with which faults, and what is done to the labels then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from softpref.core import calibration, soft_labels
from softpref.core.arrays import Floats
from softpref.core.statistics import tie_aware_accuracy
from softpref.data.formats import read_pairs, write_rows
from softpref.data.pairs import PreferencePair
from softpref.data.shaping import NOISE, Noise, Places, Shape, Skewed, Stairs, shape_pairs
from softpref.data.written import written_row
from softpref.demo.plan_world_judge import CRITERIA, FAULTS, NO_FAULTS, SCALE, criterion_judge
from softpref.errors import OptionError, nearest
from softpref.judges.labelling import label_pairs
from softpref.research.study.settings import Training


@dataclass(frozen=True)
class Votes:
    """p as the share of ``number`` votes, each cast with the probability that the label gave before."""

    number: int

    def __call__(self, p: Floats, rng: np.random.Generator) -> tuple[Places, Floats]:
        """See ``softpref.data.shaping.Shape``; no pair is left out."""
        return np.arange(len(p)), rng.binomial(self.number, p) / self.number


@dataclass(frozen=True)
class LabelSet:
    """Pairs are judged by ``criteria`` in turn, by a judge with these faults; then shaped."""

    faults: Mapping[str, float] = field(default_factory=lambda: FAULTS)
    shape: Shape | None = None
    criteria: tuple[str, ...] = ("gold",)

    @property
    def leaves_out(self) -> bool:
        """Whether the shape needs more pairs than it keeps."""
        return isinstance(self.shape, Skewed | Stairs)


# Close to docs/research/which_loss.md. A sharpness of 3 is a temperature of ⅓; noise is in nats, in each of the two answers.
CONDITIONS: Mapping[str, LabelSet] = {
    "exact": LabelSet(NO_FAULTS),
    "too_sure": LabelSet({**NO_FAULTS, "temperature": 1 / 3}),
    "noise_3": LabelSet({**NO_FAULTS, "noise": 3.0}),
    "votes_3": LabelSet(NO_FAULTS, Votes(3)),
}
TWO_CRITERIA = LabelSet(criteria=("thorough", "short"))

_FIXED: Mapping[str, LabelSet] = {
    "plain": LabelSet(),
    "skewed": LabelSet(shape=Skewed(0.8)),
    "stairs": LabelSet(shape=Stairs()),
    "two_criteria": TWO_CRITERIA,
    **CONDITIONS,
}


def noise_name(kind: str, rate: float) -> str:
    """``soft_flip_0.1``: what ``label_set`` knows a noisy set by."""
    return f"{kind}_{rate:g}"


def label_set(name: str) -> LabelSet:
    """The label set of that name. Raises OptionError for one that is not known."""
    if name in _FIXED:
        return _FIXED[name]
    kind, _, rate = name.rpartition("_")
    if kind in NOISE:
        return LabelSet(shape=Noise(kind, float(rate)))
    raise OptionError(f"label set is {name!r}{nearest(name, _FIXED)}")


def make_label_set(pool: Path, file: Path, name: str, seed: int, training: Training) -> dict[str, Any]:
    """Label, shape and write one set; what the labels are like, against the truth that PlanWorld knows.

    Beside ``file``, what every judge said lies in ``FILE.CRITERION.jsonl``, with its store and its summary.
    """
    wanted = label_set(name)
    pairs = list(read_pairs(pool))[: training.pool if wanted.leaves_out else training.pairs]
    labelled: list[PreferencePair] = []
    for turn, criterion in enumerate(wanted.criteria):
        judged = file.with_name(f"{file.stem}.{criterion}.jsonl")
        judge = criterion_judge(criterion, seed, wanted.faults)
        label_pairs(pairs[turn :: len(wanted.criteria)], judge, judged)
        labelled += _shaped(judged, wanted.shape, seed)
    kept = _at_most(labelled, training.pairs, seed)
    write_rows(file, map(written_row, kept))
    return _likeness(kept, wanted)


def _shaped(file: Path, shape: Shape | None, seed: int) -> list[PreferencePair]:
    pairs = read_pairs(file)
    return list(pairs) if shape is None else shape_pairs(pairs, shape, seed)


def _at_most(pairs: list[PreferencePair], n: int, seed: int) -> list[PreferencePair]:
    if len(pairs) <= n:
        return pairs
    return [pairs[i] for i in sorted(np.random.default_rng([seed, 3]).choice(len(pairs), n, replace=False))]


def _likeness(pairs: list[PreferencePair], wanted: LabelSet) -> dict[str, Any]:
    p = np.array([pair.soft_label for pair in pairs])
    found: dict[str, Any] = {"pairs": len(pairs), "confidence": float(np.abs(2 * p - 1).mean())}
    if len(wanted.criteria) == 1:
        score = CRITERIA[wanted.criteria[0]]
        gaps = np.array([score(pair.prompt, pair.chosen) - score(pair.prompt, pair.rejected) for pair in pairs])
        found["accuracy"] = tie_aware_accuracy(gaps, p)
        found["brier"] = calibration.brier(p, soft_labels.from_scores(gaps, 0.0, SCALE))
    return found


def described(name: str) -> dict[str, Any]:
    """A label set as plain values, for a cell: another definition under the same name is another cell."""
    wanted = label_set(name)
    shape = None if wanted.shape is None else {"name": type(wanted.shape).__name__, **asdict(wanted.shape)}  # type: ignore[call-overload]
    return {"name": name, "faults": dict(wanted.faults), "shape": shape, "criteria": list(wanted.criteria)}
