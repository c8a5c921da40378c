"""Win rates from judgements: the paper's two, a tie-aware one, and what they rest on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from softpref.core.statistics import Estimate, cluster_bootstrap
from softpref.errors import InputError
from softpref.judges.both_orders import Judgement


@dataclass(frozen=True)
class WinRates:
    """How often the first side wins, with 95% intervals from a bootstrap over prompts.

    ``binary``: mean of ``1[p ≥ ½]``, so a tie is a win and identical sides score 100% (arXiv 2409.06691, §5: read it beside
    ``tie_rate``). ``percentage``: mean of p. ``tie_aware``: a tie is half a win. ``coverage``: judged / asked.
    """

    binary: Estimate
    percentage: Estimate
    tie_aware: Estimate
    tie_rate: float
    coverage: float
    position_bias: float
    failed: int

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        rates = {name: getattr(self, name).as_dict() for name in ("binary", "percentage", "tie_aware")}
        rest = {name: getattr(self, name) for name in ("tie_rate", "coverage", "position_bias", "failed")}
        return {**rates, **rest}


def win_rates(judgements: Sequence[Judgement], prompts: Sequence[Any], seed: int = 0) -> WinRates:
    """Win rates of response 1. ``prompts`` names the prompt of each judgement: the cluster of the bootstrap.

    Failed judgements are left out of every rate and counted. Raises InputError when nothing was judged.
    """
    judged = [(j, prompt) for j, prompt in zip(judgements, prompts, strict=True) if j.p is not None]
    if not judged:
        raise InputError(f"all {len(judgements)} judgements failed: there is no win rate to report")
    p = np.array([j.p for j, _ in judged])
    clusters = np.array([str(prompt) for _, prompt in judged])
    ties = p == 0.5
    values = {"binary": p >= 0.5, "percentage": p, "tie_aware": np.where(ties, 0.5, p > 0.5)}
    rates = {
        name: cluster_bootstrap(np.mean, v.astype(float), clusters=clusters, seed=seed) for name, v in values.items()
    }
    return WinRates(
        **rates,
        tie_rate=float(ties.mean()),
        coverage=len(judged) / len(judgements),
        position_bias=float(np.mean([j.position_bias for j, _ in judged])),
        failed=len(judgements) - len(judged),
    )
