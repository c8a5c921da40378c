"""Training metrics, from tensors that the step has computed already."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from softpref.core.method import Method
from softpref.core.method_sum import MethodSum
from softpref.core.pair import PairLogps, reduce

if TYPE_CHECKING:
    from torch import Tensor

# Nats. Sums of log-probs in fp32 cannot be told apart below this: such a margin is a tie.
MARGIN_TIE = 1e-4

# name -> (values, weights), both (B,); logged is Σ value·weight / Σ weight
Weighted: TypeAlias = dict[str, "tuple[Tensor, Tensor]"]


def pair_metrics(method: Method | MethodSum, pair: PairLogps, soft_label: Tensor | None, weight: Tensor) -> Weighted:
    """Metrics of B pairs, each with the weights it is averaged by.

    All are of the log-probs that the loss sees: sums, or means over tokens where that is the method's reduction. ``margin``
    is h and the log-ratios are log π − log π_ref, in nats, without beta. ``accuracy`` counts a margin within 1e-4
    of 0 as half and leaves p = ½ out. ``brier`` is (s(βh) − p)². ``effective_weight`` is |2p − 1|: a loss of log 2 beside an
    effective weight of 0 is a batch that teaches nothing.
    """
    pair = reduce(pair, method.reduction)
    if not method.needs_rejected:
        return {"chosen_logps": (pair.chosen.detach(), weight)}
    margin = pair.margin.detach()
    found: Weighted = {
        "margin": (margin, weight),
        "chosen_logratio": (pair.chosen_logratio.detach(), weight),
        "rejected_logratio": (pair.rejected_logratio.detach(), weight),
    }
    p = torch.ones_like(margin) if soft_label is None else soft_label
    side = torch.sign(p - 0.5)
    decided = torch.where(margin.abs() > MARGIN_TIE, torch.sign(margin), 0.0)
    found["accuracy"] = ((decided * side + 1) / 2, weight * side.abs())
    found["effective_weight"] = ((2 * p - 1).abs(), weight)
    if "beta" in method.arguments:
        found["brier"] = ((torch.sigmoid(method.arguments["beta"] * margin) - p) ** 2, weight)
    return found


def trl_metrics(method: Method | MethodSum, pair: PairLogps, weight: Tensor) -> Weighted:
    """The same step under the names, and with the meaning, of TRL's ``DPOTrainer``, for dashboards made for it.

    ``logps/*`` are sums over response tokens whatever the reduction; ``rewards/*`` are beta times log-ratios of these sums, and
    only there where the method has a beta and a reference. ``rewards/accuracies`` is the share of pairs whose chosen side has
    the higher reward; a tie counts 0.
    """
    metrics: Weighted = {"logps/chosen": (pair.chosen.detach(), weight)}
    if not method.needs_rejected:
        return metrics
    metrics["logps/rejected"] = (pair.rejected.detach(), weight)
    beta = method.arguments.get("beta")
    if beta is None or pair.ref_chosen is None:
        return metrics
    chosen, rejected = beta * pair.chosen_logratio.detach(), beta * pair.rejected_logratio.detach()
    metrics["rewards/chosen"] = (chosen, weight)
    metrics["rewards/rejected"] = (rejected, weight)
    metrics["rewards/margins"] = (chosen - rejected, weight)
    metrics["rewards/accuracies"] = ((chosen > rejected).to(chosen.dtype), weight)
    return metrics


def own_names(logs: Mapping[str, float]) -> dict[str, float]:
    """A log line without TRL's names, which repeat in other words what ours say."""
    return {name: value for name, value in logs.items() if "/" not in name and not name.endswith("num_tokens")}


class RunningMeans:
    """Sums between two log lines, kept on the device until someone asks."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._weights: dict[str, Tensor] = {}
        self._counts: dict[str, int] = defaultdict(int)

    def add(self, metrics: Weighted) -> None:
        """Take one batch's values in."""
        for name, (values, weights) in metrics.items():
            zero = values.new_zeros(())
            self._sums[name] = self._sums.get(name, zero) + (values * weights).sum()
            self._weights[name] = self._weights.get(name, zero) + weights.sum()

    def count(self, **amounts: int) -> None:
        """Add to plain counters (pairs, tokens)."""
        for name, amount in amounts.items():
            self._counts[name] += amount

    def drain(self, accelerator: Any, seconds: float | None = None) -> dict[str, float]:
        """Means over all ranks since the last call, and counters per second. A mean of nothing is left out."""
        means: dict[str, float] = {}
        for name, total in self._sums.items():
            both = accelerator.reduce(torch.stack([total, self._weights[name]]), reduction="sum")
            if both[1] > 0:
                means[name] = float(both[0] / both[1])
        if seconds:
            means.update({f"{name}_per_second": n * accelerator.num_processes / seconds for name, n in self._counts.items()})
        for kept in (self._sums, self._weights, self._counts):
            kept.clear()
        return means


def prefixed(metrics: Mapping[str, float], prefix: str) -> dict[str, float]:
    """``{"eval_margin": …}`` from ``{"margin": …}``; a name that has the prefix keeps it."""
    return {name if name.startswith(f"{prefix}_") else f"{prefix}_{name}": value for name, value in metrics.items()}
