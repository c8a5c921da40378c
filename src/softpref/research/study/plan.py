"""Which runs a study consists of, part by part, and which beta each method has in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from softpref.data.shaping import NOISE
from softpref.research.study.labels import CONDITIONS, noise_name
from softpref.research.study.runs import Run
from softpref.research.study.settings import DPO_FAMILY, Size

Betas = Mapping[str, float]

PARTS = ("comparison", "two_criteria", "conditions", "noise")


@dataclass(frozen=True)
class ChosenBeta:
    """The beta with the highest score; ``at_edge`` where a wider grid might hold a better one."""

    beta: float
    at_edge: bool
    scores: Mapping[float, float]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"beta": self.beta, "at_edge": self.at_edge, "scores": {f"{b:g}": s for b, s in self.scores.items()}}


def tuning_runs(size: Size) -> Iterator[Run]:
    """Every method with every beta, on seeds and tasks that report nothing."""
    for method, beta, seed in product(size.methods, size.betas, size.tuning_seeds):
        yield Run("plain", method, beta, seed, split="validation")


def choose(scores: Mapping[float, float]) -> ChosenBeta:
    """Of betas that do equally well, the largest: the one that stays nearest to the reference."""
    beta = max(scores, key=lambda candidate: (scores[candidate], candidate))
    return ChosenBeta(beta, beta in (min(scores), max(scores)), dict(scores))


def part_runs(part: str, size: Size, betas: Betas) -> list[Run]:
    """The runs of one of ``PARTS``."""
    makers = {"comparison": _comparison, "two_criteria": _two_criteria, "noise": _noise, "conditions": _conditions}
    return list(makers[part](size, betas))


def label_sets_of(runs: Iterable[Run]) -> list[tuple[str, int]]:
    """What has to be labelled for these runs: every label set and seed once, in order."""
    return list(dict.fromkeys((run.labels, run.seed) for run in runs))


def _comparison(size: Size, betas: Betas) -> Iterator[Run]:
    # seed by seed, so that a study that is looked at early has all methods of the seeds it has
    for seed, labels, method in product(size.seeds, size.label_sets, size.methods):
        yield Run(labels, method, betas[method], seed, along=True)


def _two_criteria(size: Size, betas: Betas) -> Iterator[Run]:
    return _few(["two_criteria"], size, betas)


def _noise(size: Size, betas: Betas) -> Iterator[Run]:
    return _few([noise_name(kind, rate) for kind, rate in product(NOISE, size.noise_rates)], size, betas)


def _conditions(size: Size, betas: Betas) -> Iterator[Run]:
    return _few(list(CONDITIONS), size, betas)


def _few(label_sets: Sequence[str], size: Size, betas: Betas) -> Iterator[Run]:
    for seed, labels, method in product(size.few_seeds, label_sets, DPO_FAMILY):
        yield Run(labels, method, betas[method], seed)
