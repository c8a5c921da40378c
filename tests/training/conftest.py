"""Rows and settings that the training tests share."""

from __future__ import annotations

import pytest

LABELS = [0.9, 0.5, 1.0, 0.7, 0.55, 0.6, 0.8, 0.95]
WEIGHTS = [1.0, 2.0, 0.5, 1.0, 3.0, 1.0, 0.0, 1.5]


@pytest.fixture
def rows():
    """Eight pairs of unequal lengths, labels and weights."""
    ends = ["a", "b c", "c", "d a b", "yes", "no a", "pour", "serve b"]
    return [
        {
            "prompt": "make tea" + " for two" * (i % 3) + " :",
            "chosen": "boil the water . " + end,
            "rejected": "wait " + end + " ." * (i % 4),
            "soft_label": label,
            "weight": weight,
        }
        for i, (end, label, weight) in enumerate(zip(ends, LABELS, WEIGHTS, strict=True))
    ]


@pytest.fixture
def make_trainer(tiny_llama, word_tokenizer, rows, tmp_path):
    """A trainer on the tiny model: keyword arguments go to the configuration, ``data`` and ``model`` replace the usual."""
    from softpref import SoftPreferenceConfig, SoftPreferenceTrainer

    def make(data=None, model=None, eval_dataset=None, ref_model=None, peft_config=None, **settings):
        defaults = {
            "output_dir": str(tmp_path / "run"),
            "loss_type": "gdpo",
            "beta": 0.3,
            "learning_rate": 1e-2,
            "per_device_train_batch_size": 8,
            "max_steps": 1,
            "report_to": "none",
            "save_strategy": "no",
            "disable_tqdm": True,
            "logging_steps": 1,
            "lr_scheduler_type": "constant",
        }
        return SoftPreferenceTrainer(
            model if model is not None else tiny_llama,
            SoftPreferenceConfig(**{**defaults, **settings}),
            train_dataset=rows if data is None else data,
            eval_dataset=eval_dataset,
            processing_class=word_tokenizer,
            ref_model=ref_model,
            peft_config=peft_config,
        )

    return make
