"""The log lines of TRL's ``DPOTrainer`` and of ours, on the same run with hard labels: the same names, the same numbers."""

from __future__ import annotations

import copy
import json

import pytest
import torch

trl = pytest.importorskip("trl")

from datasets import Dataset  # noqa: E402

from softpref import SoftPreferenceConfig, SoftPreferenceTrainer  # noqa: E402
from softpref.training.metrics import own_names  # noqa: E402
from softpref.training.run import MetricsFile  # noqa: E402

# TRL 1.16 itself uses transformers' old names for activation checkpointing
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

BOTH = {"rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies", "logps/chosen", "logps/rejected"}
NOT_LOGGED = {"logits/chosen", "logits/rejected", "entropy", "mean_token_accuracy"}
BETA = 0.3


@pytest.fixture
def models(tiny_llama):
    """A reference, and a policy that has moved away from it: at the start many errors would cancel. In float64."""
    torch.manual_seed(0)
    policy = copy.deepcopy(tiny_llama)
    with torch.no_grad():
        for value in policy.parameters():
            value.add_(0.3 * torch.randn_like(value))
    return policy.double(), tiny_llama.double()


@pytest.fixture
def data(rows):
    return [{name: row[name] for name in ("prompt", "chosen", "rejected")} for row in rows]


def settings(folder, **more):
    return {
        "output_dir": str(folder),
        "beta": BETA,
        "learning_rate": 1e-2,
        "per_device_train_batch_size": 4,
        "per_device_eval_batch_size": 4,
        "max_steps": 4,
        "logging_steps": 2,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "train_sampling_strategy": "sequential",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "bf16": False,
        "activation_checkpointing": False,
        **more,
    }


@pytest.mark.parametrize("loss_type", ["sigmoid", "hinge"])
def test_the_log_lines_are_trl_s(loss_type, models, data, word_tokenizer, tmp_path):
    policy, reference = models
    shared = {"train_dataset": Dataset.from_list(data), "eval_dataset": Dataset.from_list(data)}
    args = trl.DPOConfig(**settings(tmp_path / "theirs", loss_type=[loss_type]))
    theirs = trl.DPOTrainer(
        copy.deepcopy(policy),
        ref_model=copy.deepcopy(reference),
        args=args,
        processing_class=copy.deepcopy(word_tokenizer),
        **shared,
    )
    args = SoftPreferenceConfig(**settings(tmp_path / "ours", loss_type=[loss_type], label_treatment="hard"))
    ours = SoftPreferenceTrainer(policy, args, ref_model=reference, processing_class=word_tokenizer, **shared)
    for trainer in (theirs, ours):
        trainer.train()
    compared = 0
    for line, other in zip(theirs.state.log_history, ours.state.log_history, strict=True):
        prefix = "eval_" if "eval_loss" in line else ""
        if f"{prefix}loss" not in line:
            continue
        names = {f"{prefix}{name}" for name in BOTH | {"loss"}} | ({"grad_norm", "num_tokens"} if not prefix else set())
        for name in names:
            assert other[name] == pytest.approx(line[name], rel=1e-4, abs=1e-5), (name, line["step"])
        compared += len(names)
        assert {name for name in line if name.removeprefix(prefix) in NOT_LOGGED} & other.keys() == set()
        # nothing that TRL logs is missing but what the page says
        assert line.keys() - other.keys() <= {f"{prefix}{name}" for name in NOT_LOGGED} | {"eval_num_tokens"}
    assert compared == 2 * 9 + 2 * 7


def test_rewards_are_of_sums_whatever_the_reduction(models, data, word_tokenizer, tmp_path):
    """beta · (log π − log π_ref) of sums; our own margin is of means under ``reduction="mean"``."""
    policy, reference = models
    more = {"loss_type": "ipo", "label_treatment": "hard", "reduction": "mean", "max_steps": 1, "logging_steps": 1}
    args = SoftPreferenceConfig(**settings(tmp_path, **more))
    trainer = SoftPreferenceTrainer(policy, args, data, data, word_tokenizer, ref_model=reference)
    logps = trainer.predict(data).predictions
    metrics = trainer.evaluate()
    reward = BETA * (logps.chosen_logps - logps.ref_chosen_logps)
    assert metrics["eval_rewards/chosen"] == pytest.approx(reward.mean(), rel=1e-4)
    assert metrics["eval_logps/rejected"] == pytest.approx(logps.rejected_logps.mean(), rel=1e-5)
    assert metrics["eval_margin"] != pytest.approx(metrics["eval_rewards/margins"] / BETA, rel=0.05)


def test_sft_has_no_rewards(tiny_llama, data, word_tokenizer, tmp_path):
    more = {"loss_type": "sft", "beta": None, "eval_strategy": "no", "eval_steps": None}
    args = SoftPreferenceConfig(**settings(tmp_path, **more))
    trainer = SoftPreferenceTrainer(tiny_llama, args, data, processing_class=word_tokenizer)
    trainer.train()
    line = trainer.state.log_history[0]
    assert {name for name in line if "/" in name} == {"logps/chosen"}


def test_the_metrics_file_has_our_names_alone(tiny_llama, data, word_tokenizer, tmp_path):
    more = {"loss_type": "dpo", "label_treatment": "hard"}
    file = tmp_path / "metrics.jsonl"
    args = SoftPreferenceConfig(**settings(tmp_path, **more))
    trainer = SoftPreferenceTrainer(tiny_llama, args, data, data, processing_class=word_tokenizer, callbacks=[MetricsFile(file)])
    trainer.train()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [own_names(line) for line in lines] == lines
    assert {"margin", "accuracy"} <= lines[0].keys()
    assert {"eval_margin"} <= lines[1].keys()
    assert any("rewards/margins" in line for line in trainer.state.log_history)
