"""Where the trainers stand on internals of transformers and accelerate: every overridden method, every internal that is read.

A new release that changes one of these may change what is trained without an error. So each is written down here as it was
when it was read, with transformers 5.23 and accelerate 1.10 or later, and a test compares it by name with what is installed.
A trainer overrides nothing else, and reads internals only through the functions below.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import Trainer

# Methods of ``transformers.Trainer`` that a trainer of softpref overrides, with their parameters after ``self`` upstream.
OVERRIDDEN: Mapping[str, tuple[str, ...]] = {
    "train": ("resume_from_checkpoint", "trial", "ignore_keys_for_eval"),
    "get_batch_samples": ("epoch_iterator", "num_batches", "device"),
    "training_step": ("model", "inputs", "num_items_in_batch"),
    "compute_loss": ("model", "inputs", "return_outputs", "num_items_in_batch"),
    "log": ("logs", "start_time"),
    "evaluate": ("eval_dataset", "ignore_keys", "metric_key_prefix"),
    "predict": ("test_dataset", "ignore_keys", "metric_key_prefix"),
    "evaluation_loop": ("dataloader", "description", "prediction_loss_only", "ignore_keys", "metric_key_prefix"),
    "floating_point_ops": ("inputs",),
    "_save_checkpoint": ("model", "trial"),
}

# Private methods that are called, likewise.
CALLED: Mapping[str, tuple[str, ...]] = {"_get_output_dir": ("trial",)}

# Attributes of accelerate's ``GradientState`` that are read.
READ = ("end_of_dataloader", "remainder")


def checkpoint_folder(trainer: Trainer, trial: Any) -> Path:
    """The folder that ``Trainer._save_checkpoint`` is about to write."""
    return Path(trainer._get_output_dir(trial=trial)) / f"checkpoint-{trainer.state.global_step}"  # noqa: SLF001


def own_rows(accelerator: Any, size: int) -> int:
    """How many of this rank's ``size`` rows are rows of the data set, and not repeats.

    In an epoch's last round the loader repeats rows, to give every rank as many: the first ``remainder`` of all ranks' rows, in
    the order of the ranks, are not repeats.
    """
    state = accelerator.gradient_state
    if accelerator.num_processes == 1 or not state.end_of_dataloader or state.remainder <= 0:
        return size
    return int(min(max(state.remainder - accelerator.process_index * size, 0), size))
