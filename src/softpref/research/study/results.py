"""What the runs of a study come to: win rates, gold, KL, frontiers and classification, over seeds and prompts.

Every interval is a bootstrap over seeds *and* prompts (``seed_and_cluster_bootstrap``): all seeds' models answer the same
prompts. Differences are taken response by response, between runs of the same seed, so that what a seed and a prompt do to
both sides falls out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from softpref.core.arrays import Floats
from softpref.core.statistics import Estimate, auc, cluster_bootstrap, seed_and_cluster_bootstrap, tie_aware_accuracy
from softpref.demo.plan_world_judge import SCALE
from softpref.evaluation.frontier import rewards_at_kl
from softpref.evaluation.win_rates import win_rates
from softpref.judges.both_orders import Judgement
from softpref.records.record import plain
from softpref.research.study.runs import Run

Result = Mapping[str, Any]

DECODINGS = ("greedy", "sampled")
# KLs at which methods are compared, in nats.
KL_LEVELS = (0.25, 0.5, 1.0, 2.0)
RESAMPLES = 1000


@dataclass(frozen=True)
class Method:
    """The runs of one method on one label set, one per seed, in the order of their seeds."""

    name: str
    labels: str
    seeds: tuple[int, ...]
    results: tuple[Result, ...]

    def judged(self, decoding: str, criterion: str = "gold") -> list[Result]:
        """One record per seed: p, score, sft_score."""
        return [result["judged"][decoding][criterion] for result in self.results]

    def scores(self, decoding: str, criterion: str = "gold", side: str = "score") -> Floats:
        """(S, N): worth by the criterion of each of N responses of S seeds."""
        return np.array([record[side] for record in self.judged(decoding, criterion)])

    def log_ratios(self) -> Floats:
        """(S, N): log π/π_ref of the samples, in nats."""
        return np.array([result["judged"]["sampled"]["log_ratios"] for result in self.results])


def methods_of(found: Sequence[tuple[Run, Result]]) -> dict[str, dict[str, Method]]:
    """By label set and method, both in the order in which they were planned."""
    grouped: dict[tuple[str, str], list[tuple[int, Result]]] = {}
    for run, result in found:
        grouped.setdefault((run.labels, run.method), []).append((run.seed, result))
    by_labels: dict[str, dict[str, Method]] = {}
    for (labels, name), of_seeds in grouped.items():
        seeds, results = zip(*sorted(of_seeds, key=lambda one: one[0]), strict=True)
        by_labels.setdefault(labels, {})[name] = Method(name, labels, seeds, results)
    return by_labels


# --- one method ---------------------------------------------------------------------------------------------------------


def mean_of(values: Floats, prompts: int) -> Estimate:
    """The mean of (S, N) values of S seeds, N being ``prompts`` times the samples of each, in the prompts' order."""
    seeds, clusters = _places(values.shape, prompts)
    return seed_and_cluster_bootstrap(np.mean, values.ravel(), seeds=seeds, clusters=clusters, resamples=RESAMPLES)


def _places(shape: tuple[int, ...], prompts: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    n_seeds, n = shape
    seeds = np.repeat(np.arange(n_seeds), n)
    clusters = np.tile(np.repeat(np.arange(prompts), n // prompts), n_seeds)
    return seeds, clusters


def prompts_in(method: Method) -> int:
    """How many prompts were answered: the greedy responses of one seed."""
    return len(method.results[0]["judged"]["greedy"]["words"])


def against_sft(method: Method, decoding: str, criterion: str = "gold") -> dict[str, Any]:
    """Win rates against the SFT model by the faulty judge, and by one that sees the criterion alone (``by_truth``)."""
    prompts = prompts_in(method)
    records = method.judged(decoding, criterion)
    judgements = [Judgement("", p, None, None) for record in records for p in record["p"]]
    seeds, clusters = _places((len(records), len(records[0]["p"])), prompts)
    rates = plain(win_rates(judgements, list(clusters), seeds=list(seeds)))
    truth = expit(SCALE * (method.scores(decoding, criterion) - method.scores(decoding, criterion, "sft_score")))
    return {**rates, "by_truth": mean_of(truth, prompts).as_dict()}


def standing(method: Method) -> dict[str, Any]:
    """Everything about one method on one label set but its place among the others."""
    prompts = prompts_in(method)
    words = np.array([result["judged"]["greedy"]["words"] for result in method.results], dtype=np.float64)
    return {
        "seeds": list(method.seeds),
        "win_rates": {decoding: against_sft(method, decoding) for decoding in DECODINGS},
        "gold": {decoding: mean_of(method.scores(decoding), prompts).as_dict() for decoding in DECODINGS},
        "kl": mean_of(method.log_ratios(), prompts).as_dict(),
        "words": float(words.mean()),
    }


def of_sft(method: Method) -> dict[str, Any]:
    """Gold of the SFT model, as it was compared with any method."""
    prompts = prompts_in(method)
    return {decoding: mean_of(method.scores(decoding, side="sft_score"), prompts).as_dict() for decoding in DECODINGS}


# --- two methods --------------------------------------------------------------------------------------------------------


def difference(one: Method, other: Method, decoding: str, criterion: str = "gold") -> dict[str, Any]:
    """Worth of one method's responses less that of another's, on common seeds; and on how many seeds it is above 0."""
    common = [seed for seed in one.seeds if seed in other.seeds]
    gaps = _of_seeds(one, common).scores(decoding, criterion) - _of_seeds(other, common).scores(decoding, criterion)
    estimate = mean_of(gaps, prompts_in(one))
    return {**estimate.as_dict(), "seeds": len(common), "seeds_above": int((gaps.mean(axis=1) > 0).sum())}


def _of_seeds(method: Method, seeds: Sequence[int]) -> Method:
    results = tuple(method.results[method.seeds.index(seed)] for seed in seeds)
    return Method(method.name, method.labels, tuple(seeds), results)


# --- the way from the reference -----------------------------------------------------------------------------------------


def way(result: Result) -> tuple[list[int | None], Floats, Floats]:
    """Update (None: the end), KL in nats (K,) and gold of samples (K, N), from the reference at KL 0 to the end."""
    last = result["judged"]["sampled"]
    between = result.get("frontier", [])
    steps = [0, *(point["step"] for point in between), None]
    kls = [0.0, *(float(np.mean(point["log_ratios"])) for point in between), float(np.mean(last["log_ratios"]))]
    gold = [last["gold"]["sft_score"], *(point["score"] for point in between), last["gold"]["score"]]
    return steps, np.array(kls), np.array(gold)


def frontier_of(method: Method) -> list[dict[str, Any]]:
    """One point per checkpoint: KL, and gold with its interval, over seeds."""
    ways = [way(result) for result in method.results]
    return [
        {
            "step": ways[0][0][k],
            "kl": float(np.mean([kls[k] for _, kls, _ in ways])),
            "gold": mean_of(np.array([gold[k] for _, _, gold in ways]), prompts_in(method)).as_dict(),
        }
        for k in range(len(ways[0][0]))
    ]


def at_kl(method: Method, kl: float) -> Floats | None:
    """(S, N): gold of samples where each seed's run first passes this KL, by interpolation; None where one never does.

    KLs are taken as measured. Their error is each seed's own, so an interval over seeds holds it; one seed's does not.
    """
    ways = [way(result) for result in method.results]
    if any(max(kls) < kl for _, kls, _ in ways):
        return None
    return np.array([rewards_at_kl(list(kls), gold, kl) for _, kls, gold in ways])


def at_equal_kl(methods: Mapping[str, Method]) -> dict[str, dict[str, Any]]:
    """By KL level: gold of every method that comes so far on every seed."""
    found: dict[str, dict[str, Any]] = {}
    for level in KL_LEVELS:
        reached = {name: at_kl(method, level) for name, method in methods.items()}
        found[f"{level:g}"] = {
            name: mean_of(gold, prompts_in(methods[name])).as_dict() for name, gold in reached.items() if gold is not None
        }
    return found


def gap_at_kl(one: Method, other: Method, kl: float) -> dict[str, Any] | None:
    """Gold of one less that of the other at a KL that both reach on every seed; None where they do not."""
    ours, theirs = at_kl(one, kl), at_kl(other, kl)
    if ours is None or theirs is None or one.seeds != other.seeds:
        return None
    return mean_of(ours - theirs, prompts_in(one)).as_dict()


# --- classification -----------------------------------------------------------------------------------------------------


def classification(method: Method, kind: str, beta: float) -> dict[str, Any]:
    """How well β·h tells the truly better side: accuracy with ties, AUC; Brier score of s(βh) against the true p."""
    margins = [result["margins"][kind] for result in method.results]
    h = np.concatenate([record["h"] for record in margins])
    p = np.concatenate([record["p"] for record in margins])
    # the file holds the better side first: half of the pairs are turned round, else AUC has nothing to tell apart
    turned = np.arange(len(h)) % 2 == 1
    h, p = np.where(turned, -h, h), np.where(turned, 1 - p, p)
    lengths = [len(record["h"]) for record in margins]
    seeds = np.repeat(np.arange(len(lengths)), lengths)
    figures: dict[str, tuple[Callable[..., float], tuple[Floats, ...]]] = {
        "accuracy": (tie_aware_accuracy, (h, p)),
        "auc": (_auc, (h, p)),
        "brier": (_mean, ((expit(beta * h) - p) ** 2,)),
    }
    found = {name: _over_pairs(statistic, rows, seeds) for name, (statistic, rows) in figures.items()}
    return {"pairs": len(h), **{name: estimate.as_dict() for name, estimate in found.items()}}


def _over_pairs(statistic: Callable[..., float], rows: tuple[Floats, ...], seeds: NDArray[np.intp]) -> Estimate:
    """Every seed has pairs of its own: both are drawn."""
    pairs = np.arange(len(seeds))
    if len(set(seeds)) == 1:
        return cluster_bootstrap(statistic, *rows, clusters=pairs, resamples=RESAMPLES)
    return seed_and_cluster_bootstrap(statistic, *rows, seeds=seeds, clusters=pairs, resamples=RESAMPLES)


def _auc(h: Floats, p: Floats) -> float:
    decided = p != 0.5
    return auc(h[decided], p[decided] > 0.5)


def _mean(values: Floats) -> float:
    return float(values.mean())
