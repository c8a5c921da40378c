"""How large a study is. Whatever decides a result stands here, and from here goes into the cell that names the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from softpref.demo.paper_betas import PLAN_BETAS

# To be raised with every change to what a cell computes: cells of an older version are then computed again.
VERSION = 1

METHODS = tuple(PLAN_BETAS)
DPO_FAMILY = ("dpo", "cdpo", "gdpo")
# Of every geometric method, the hard and the conservative one that it is held against.
FAMILIES: Mapping[str, tuple[str, ...]] = {"gdpo": ("dpo", "cdpo"), "gipo": ("ipo", "cipo"), "gropo": ("ropo",)}


@dataclass(frozen=True)
class Training:
    """One world and one run in it: the demo's settings, which docs/demo.md says how they were chosen.

    ``pairs`` are drafted and labelled; for a label set that leaves pairs out, ``pool`` are, and at most ``pairs`` of what
    is left are learned from. ``samples`` are drawn for each of ``prompts`` tasks. ``checkpoints`` are points on the
    frontier. ``classified`` pairs are classified of each kind.
    """

    sft_rows: int = 10_000
    pool: int = 10_400
    pairs: int = 2_400
    updates: int = 75
    per_update: int = 32
    learning_rate: float = 1e-4
    prompts: int = 96
    samples: int = 2
    checkpoints: int = 5
    classified: int = 192


@dataclass(frozen=True)
class Size:
    """What is compared, with how many seeds. Betas are chosen on ``tuning_seeds``, which report nothing."""

    training: Training = field(default_factory=Training)
    methods: tuple[str, ...] = METHODS
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5)
    tuning_seeds: tuple[int, ...] = (201, 202)
    betas: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0)
    label_sets: tuple[str, ...] = ("plain", "skewed", "stairs")
    noise_rates: tuple[float, ...] = (0.1, 0.2, 0.3)
    # Seeds of the parts that look at the DPO family alone.
    few_seeds: tuple[int, ...] = (1, 2, 3)


SIZES: Mapping[str, Size] = {
    "small": Size(
        Training(256, 300, 64, updates=4, per_update=16, prompts=12, checkpoints=2, classified=12),
        DPO_FAMILY,
        seeds=(1, 2),
        tuning_seeds=(201,),
        betas=(0.1, 1.0),
        label_sets=("plain",),
        noise_rates=(0.3,),
        few_seeds=(1, 2),
    ),
    "default": Size(),
    "large": Size(
        seeds=tuple(range(1, 21)),
        tuning_seeds=(201, 202, 203, 204),
        betas=(0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
        few_seeds=tuple(range(1, 11)),
    ),
}
