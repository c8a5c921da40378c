"""Win rates from judgements: the paper's two, a tie-aware one, tests against "no better", and what they rest on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from softpref.core.statistics import (
    Estimate,
    PairedTest,
    cluster_bootstrap,
    codes_of,
    seed_and_cluster_bootstrap,
    sign_flip_test,
    signed_rank_test,
)
from softpref.errors import InputError
from softpref.judges.both_orders import Judgement, all_failed
from softpref.records.figures import Interval, WinRateFigures


def win_rates(
    judgements: Sequence[Judgement], prompts: Sequence[Any], seed: int = 0, seeds: Sequence[Any] | None = None
) -> WinRateFigures:
    """Win rates of response 1. ``prompts`` names the prompt of each judgement: the cluster of the bootstrap.

    ``seeds`` names the training seed of each judgement where several runs of one method were judged; the interval is then
    over seeds and prompts. Failed judgements are left out of every rate and counted. Raises InputError when nothing was
    judged.
    """
    judged = judged_places(judgements)
    p = np.array([judgements[i].p for i in judged])
    draw = resampling([prompts[i] for i in judged], None if seeds is None else [seeds[i] for i in judged])
    ties = p == 0.5
    values = {"binary": p >= 0.5, "percentage": p, "tie_aware": np.where(ties, 0.5, p > 0.5)}
    rates = {name: Interval.of(draw(np.mean, v.astype(float), seed=seed)) for name, v in values.items()}
    biases = [bias for i in judged if (bias := judgements[i].position_bias) is not None]
    return WinRateFigures(
        **rates,
        tie_rate=float(ties.mean()),
        coverage=len(judged) / len(judgements),
        position_bias=float(np.mean(biases)) if biases else None,
        failed=len(judgements) - len(judged),
    )


def judged_places(judgements: Sequence[Judgement]) -> list[int]:
    """Places of the judgements that did not fail. Raises InputError when all did."""
    judged = [i for i, judgement in enumerate(judgements) if judgement.p is not None]
    if not judged:
        raise InputError(all_failed(judgements, "there is no win rate to report"))
    return judged


def resampling(prompts: Iterable[Any], seeds: Iterable[Any] | None = None) -> Callable[..., Estimate]:
    """The bootstrap of rows that have these prompts and, where several runs were made, these seeds."""
    clusters = codes_of(map(str, prompts))
    if seeds is None:
        return partial(cluster_bootstrap, clusters=clusters)
    return partial(seed_and_cluster_bootstrap, seeds=codes_of(map(str, seeds)), clusters=clusters)


def paired_tests(judgements: Sequence[Judgement], prompts: Sequence[Any]) -> dict[str, PairedTest]:
    """Wilcoxon's signed-rank test and a paired permutation test of ``p − ½``, one value per prompt.

    The judgements of one prompt (samples, seeds) are averaged first: they are not independent. Raises InputError when
    nothing was judged.
    """
    judged = judged_places(judgements)
    p = np.array([judgements[i].p for i in judged], dtype=np.float64)
    codes = codes_of(str(prompts[i]) for i in judged)
    differences = np.bincount(codes, weights=p - 0.5) / np.bincount(codes)
    return {"wilcoxon": signed_rank_test(differences), "permutation": sign_flip_test(differences)}
