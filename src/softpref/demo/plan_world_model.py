"""The small language model of PlanWorld and how it is trained: what the demo and the study have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from softpref.demo import plan_world
from softpref.demo.small_model import save, small_llama, word_tokenizer
from softpref.training.recipe import TrainRecipe

# The longest best plan has 48 tokens.
MAX_NEW_TOKENS = 90


def sft_recipe(init: Path, drafts: Path, output: Path, seed: int) -> TrainRecipe:
    """One epoch over ``drafts`` from random weights, which are written to ``init``."""
    tokenizer = word_tokenizer(plan_world.vocabulary())
    save(small_llama(tokenizer, hidden=128, layers=3, heads=4, context=128, seed=seed), tokenizer, init)
    settings: dict[str, Any] = {
        "per_device_train_batch_size": 16,
        "num_train_epochs": 1,
        "learning_rate": 3e-3,
        "warmup_steps": 20,
        "adam_beta2": 0.98,
        "weight_decay": 0.01,
        "save_strategy": "no",
        "logging_steps": 25,
    }
    return TrainRecipe(str(init), str(drafts), str(output), loss_type="sft", seed=seed, train=settings)


def preference_settings(updates: int, per_update: int, learning_rate: float, checkpoints: int) -> dict[str, Any]:
    """``TrainingArguments`` of a preference run with evenly spaced checkpoints, or without any."""
    kept = {"save_strategy": "steps", "save_steps": updates // checkpoints} if checkpoints else {"save_strategy": "no"}
    return {
        "per_device_train_batch_size": per_update,
        "max_steps": updates,
        "learning_rate": learning_rate,
        "warmup_steps": 5,
        "lr_scheduler_type": "constant_with_warmup",
        "logging_steps": 5,
        "save_only_model": True,
        **kept,
    }
