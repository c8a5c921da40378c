"""A reward model trained on soft labels: its loss by hand, what it learns, and that it can then label an online run."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import LlamaConfig, LlamaForSequenceClassification, TrainingArguments

from softpref import OnlineOptions, OnlineSoftPreferenceTrainer, SoftPreferenceConfig
from softpref.errors import DataError, InputError, OptionError
from softpref.judges.base import Question
from softpref.judges.reward_model import RewardModelJudge
from softpref.training.reward_model import RewardModelTrainer


@pytest.fixture
def classifier(word_tokenizer):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(word_tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=64,
        num_labels=1,
        pad_token_id=word_tokenizer.pad_token_id,
    )
    return LlamaForSequenceClassification(config)


def arguments(tmp_path, **settings):
    usual = {
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "logging_steps": 1,
        "learning_rate": 1e-2,
        "per_device_train_batch_size": 8,
        "max_steps": 1,
    }
    return TrainingArguments(output_dir=str(tmp_path), use_cpu=True, **{**usual, **settings})


def test_the_loss_is_the_cross_entropy_of_the_scores(classifier, word_tokenizer, rows, tmp_path):
    """Σ w(−p·log s(d) − (1 − p)·log s(−d)) / Σ w, d from the judge that scores one by one."""
    judge = RewardModelJudge(classifier, word_tokenizer, "x", scale=1.0, batch_size=1)

    def score(prompt, response):
        ids = torch.tensor([judge.encoded(prompt, response)["input_ids"]])
        return float(classifier(input_ids=ids).logits[0, 0].detach())

    total = 0.0
    for row in rows:
        d = score(row["prompt"], row["chosen"]) - score(row["prompt"], row["rejected"])
        p = row["soft_label"]
        total += row["weight"] * (p * math.log1p(math.exp(-d)) + (1 - p) * math.log1p(math.exp(d)))
    trainer = RewardModelTrainer(classifier, arguments(tmp_path), rows, word_tokenizer)
    trainer.train()
    assert trainer.state.log_history[0]["loss"] == pytest.approx(total / sum(row["weight"] for row in rows), rel=1e-4)


def test_scores_become_log_odds(classifier, word_tokenizer, tmp_path):
    """One pair at p = 0.8 has its minimum where the difference of the scores is log 4, so the judge at scale 1 says 0.8."""
    row = {"prompt": "make tea : ", "chosen": "boil", "rejected": "wait", "soft_label": 0.8}
    RewardModelTrainer(classifier, arguments(tmp_path, max_steps=150), [row], word_tokenizer).train()
    judge = RewardModelJudge(classifier, word_tokenizer, "x", scale=1.0)
    [answer] = judge.answer([Question("make tea : ", "boil", "wait")])
    assert answer.p_first == pytest.approx(0.8, abs=0.01)


def test_it_labels_an_online_run(classifier, word_tokenizer, tiny_llama, tmp_path):
    """The label that is learned from is P(the preferred one), as it was answered; both orders say the same."""
    answered = []

    class Recorded(RewardModelJudge):
        def answer(self, questions):
            for answer in super().answer(questions):
                answered.append(answer.p_first)
                yield answer

    judge = Recorded(classifier, word_tokenizer, "ours", scale=1.0)
    settings = SoftPreferenceConfig(
        output_dir=str(tmp_path),
        per_device_train_batch_size=2,
        max_steps=1,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        logging_steps=1,
    )
    trainer = OnlineSoftPreferenceTrainer(
        tiny_llama,
        settings,
        online=OnlineOptions(labels="judge", max_new_tokens=6),
        judge=judge,
        train_dataset=["make tea :", "make tea for two :"],
        processing_class=word_tokenizer,
    )
    trainer.train()
    labels = [max(p, 1 - p) for p in answered]
    assert len(labels) == 4
    assert trainer.state.log_history[0]["soft_label"] == pytest.approx(sum(labels) / 4, rel=1e-5)


def test_what_cannot_be_trained_on_is_refused(classifier, word_tokenizer, rows, tmp_path):
    bare = [{key: value for key, value in row.items() if key != "soft_label"} for row in rows]
    with pytest.raises(DataError, match="soft_label: is missing"):
        RewardModelTrainer(classifier, arguments(tmp_path), bare, word_tokenizer)
    with pytest.raises(OptionError, match="eval_strategy"):
        RewardModelTrainer(classifier, arguments(tmp_path, eval_strategy="steps", eval_steps=1), rows, word_tokenizer)
    classifier.config.pad_token_id = None
    with pytest.raises(InputError, match="no pad_token_id"):
        RewardModelTrainer(classifier, arguments(tmp_path), rows, word_tokenizer)
