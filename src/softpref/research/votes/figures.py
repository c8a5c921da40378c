"""What came of the study: figures of every loss and baseline on pairs that its run never saw, with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit

from softpref.core.arrays import Floats
from softpref.core.statistics import Estimate, cluster_bootstrap, node_bootstrap
from softpref.data.pairs import PreferencePair
from softpref.evaluation.classification import (
    Bootstrap,
    calibration_figures,
    majority_auc,
    ranking_figures,
)
from softpref.evaluation.classify import Draws
from softpref.research.votes.folds import Fold, arguments_of, debate_of, side_of, vote_shares
from softpref.research.votes.settings import HARD_TWIN

LONGER, CONSTANT = "the longer one wins", "always ½"


@dataclass(frozen=True)
class Scores:
    """Log-odds (N,) as they are, and the temperature that the validation pairs ask for."""

    raw: Floats
    temperature: float


@dataclass
class Setting:
    """The pooled test pairs of some folds: every pair scored by the run that never saw it."""

    folds: Sequence[Fold]
    scores: Callable[[Fold, str], Scores]
    bootstrap: Bootstrap

    def __post_init__(self) -> None:
        self.share = np.concatenate([vote_shares(fold.test) for fold in self.folds])

    def figures(self, methods: Sequence[str]) -> dict[str, Any]:
        """Sizes, a row per method and baseline, and each soft treatment less its hard twin on the same pairs."""
        return {
            "pairs": {part: sum(len(getattr(f, part)) for f in self.folds) for part in ("train", "validation", "test")},
            "ties": int((self.share == 0.5).sum()),
            "rows": {name: self._row(name) for name in (*methods, LONGER, CONSTANT)},
            "differences": {
                f"{soft} − {hard}": self._difference(soft, hard)
                for soft, hard in HARD_TWIN.items()
                if soft in methods and hard in methods
            },
        }

    def _pooled(self, name: str) -> tuple[Floats, Floats, list[float]]:
        """Raw and mended log-odds of all test pairs, (N,) each, and the folds' temperatures."""
        scores = [self.scores(fold, name) for fold in self.folds]
        raw = np.concatenate([s.raw for s in scores])
        mended = np.concatenate([s.raw / s.temperature for s in scores])
        return raw, mended, [s.temperature for s in scores]

    def _row(self, name: str) -> dict[str, Any]:
        raw, mended, temperatures = self._pooled(name)
        # words are no log-odds: the length baseline has nothing to show before it has a temperature
        as_trained = {} if name == LONGER else as_dicts(calibration_figures(raw, self.share, self.bootstrap))
        return {
            **as_dicts(ranking_figures(raw, self.share, self.bootstrap)),
            "raw": as_trained,
            "mended": as_dicts(calibration_figures(mended, self.share, self.bootstrap)),
            "temperature": float(np.median(temperatures)),
        }

    def _difference(self, soft: str, hard: str) -> dict[str, Any]:
        """Paired on the same draws: methods that share pairs differ by less than their own intervals suggest."""
        (a, mended_a, _), (b, mended_b, _) = self._pooled(soft), self._pooled(hard)
        auc = self.bootstrap(lambda x, y, p: majority_auc(x, p) - majority_auc(y, p), a, b, self.share)
        brier = self.bootstrap(_brier_difference, mended_a, mended_b, self.share)
        return as_dicts({"auc": auc, "brier": brier})


def as_dicts(figures: dict[str, Estimate]) -> dict[str, Any]:
    """Plain numbers, for JSON."""
    return {name: estimate.as_dict() for name, estimate in figures.items()}


def _brier_difference(a: Floats, b: Floats, share: Floats) -> float:
    return float(np.mean((expit(a) - share) ** 2 - (expit(b) - share) ** 2))


def arguments_drawn(pairs: Sequence[PreferencePair], resamples: int) -> Draws:
    """Draws the arguments of these pairs, inside each side of a debate: every argument stands in many pairs."""
    first, second = (np.array(["\t".join(one) for one in side]) for side in zip(*map(arguments_of, pairs), strict=True))
    sides = np.array([side_of(pair) for pair in pairs])
    return lambda places: partial(
        node_bootstrap, first=first[places], second=second[places], strata=sides[places], resamples=resamples
    )


def debates_drawn(folds: Sequence[Fold], resamples: int) -> Bootstrap:
    """Draws whole debates, each of them one fold's test."""
    clusters = [debate_of(pair) for fold in folds for pair in fold.test]
    return partial(cluster_bootstrap, clusters=clusters, resamples=resamples)
