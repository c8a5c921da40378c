"""Figures with their uncertainty. NumPy in, NumPy out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A figure, its interval, and what it rests on. ``n`` counts rows, ``clusters`` the independent units among them."""

    value: float
    low: float
    high: float
    n: int
    clusters: int

    def as_dict(self) -> dict[str, float | int]:
        """Plain numbers, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def cluster_bootstrap(
    statistic: Callable[..., float],
    *rows: ArrayLike,
    clusters: ArrayLike,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Percentile bootstrap that draws whole clusters (prompts, debates) with replacement.

    ``rows`` are arrays of shape (N, …), handed to ``statistic`` with the drawn clusters' rows; ``clusters`` of shape (N,)
    names each row's cluster. A draw on which the statistic is not defined (an AUC of one class) is left out. With one
    cluster there is no interval: low and high are nan.

    Raises ValueError when there is no row, or when the lengths differ.
    """
    arrays = [np.asarray(row) for row in rows]
    _, codes = np.unique(np.asarray(clusters), return_inverse=True)
    if len(codes) == 0:
        raise ValueError("no rows to estimate from")
    if any(len(array) != len(codes) for array in arrays):
        raise ValueError(
            f"{len(codes)} clusters were named for {[len(array) for array in arrays]} rows: name one for each"
        )
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes)
    starts = np.cumsum(sizes) - sizes
    value = float(statistic(*arrays))
    if len(sizes) == 1:
        return Estimate(value, float("nan"), float("nan"), len(codes), 1)

    # scipy.stats.bootstrap draws rows, not clusters, and takes an undefined draw for a degenerate distribution
    rng = np.random.default_rng(seed)
    draws = []
    for drawn in rng.integers(len(sizes), size=(resamples, len(sizes))):
        # the members of the drawn clusters, one cluster after the other
        size = sizes[drawn]
        offsets = np.repeat(starts[drawn] - (np.cumsum(size) - size), size)
        chosen = order[offsets + np.arange(size.sum())]
        draws.append(float(statistic(*(a[chosen] for a in arrays))))
    if np.all(np.isnan(draws)):
        return Estimate(value, float("nan"), float("nan"), len(codes), len(sizes))
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high), len(codes), len(sizes))


def tie_aware_accuracy(score: ArrayLike, soft_label: ArrayLike) -> float:
    """Share of pairs whose score has the sign of p − ½, a score of 0 counted half. Pairs with p = ½ are left out.

    Strict ``>`` would call a policy that equals its reference 0% accurate; this calls it 50%. nan without a pair to judge.
    """
    side = np.sign(np.asarray(soft_label, dtype=np.float64) - 0.5)
    judged = side != 0
    if not judged.any():
        return float("nan")
    return float(np.mean((np.sign(np.asarray(score, dtype=np.float64)[judged]) * side[judged] + 1) / 2))


def auc(score: ArrayLike, positive: ArrayLike) -> float:
    """Area under the ROC curve by ranks (Mann–Whitney), ties counted half. nan when there is one class only."""
    positive = np.asarray(positive, dtype=bool)
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if n_positive == 0 or n_negative == 0:
        return float("nan")
    ranks = rankdata(np.asarray(score, dtype=np.float64))
    return float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))
