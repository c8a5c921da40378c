"""A training run as data: one YAML file, checked before anything is loaded, saved with the run, and able to rerun it.

This module imports neither torch nor transformers: the command line shows its help from here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import yaml

from softpref.data.files import atomic_write
from softpref.data.read_options import ReadOptions
from softpref.training.online_options import OnlineOptions
from softpref.training.options import PreferenceOptions


@dataclass
class TrainRecipe(PreferenceOptions):
    """Train a model on preferences with soft labels, or on completions (loss_type sft).

    Attributes:
        model: Folder or Hub name of the model to start from.
        data: File of pairs, of prompt + completion rows for sft, or of prompts where online is set; several files, a folder,
            or a name on the Hub, org/name:split.
        output_dir: Folder for the run: checkpoints, metrics, the resolved recipe and the trained model.
        eval_data: Pairs to evaluate on during training, in the same forms.
        tokenizer: Folder or Hub name of the tokenizer; the model's own if not given.
        ref_model: Folder or Hub name of the reference; a frozen copy of the model if not given.
        dtype: Weights of the trained model: float32, or bfloat16 or auto (as saved), whose rounding swallows small steps.
        reading: How the file becomes labelled pairs.
        seed: Seed of initial adapters, data order and everything random.
        peft: An adapter: arguments of LoraConfig, such as {r: 16, target_modules: all-linear}, or of the config that peft_type
            names; no adapter if not given.
        quantization: Arguments of transformers.BitsAndBytesConfig, such as {load_in_4bit: true}, for QLoRA; needs an adapter.
        train: Any field of transformers.TrainingArguments, such as {learning_rate: 1e-6, num_train_epochs: 1}.
        online: Draw two responses per prompt from the current policy, have them labelled, and train on them once.
        judge: With online.labels judge: its options as for softpref label, such as {judge: reward_model, judge_model: …}.
        resume: Go on from the last checkpoint in output_dir, if there is one.
    """

    model: str
    data: list[str] | str
    output_dir: str
    eval_data: list[str] | str | None = None
    tokenizer: str | None = None
    ref_model: str | None = None
    dtype: Literal["float32", "bfloat16", "auto"] = "float32"
    reading: ReadOptions = field(default_factory=ReadOptions)
    seed: int = 42
    peft: dict[str, Any] | None = None
    quantization: dict[str, Any] | None = None
    train: dict[str, Any] = field(default_factory=dict)
    online: OnlineOptions = field(default_factory=OnlineOptions)
    judge: dict[str, Any] = field(default_factory=dict)
    resume: bool = False


# Fields of a recipe with the same name and meaning in SoftPreferenceConfig.
SHARED_FIELDS = ("output_dir", "seed", *(option.name for option in fields(PreferenceOptions)))


def save_recipe(recipe: TrainRecipe, path: Path) -> None:
    """The resolved recipe, every field written out, as ``softpref train --config`` reads it."""
    with atomic_write(path) as file:
        values = {key: value for key, value in asdict(recipe).items() if key != "resume"}
        yaml.safe_dump(values, file, sort_keys=False, allow_unicode=True)
