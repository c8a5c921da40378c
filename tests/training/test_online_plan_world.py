"""Online training in PlanWorld, at a size of seconds: gold rises within a few updates with the simulated judge."""

from __future__ import annotations

import pytest

from softpref import OnlineOptions, OnlineSoftPreferenceTrainer, SoftPreferenceConfig, SoftPreferenceTrainer
from softpref.demo import plan_world
from softpref.demo.plan_world_judge import plan_world_judge
from softpref.demo.small_model import small_llama, word_tokenizer
from softpref.run_folder import read_lines

TASKS = plan_world.tasks()[:2]


@pytest.fixture(scope="module")
def imitator(tmp_path_factory):
    """A model of about 20,000 parameters that has learned what careless and careful authors write for two tasks."""
    import numpy as np

    tokenizer = word_tokenizer(plan_world.vocabulary())
    model = small_llama(tokenizer, hidden=32, layers=1, heads=2, context=96)
    settings = SoftPreferenceConfig(
        output_dir=str(tmp_path_factory.mktemp("sft")),
        loss_type="sft",
        learning_rate=2e-2,
        max_steps=300,
        per_device_train_batch_size=16,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        adam_beta2=0.98,
    )
    rows = plan_world.sft_rows(TASKS, np.random.default_rng(0), 256)
    SoftPreferenceTrainer(model, settings, train_dataset=rows, processing_class=tokenizer).train()
    return model, tokenizer


def test_gold_rises(imitator, tmp_path):
    """Mean gold of what is drawn in the last five updates of 25 against the first five: 160 samples each, so that a difference
    of 0.06 is about three standard errors."""
    model, tokenizer = imitator
    settings = SoftPreferenceConfig(
        output_dir=str(tmp_path),
        loss_type="gdpo",
        beta=0.3,
        learning_rate=1e-3,
        max_steps=25,
        report_to="none",
        per_device_train_batch_size=16,
        save_strategy="no",
        disable_tqdm=True,
        lr_scheduler_type="constant",
    )
    trainer = OnlineSoftPreferenceTrainer(
        model,
        settings,
        online=OnlineOptions(labels="judge", max_new_tokens=50),
        judge=plan_world_judge(),
        train_dataset=[task.prompt for task in TASKS] * 8,
        processing_class=tokenizer,
    )
    trainer.train()
    gold = [
        (line["step"], plan_world.gold(line["prompt"], one["text"]))
        for line in read_lines(trainer.record.responses_file)
        for one in line["responses"]
    ]
    first = [score for step, score in gold if step < 5]
    last = [score for step, score in gold if step >= 20]
    assert len(first) == len(last) == 160
    assert sum(last) / 160 > sum(first) / 160 + 0.06
