"""How often the 95% interval over seeds and prompts covers the truth: the table in docs/evaluation.md."""

from __future__ import annotations

import numpy as np

from softpref.core.statistics import seed_and_cluster_bootstrap

PROMPTS, DATA_SETS, NOISE = 40, 300, 0.5


def coverage(seeds: int, seed_sd: float) -> float:
    """Share of data sets whose interval holds the mean 0. Every seed meets every prompt; prompts have s.d. 1."""
    rng = np.random.default_rng([seeds, round(100 * seed_sd)])
    hits = 0
    for run in range(DATA_SETS):
        effects = rng.normal(0, seed_sd, seeds)[:, None] + rng.normal(0, 1, PROMPTS)[None]
        rows = effects + rng.normal(0, NOISE, (seeds, PROMPTS))
        names = {"seeds": np.repeat(range(seeds), PROMPTS), "clusters": np.tile(range(PROMPTS), seeds)}
        found = seed_and_cluster_bootstrap(np.mean, rows.ravel(), **names, resamples=400, seed=run)
        hits += found.low <= 0 <= found.high
    return hits / DATA_SETS


if __name__ == "__main__":
    for seeds in (2, 3, 5, 10):
        print(f"| {seeds} | {' | '.join(f'{coverage(seeds, sd):.2f}' for sd in (0.0, 0.1, 0.3))} |")
