"""A training run as data: one YAML file, checked before anything is loaded, saved with the run, and able to rerun it.

This module imports neither torch nor transformers: the command line shows its help from here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from softpref.data.files import atomic_write
from softpref.data.read_options import ReadOptions
from softpref.training.online_options import OnlineOptions


@dataclass
class TrainRecipe:
    """Train a model on preferences with soft labels, or on completions (loss_type sft).

    Attributes:
        model: Folder or Hub name of the model to start from.
        data: JSONL or CSV file of pairs, of prompt + completion rows for sft, or of prompts where online is set.
        output_dir: Folder for the run: checkpoints, metrics, the resolved recipe and the trained model.
        eval_data: File of pairs to evaluate on during training.
        tokenizer: Folder or Hub name of the tokenizer; the model's own if not given.
        ref_model: Folder or Hub name of the reference; a frozen copy of the model if not given.
        dtype: Weights of the trained model: float32, or bfloat16 or auto (as saved), whose rounding swallows small steps.
        loss_type: dpo, ipo, ropo, slic, sft, or a published name: gdpo, cdpo, gipo, cipo, gropo, sigmoid, hinge.
        label_treatment: hard, conservative or geometric; the published name's own, or hard, if not given.
        beta: Strength of the pull to the reference; 0.1 if not given and the loss has one.
        loss_args: The base loss's own arguments, such as alpha and gamma of ropo.
        reduction: Log-probs as sum or mean over response tokens; the loss's own if not given.
        ties: Under hard, drop pairs with p = 0.5 (weight 0, counted) or keep them.
        reading: How the file becomes labelled pairs.
        max_length: Tokens of prompt and one response.
        truncation: drop pairs that do not fit (counted), or keep them cut.
        boundary: error, or drop (counted), where a prompt is no token prefix of its row.
        prefix_sharing: auto, on or off: compute each pair's prompt once, without padding, where that is exact.
        max_tokens_per_batch: Tokens computed at a time; for speed and memory only. 2048 on a CPU if not given.
        precompute_ref_log_probs: Score pairs under the reference once, before training, and keep that; if not given, where
            the run sees every pair.
        reference_cache: Folder of those scores; softpref in the user's cache folder, or $SOFTPREF_CACHE, if not given.
        reference_tolerance: Nats by which policy and reference may differ at step 0.
        seed: Seed of initial adapters, data order and everything random.
        peft: LoraConfig arguments, such as {r: 16, target_modules: all-linear}; no adapter if not given.
        train: Any field of transformers.TrainingArguments, such as {learning_rate: 1e-6, num_train_epochs: 1}.
        online: Draw two responses per prompt from the current policy, have them labelled, and train on them once.
        judge: With online.labels judge: its options as for softpref label, such as {judge: reward_model, judge_model: …}.
        resume: Go on from the last checkpoint in output_dir, if there is one.
    """

    model: str
    data: str
    output_dir: str
    eval_data: str | None = None
    tokenizer: str | None = None
    ref_model: str | None = None
    dtype: str = "float32"
    loss_type: str = "gdpo"
    label_treatment: str | None = None
    beta: float | None = None
    loss_args: dict[str, Any] = field(default_factory=dict)
    reduction: str | None = None
    ties: str | None = None
    reading: ReadOptions = field(default_factory=ReadOptions)
    max_length: int | None = 1024
    truncation: str = "drop"
    boundary: str = "error"
    prefix_sharing: str = "auto"
    max_tokens_per_batch: int | None = None
    precompute_ref_log_probs: bool | None = None
    reference_cache: str | None = None
    reference_tolerance: float = 0.01
    seed: int = 42
    peft: dict[str, Any] | None = None
    train: dict[str, Any] = field(default_factory=dict)
    online: OnlineOptions = field(default_factory=OnlineOptions)
    judge: dict[str, Any] = field(default_factory=dict)
    resume: bool = False


# Fields of a recipe with the same name and meaning in SoftPreferenceConfig.
SHARED_FIELDS = (
    "output_dir",
    "loss_type",
    "label_treatment",
    "beta",
    "loss_args",
    "reduction",
    "ties",
    "max_length",
    "truncation",
    "boundary",
    "prefix_sharing",
    "max_tokens_per_batch",
    "precompute_ref_log_probs",
    "reference_cache",
    "reference_tolerance",
    "seed",
)


def save_recipe(recipe: TrainRecipe, path: Path) -> None:
    """The resolved recipe, every field written out, as ``softpref train --config`` reads it."""
    with atomic_write(path) as file:
        values = {key: value for key, value in asdict(recipe).items() if key != "resume"}
        yaml.safe_dump(values, file, sort_keys=False, allow_unicode=True)
