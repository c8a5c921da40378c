"""What the runs of one seed start from: drafts, the SFT model, its responses, a pool of pairs, and pairs to classify.

Tasks are divided once for all seeds, so that every seed's models answer the same prompts; all else is the seed's own.

STUDY/worlds/seed_1/
  sft/                    the SFT model: the start of every run, and its reference
  responses/              its responses, SPLIT_greedy.jsonl and SPLIT_sampled.jsonl
  pool.jsonl              pairs without labels
  labels/NAME.jsonl       the label sets
  classified/NAME.jsonl   pairs of held-out tasks, p being the truth
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from softpref.core import soft_labels
from softpref.data.formats import write_rows
from softpref.demo import plan_world
from softpref.demo.plan_world_judge import SCALE, gold
from softpref.demo.plan_world_model import MAX_NEW_TOKENS, sft_recipe
from softpref.evaluation.responses import generated
from softpref.generation.sampling import Response, Sampling
from softpref.research.study.settings import Training

# Like the training pairs; damaged in ways that no author damages a plan; written by the SFT model.
CLASSIFIED = ("drafts", "damaged", "own samples")
_SPLIT_SEED = 0


@dataclass(frozen=True)
class WorldFolder:
    """The files of one seed."""

    folder: Path

    @property
    def sft(self) -> Path:
        """The SFT model."""
        return self.folder / "sft"

    @property
    def pool(self) -> Path:
        """Pairs without labels."""
        return self.folder / "pool.jsonl"

    def responses(self, split: str, decoding: str) -> Path:
        """What the SFT model says."""
        return self.folder / "responses" / f"{split}_{decoding}.jsonl"

    def labels(self, name: str) -> Path:
        """One label set."""
        return self.folder / "labels" / f"{name}.jsonl"

    def classified(self, name: str) -> Path:
        """One set of pairs to classify."""
        return self.folder / "classified" / f"{name.replace(' ', '_')}.jsonl"


def world_folder(study: Path, seed: int) -> WorldFolder:
    """Where the world of a seed lies."""
    return WorldFolder(study / "worlds" / f"seed_{seed}")


@cache
def splits() -> plan_world.Splits:
    """Tasks to learn from, to choose beta by, and to report on."""
    return plan_world.split(plan_world.tasks(), np.random.default_rng(_SPLIT_SEED))


def prompts_of(split: str, training: Training) -> list[str]:
    """The prompts of ``validation`` or ``test``."""
    return [task.prompt for task in getattr(splits(), split)[: training.prompts]]


def decodings(training: Training) -> dict[str, Sampling]:
    """Greedy, and samples at temperature 1, whose log-ratios estimate the KL."""
    drawn = {"temperature": 1.0, "samples": training.samples}
    return {
        "greedy": Sampling(max_new_tokens=MAX_NEW_TOKENS, batch_size=256),
        "sampled": Sampling(**drawn, max_new_tokens=MAX_NEW_TOKENS, batch_size=512),  # type: ignore[arg-type]
    }


def make_world(study: Path, seed: int, training: Training) -> dict[str, Any]:
    """Write everything of one seed but its labels; how good the SFT model's responses are, by decoding."""
    from softpref.training.run import train

    world, train_tasks = world_folder(study, seed), splits().train
    shutil.rmtree(world.folder, ignore_errors=True)
    drafts = world.folder / "sft.jsonl"
    write_rows(drafts, plan_world.sft_rows(train_tasks, np.random.default_rng([seed, 1]), training.sft_rows))
    write_rows(world.pool, plan_world.pairs(train_tasks, np.random.default_rng([seed, 2]), training.pool))
    train(sft_recipe(world.folder / "init", drafts, world.sft, seed), on_log=lambda _: None)
    said = {split: _answers(world, split, training) for split in ("validation", "test")}
    _write_classified(world, seed, training, said["test"]["sampled"])
    return {
        decoding: float(np.mean([gold(prompts_of("test", training)[r.prompt], r.text) for r in responses]))
        for decoding, responses in said["test"].items()
    }


def _answers(world: WorldFolder, split: str, training: Training) -> dict[str, list[Response]]:
    return {
        name: generated(str(world.sft), prompts_of(split, training), sampling, world.responses(split, name))
        for name, sampling in decodings(training).items()
    }


# --- pairs to classify --------------------------------------------------------------------------------------------------


def _write_classified(world: WorldFolder, seed: int, training: Training, samples: Sequence[Response]) -> None:
    rng, tasks = np.random.default_rng([seed, 4]), splits().test
    prompts = prompts_of("test", training)
    rows = {
        "drafts": plan_world.pairs(tasks, rng, training.classified),
        "damaged": plan_world.damaged_pairs(tasks, rng, training.classified),
        "own samples": list(_pairs_of(samples, prompts))[: training.classified],
    }
    for name in CLASSIFIED:
        write_rows(world.classified(name), map(_with_truth, rows[name]))


def _pairs_of(samples: Sequence[Response], prompts: Sequence[str]) -> Iterable[dict[str, str]]:
    """The first two samples of every prompt, where they differ."""
    texts: dict[int, list[str]] = {}
    for response in samples:
        texts.setdefault(response.prompt, []).append(response.text)
    for place, (one, other, *_) in texts.items():
        if one != other:
            yield {"prompt": prompts[place], "response_1": one, "response_2": other}


def _with_truth(row: Mapping[str, str]) -> dict[str, Any]:
    first, second = (gold(row["prompt"], row[side]) for side in ("response_1", "response_2"))
    return {**row, "soft_label": float(soft_labels.from_scores(first, second, SCALE))}
