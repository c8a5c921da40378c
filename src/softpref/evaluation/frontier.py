"""Reward against KL along a run: what the way from the reference has brought, and methods compared equally far along it.

A method that moved further from the reference has had more room to gain; compared at the end of training, the beta and the
learning rate are compared too. So every checkpoint is sampled, and methods are compared where they are equally far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softpref.core.statistics import Estimate, cluster_bootstrap
from softpref.data.pairs import Text
from softpref.errors import InputError, OptionError
from softpref.evaluation.evaluate import Reward
from softpref.evaluation.over_optimisation import sample_log_ratios
from softpref.evaluation.responses import check_models, generated
from softpref.generation.sampling import Response, Sampling
from softpref.records.figures import known
from softpref.records.run import FrontierPoint, FrontierRecord
from softpref.run_folder import EVALUATIONS_FOLDER, FRONTIER_FILE, checkpoints_of

FRONTIER_FOLDER = "frontier"


def frontier(
    run: str | Path,
    reference: str | Path,
    prompts: Sequence[Text],
    sampling: Sampling,
    reward: Reward,
    evaluation: str = "sampled",
) -> FrontierRecord:
    """Reward and KL of every checkpoint of a run, sampled at temperature 1; writes ``frontier.json`` and returns it.

    Args:
        reference: the first point, at KL 0.
        evaluation: the evaluations of run and reference whose responses to these prompts serve for the run's last point
            and for the reference, where they are there; what is missing is generated.

    Raises OptionError where samples would not estimate a KL, InputError where the run kept no checkpoint.
    """
    if not sampling.temperature == sampling.top_p == 1:
        raise OptionError("a frontier needs samples at temperature 1 with top_p 1: others do not estimate a KL")
    run, reference = Path(run), Path(reference)
    models = checkpoints_of(run)
    if not models:
        raise InputError(f"{run}: holds no checkpoint, so there is no way to look at; train with save_strategy: steps")
    # the last checkpoint is the model itself
    models[max(models)] = run
    files = {step: run / FRONTIER_FOLDER / f"{step}.jsonl" for step in models} | {max(models): _responses(run, evaluation)}
    check_models([(str(reference), _responses(reference, evaluation)), *((str(models[step]), files[step]) for step in models)])
    start = generated(str(reference), prompts, sampling, _responses(reference, evaluation))
    points = [_point(0, 0.0, prompts, start, reward)]
    for step, model in models.items():
        found = generated(str(model), prompts, sampling, files[step])
        kl = float(sample_log_ratios(str(model), str(reference), prompts, found).mean())
        points.append(_point(step, kl, prompts, found, reward))
    record = FrontierRecord(reward=reward.name, points=points)
    record.write(run / FRONTIER_FILE)
    return record


def _responses(folder: Path, evaluation: str) -> Path:
    return folder / EVALUATIONS_FOLDER / evaluation / "responses.jsonl"


def _point(step: int, kl: float, prompts: Sequence[Text], responses: Sequence[Response], reward: Reward) -> FrontierPoint:
    scores = [reward.of(prompts[r.prompt], r.text) for r in responses]
    estimate = cluster_bootstrap(np.mean, scores, clusters=[r.prompt for r in responses])
    return FrontierPoint(step, kl, estimate.value, known(estimate.low), known(estimate.high), scores)


# --- at equal KL ----------------------------------------------------------------------------------------------------------


def at_equal_kl(frontiers: Mapping[str, Sequence[FrontierPoint]], clusters: Sequence[Any]) -> tuple[float, dict[str, Estimate]]:
    """Reward of every run where it is as far from the reference as the one that went least far; that KL stands first.

    ``frontiers`` holds each run's points, from the reference at KL 0 on; ``clusters`` (N,) the prompt of each response.
    """
    common = min(max(point.kl for point in points) for points in frontiers.values())
    return common, {
        name: reward_at_kl([p.kl for p in points], np.array([p.rewards for p in points]), clusters, common)
        for name, points in frontiers.items()
    }


def reward_at_kl(kls: Sequence[float], rewards: NDArray[np.float64], clusters: Sequence[Any], kl: float) -> Estimate:
    """Reward where a run passes a given KL: the mean of ``rewards_at_kl``.

    ``clusters`` (N,) is the prompt of each response; the interval is a bootstrap over prompts, the KLs taken as they are.
    """
    return cluster_bootstrap(np.mean, rewards_at_kl(kls, rewards, kl), clusters=np.asarray(clusters))


def rewards_at_kl(kls: Sequence[float], rewards: NDArray[np.float64], kl: float) -> NDArray[np.float64]:
    """Every response's reward (N,) where a run passes a given KL, by linear interpolation between its checkpoints.

    Args:
        kls: KL of each of K checkpoints, beginning with the reference itself at 0.
        rewards: (K, N) rewards of the N responses of each checkpoint, the same prompts in the same order.

    Raises ValueError where the run never came that far.
    """
    if not min(kls) <= kl <= max(kls):
        raise ValueError(f"KL {kl:.3f} lies outside what this run passed ({min(kls):.3f} to {max(kls):.3f})")
    # the first crossing: a run may come back towards its reference
    after = next(i for i, k in enumerate(kls) if k >= kl)
    share = 1.0 if after == 0 else (kl - kls[after - 1]) / (kls[after] - kls[after - 1])
    found: NDArray[np.float64] = (1 - share) * rewards[max(after - 1, 0)] + share * rewards[after]
    return found
