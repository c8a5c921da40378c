"""Figures with their uncertainty. NumPy in, NumPy out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import permutation_test, rankdata, wilcoxon

from softpref.core.arrays import Floats


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
        raise ValueError(f"{len(codes)} clusters were named for {[len(array) for array in arrays]} rows: name one for each")
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
    low, high = _percentiles(draws, level)
    return Estimate(value, low, high, len(codes), len(sizes))


def codes_of(names: Iterable[str]) -> NDArray[np.intp]:
    """A number per name, (N,), in the names' order: as an array of text, every prompt would take the longest one's room."""
    names = list(names)
    code = {name: i for i, name in enumerate(sorted(set(names)))}
    return np.array([code[name] for name in names], dtype=np.intp)


def seed_and_cluster_bootstrap(
    statistic: Callable[..., float],
    *rows: ArrayLike,
    seeds: ArrayLike,
    clusters: ArrayLike,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Percentile bootstrap over training seeds *and* prompts, where every seed's model has answered the same prompts.

    Both are drawn, each on its own, and a row counts as often as its seed was drawn times its prompt was (the "pigeonhole
    bootstrap" of Owen 2007: a row's own noise then counts up to three times, so the interval errs to the wide side there).
    Of S seeds only S − 1 are drawn: drawing S would make the seeds' share of the variance too small by 1 − 1/S, which is
    a half at S = 2 (Rao and Wu 1988). Few seeds stay few: see docs/evaluation.md for what the interval covers at 3 and 5.

    Args:
        rows: arrays (N, …) handed to ``statistic`` for the drawn rows, repeated as often as they were drawn.
        seeds, clusters: (N,) the seed and the prompt of each row. With one seed this is ``cluster_bootstrap``.

    Raises ValueError when there is no row, or when the lengths differ.
    """
    arrays = [np.asarray(row) for row in rows]
    names, seed_codes = np.unique(np.asarray(seeds), return_inverse=True)
    if len(names) < 2:
        return cluster_bootstrap(statistic, *arrays, clusters=clusters, resamples=resamples, level=level, seed=seed)
    prompts, codes = np.unique(np.asarray(clusters), return_inverse=True)
    if any(len(array) != len(codes) for array in (*arrays, seed_codes)):
        raise ValueError(f"{len(codes)} clusters and {len(seed_codes)} seeds were named for {[len(a) for a in arrays]} rows")
    rng = np.random.default_rng(seed)
    seeds_drawn = rng.multinomial(len(names) - 1, np.full(len(names), 1 / len(names)), size=resamples)
    prompts_drawn = rng.multinomial(len(prompts), np.full(len(prompts), 1 / len(prompts)), size=resamples)
    draws = []
    for of_seed, of_prompt in zip(seeds_drawn, prompts_drawn, strict=True):
        chosen = np.repeat(np.arange(len(codes)), of_seed[seed_codes] * of_prompt[codes])
        draws.append(float(statistic(*(a[chosen] for a in arrays))) if len(chosen) else float("nan"))
    low, high = _percentiles(draws, level)
    return Estimate(float(statistic(*arrays)), low, high, len(codes), len(prompts))


def _percentiles(draws: list[float], level: float) -> tuple[float, float]:
    """The middle ``level`` of the draws on which the statistic is defined; nan where there is none."""
    if np.all(np.isnan(draws)):
        return float("nan"), float("nan")
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def node_bootstrap(
    statistic: Callable[..., float],
    *rows: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    strata: ArrayLike | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Percentile bootstrap for pairs that share members: *members* are drawn with replacement, not pairs.

    Every argument of a debate stands in many pairs, so pairs are not independent; and all pairs of a debate hang together
    through shared arguments, so whole connected components would leave a handful of clusters. Hence the members are
    resampled, and a pair counts ``m₁·m₂`` times where its two members were drawn m₁ and m₂ times (Snijders and Borgatti
    1999, "vertex bootstrap"; Owen 2007, "pigeonhole bootstrap"). A pair's own noise then counts up to three times,
    so the interval errs to the wide side.

    Args:
        rows: arrays (N, …) handed to ``statistic`` for the drawn pairs, repeated as often as they were drawn.
        first, second: (N,) the two members of each pair.
        strata: (N,) members are drawn inside these (the side of a debate), which stay as they are; None is one stratum.

    A draw on which the statistic is not defined is left out. ``clusters`` of the result counts members.
    Raises ValueError when there is no row.
    """
    arrays = [np.asarray(row) for row in rows]
    members, codes = np.unique(np.concatenate([np.asarray(first), np.asarray(second)]), return_inverse=True)
    n = len(codes) // 2
    if n == 0:
        raise ValueError("no rows to estimate from")
    groups, rng = _strata_of_members(codes, strata), np.random.default_rng(seed)
    low, high = _percentiles([_draw(statistic, arrays, codes, groups, rng) for _ in range(resamples)], level)
    return Estimate(float(statistic(*arrays)), low, high, n, len(members))


def _draw(
    statistic: Callable[..., float],
    arrays: Sequence[NDArray[Any]],
    codes: NDArray[np.intp],
    groups: Sequence[NDArray[np.intp]],
    rng: np.random.Generator,
) -> float:
    """The statistic on one draw of members; nan where no pair has both of its members drawn."""
    n = len(codes) // 2
    times = np.zeros(codes.max() + 1, dtype=np.int64)
    for group in groups:
        times[group] = rng.multinomial(len(group), np.full(len(group), 1 / len(group)))
    chosen = np.repeat(np.arange(n), times[codes[:n]] * times[codes[n:]])
    return float(statistic(*(a[chosen] for a in arrays))) if len(chosen) else float("nan")


def _strata_of_members(codes: NDArray[np.intp], strata: ArrayLike | None) -> list[NDArray[np.intp]]:
    """Member codes of each stratum. A member that stands in pairs of two strata is a mistake of the caller."""
    if strata is None:
        return [np.unique(codes)]
    of_pair = np.unique(np.asarray(strata), return_inverse=True)[1]
    groups = [np.unique(codes[np.tile(of_pair == s, 2)]) for s in range(of_pair.max() + 1)]
    if sum(map(len, groups)) != len(np.unique(codes)):
        raise ValueError("a member stands in pairs of two strata: name members so that each belongs to one")
    return groups


# --- paired tests ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PairedTest:
    """A two-sided test of differences against 0. ``n`` counts differences; ``zeros`` of them were exactly 0."""

    p_value: float
    n: int
    zeros: int
    statistic: float
    draws: int | None = None

    def as_dict(self) -> dict[str, float | int]:
        """Plain numbers, for JSON. ``draws`` is there for the permutation test only."""
        return {name: value for name, value in asdict(self).items() if value is not None}


# 0.7 − ½ and 0.3 − ½ add up to 5e-17: a tie that must not be ranked.
DECIMALS = 12


def signed_rank_test(differences: ArrayLike) -> PairedTest:
    """Wilcoxon's signed-rank test (SciPy; arXiv 2409.06691, §5) of (N,) independent paired differences.

    Differences of 0 are left out, as Wilcoxon did. Exact up to 50 differences without ties among their sizes, by the normal
    approximation otherwise. Where all are 0, p is 1.

    Raises ValueError when there is no difference.
    """
    d, zeros = _differences(differences)
    if zeros == len(d):
        return PairedTest(1.0, len(d), zeros, 0.0)
    found = wilcoxon(d)
    return PairedTest(float(found.pvalue), len(d), zeros, float(found.statistic))


def sign_flip_test(differences: ArrayLike, draws: int = 9999, seed: int = 0) -> PairedTest:
    """Paired permutation test (SciPy) of the mean of (N,) differences: under the null every sign is as likely as its other.

    All 2^N signs where there are no more than ``draws``, else that many at random, the observed one counted among them
    (Phipson and Smyth 2010), so p is never 0. Where all differences are 0, or there is only one, p is 1.

    Raises ValueError when there is no difference.
    """
    d, zeros = _differences(differences)
    if zeros == len(d) or len(d) == 1:
        return PairedTest(1.0, len(d), zeros, float(d.mean()), draws)
    found = permutation_test(
        (d,),
        _mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=draws,
        batch=512,
        rng=np.random.default_rng(seed),
    )
    return PairedTest(float(found.pvalue), len(d), zeros, float(found.statistic), len(found.null_distribution))


def _mean(values: Floats, axis: int) -> Floats:
    mean: Floats = values.mean(axis=axis)
    return mean


def _differences(values: ArrayLike) -> tuple[Floats, int]:
    d: Floats = np.asarray(values, dtype=np.float64).round(DECIMALS)
    if len(d) == 0:
        raise ValueError("no differences to test")
    return d, int((d == 0).sum())


def holm(p_values: ArrayLike) -> Floats:
    """Holm's (1979) step-down correction of M p-values, (M,): rejecting where it is below α keeps all errors below α.

    In rising order the i-th is multiplied by M − i + 1, never falls below the one before it, and stops at 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    corrected = np.empty_like(stepped)
    corrected[order] = stepped
    return corrected


# --- accuracies -----------------------------------------------------------------------------------------------------------


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
