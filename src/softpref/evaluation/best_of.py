"""Best of n: the plain baseline that every trained policy must beat. Of n samples, the one that the judge likes best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from softpref.data.pairs import Text
from softpref.errors import OptionError
from softpref.evaluation.responses import generated
from softpref.generation.sampling import Sampling
from softpref.judges.base import Comparison, Judge
from softpref.judges.both_orders import judge_comparisons
from softpref.judges.store import JudgementStore
from softpref.run_folder import JUDGEMENTS_FILE


def best_of(model: str, prompts: Sequence[Text], judge: Judge, sampling: Sampling, folder: Path) -> list[str]:
    """For each prompt, the favourite of ``sampling.samples`` responses of the model; ``folder`` keeps what was made.

    Raises OptionError where there is one sample, and so no choice.
    """
    n = sampling.samples
    if n < 2:
        raise OptionError("best of n needs at least 2 samples per prompt")
    found = generated(model, prompts, sampling, folder / "candidates.jsonl")
    groups = [[r.text for r in found[i * n : (i + 1) * n]] for i in range(len(prompts))]
    return [group[i] for group, i in zip(groups, favourites(prompts, groups, judge, folder), strict=True)]


def favourites(prompts: Sequence[Text], groups: Sequence[Sequence[Text]], judge: Judge, folder: Path) -> list[int]:
    """Place of the candidate with the highest mean p against the others of its group; every two meet in both orders."""
    duels = [(g, i, j) for g, group in enumerate(groups) for i in range(len(group)) for j in range(i + 1, len(group))]
    comparisons = [Comparison(f"{g}-{i}-{j}", prompts[g], groups[g][i], groups[g][j]) for g, i, j in duels]
    with JudgementStore(folder / JUDGEMENTS_FILE) as store:
        judged = judge_comparisons(judge, comparisons, store)
    wins = np.zeros((len(groups), max(map(len, groups))))
    for (g, i, j), judgement in zip(duels, judged, strict=True):
        if judgement.p is not None:
            wins[g, i] += judgement.p - 0.5
            wins[g, j] -= judgement.p - 0.5
    return [int(i) for i in wins.argmax(axis=1)]


def best_of_kl_bound(n: int) -> float:
    """``log n − (n − 1)/n`` nats: best of n is no further than this from the model it draws from (Beirami et al. 2024)."""
    return math.log(n) - (n - 1) / n
