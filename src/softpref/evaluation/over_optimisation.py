"""How far a policy has moved from its reference, and what the way has brought."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softpref.core.statistics import Estimate, cluster_bootstrap
from softpref.data.pairs import Text
from softpref.data.tokenization import PromptEncoder
from softpref.generation.sampling import Response
from softpref.scoring.models import load_model, load_tokenizer
from softpref.scoring.plain import response_logps

BATCH = 64


def sample_log_ratios(
    model: str, reference: str, prompts: Sequence[Text], responses: Sequence[Response]
) -> NDArray[np.float64]:
    """log π(y|x) − log π_ref(y|x) of each response, (N,) in nats; ``responses`` point into ``prompts``.

    Their mean over samples of the model at temperature 1 estimates KL(π ‖ π_ref) without bias; at any other temperature it
    does not.
    """
    import torch

    encoder = PromptEncoder(load_tokenizer(model))
    ids = [(encoder.prompt(prompts[r.prompt]), r.tokens) for r in responses]
    found = []
    for name in (model, reference):
        scorer = load_model(name).eval()
        with torch.no_grad():
            batches = [response_logps(scorer, ids[i : i + BATCH])[0] for i in range(0, len(ids), BATCH)]
        found.append(torch.cat(batches).double().numpy())
    ratios: NDArray[np.float64] = found[0] - found[1]
    return ratios


def reward_at_kl(kls: Sequence[float], rewards: NDArray[np.float64], clusters: Sequence[Any], kl: float) -> Estimate:
    """Reward where a run passes a given KL, by linear interpolation between its checkpoints.

    Args:
        kls: KL of each of K checkpoints, beginning with the reference itself at 0.
        rewards: (K, N) rewards of the N responses of each checkpoint, the same prompts in the same order.
        clusters: (N,) the prompt of each response; the interval is a bootstrap over prompts, the KLs taken as they are.

    Raises ValueError where the run never came that far.
    """
    if not min(kls) <= kl <= max(kls):
        raise ValueError(f"KL {kl:.3f} lies outside what this run passed ({min(kls):.3f} to {max(kls):.3f})")
    # the first crossing: a run may come back towards its reference
    after = next(i for i, k in enumerate(kls) if k >= kl)
    if after == 0:
        return cluster_bootstrap(np.mean, rewards[0], clusters=np.asarray(clusters))
    share = (kl - kls[after - 1]) / (kls[after] - kls[after - 1])
    between = (1 - share) * rewards[after - 1] + share * rewards[after]
    return cluster_bootstrap(np.mean, between, clusters=np.asarray(clusters))
