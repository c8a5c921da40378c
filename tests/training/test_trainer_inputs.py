"""What users give a trainer: taken, or refused by name with what to write instead."""

from __future__ import annotations

import copy
import logging

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from datasets import Dataset, DatasetDict, IterableDataset
from transformers import LlamaConfig, LlamaForSequenceClassification, TrainerCallback, TrainingArguments

from softpref import OnlineOptions, OnlineSoftPreferenceTrainer, SoftPreferenceConfig, SoftPreferenceTrainer
from softpref.demo.small_model import save
from softpref.errors import OptionError
from softpref.scoring.plain import pair_logps
from softpref.training.predictions import PairPredictions
from softpref.training.reward_model import RewardModelTrainer
from softpref.training.trainer import rows_of

SETTINGS = {
    "loss_type": "gdpo",
    "beta": 0.3,
    "learning_rate": 1e-2,
    "per_device_train_batch_size": 8,
    "per_device_eval_batch_size": 3,
    "max_steps": 1,
    "report_to": "none",
    "save_strategy": "no",
    "disable_tqdm": True,
    "logging_steps": 1,
}


@pytest.fixture
def make(tiny_llama, word_tokenizer, rows, tmp_path):
    """A trainer; ``settings`` are the configuration's, keyword arguments the trainer's."""

    def trainer(settings=None, **arguments):
        args = SoftPreferenceConfig(output_dir=str(tmp_path / "run"), **{**SETTINGS, **(settings or {})})
        usual = {"model": tiny_llama, "args": args, "train_dataset": rows, "processing_class": word_tokenizer}
        return SoftPreferenceTrainer(**{**usual, **arguments})

    return trainer


@pytest.fixture
def folder(tiny_llama, word_tokenizer, tmp_path):
    save(tiny_llama, word_tokenizer, tmp_path / "model")
    return str(tmp_path / "model")


def perturbed(model):
    torch.manual_seed(0)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for value in twin.parameters():
            value.add_(0.2 * torch.randn_like(value))
    return twin


# -------------------------------------------------------------------------------------------------- evaluation


def test_compute_metrics_gets_the_log_probs_of_every_pair_in_order(make, tiny_llama, rows):
    """Batches of three, computed longest first: the arrays are in the order of the rows all the same."""
    policy, seen = perturbed(tiny_llama), []

    def compute_metrics(prediction):
        seen.append(prediction)
        logps, labels = prediction
        return {"mine": np.float32(labels.mean()), "eval_kept": 1, "margin_of_sums": (logps.chosen_logps - logps[1]).mean()}

    trainer = make(model=policy, ref_model=tiny_llama, eval_dataset=rows, compute_metrics=compute_metrics)
    tokens = list(trainer.eval_dataset)
    ours, theirs = pair_logps(policy, tokens), pair_logps(tiny_llama, tokens)
    metrics = trainer.evaluate()
    [prediction] = seen
    assert isinstance(prediction.predictions, PairPredictions)
    for name, values in (("chosen", ours.chosen), ("rejected", ours.rejected)):
        np.testing.assert_allclose(getattr(prediction.predictions, f"{name}_logps"), values.detach(), rtol=1e-5)
    for name, values in (("chosen", theirs.chosen), ("rejected", theirs.rejected)):
        np.testing.assert_allclose(getattr(prediction.predictions, f"ref_{name}_logps"), values.detach(), rtol=1e-5)
    labels = [row["soft_label"] for row in rows]
    np.testing.assert_allclose(prediction.label_ids, labels, rtol=1e-6)
    assert metrics["eval_mine"] == pytest.approx(sum(labels) / 8, rel=1e-6)
    assert type(metrics["eval_mine"]) is float
    assert metrics["eval_kept"] == 1
    assert metrics["eval_margin_of_sums"] == pytest.approx(float((ours.chosen - ours.rejected).detach().mean()), rel=1e-4)


def test_compute_metrics_is_called_in_training_unless_only_the_loss_is_asked_for(make, rows):
    calls = []
    arguments = {"eval_dataset": rows, "compute_metrics": lambda _: calls.append(1) or {"mine": 7}}
    trainer = make({"eval_strategy": "steps", "eval_steps": 1}, **arguments)
    trainer.train()
    assert [line["eval_mine"] for line in trainer.state.log_history if "eval_mine" in line] == [7]
    make({"prediction_loss_only": True}, **arguments).evaluate()
    assert len(calls) == 1


def test_what_is_not_scored_is_none(make, rows):
    trainer = make({"loss_type": "sft", "beta": None})
    predictions = trainer.predict(rows).predictions
    assert predictions.chosen_logps.shape == (8,)
    assert predictions[1:] == (None, None, None)


def test_predict_scores_rows_that_were_not_there_before(make, tiny_llama, rows):
    trainer = make(train_dataset=rows[:4])
    result = trainer.predict(Dataset.from_list(rows))
    expected = pair_logps(tiny_llama, list(make().train_dataset))
    np.testing.assert_allclose(result.predictions.chosen_logps, expected.chosen.detach(), rtol=1e-5)
    np.testing.assert_allclose(result.predictions.ref_chosen_logps, expected.chosen.detach(), rtol=1e-5)
    assert result.metrics["test_margin"] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("kind", [dict, DatasetDict])
def test_several_evaluation_sets_have_names(kind, make, rows):
    sets = {"short": rows[:3], "long": rows[3:]}
    if kind is DatasetDict:
        sets = DatasetDict({name: Dataset.from_list(part) for name, part in sets.items()})
    trainer = make({"eval_strategy": "steps", "eval_steps": 1}, eval_dataset=sets)
    trainer.train()
    evaluated = {name for line in trainer.state.log_history for name in line if name.startswith("eval_")}
    assert {"eval_short_loss", "eval_long_loss", "eval_short_rewards/margins", "eval_long_margin"} <= evaluated
    again = trainer.evaluate(sets)
    assert again["eval_long_loss"] == pytest.approx(trainer.evaluate("long")["eval_loss"])
    assert again["eval_long_loss"] == pytest.approx(trainer.evaluate(rows[3:])["eval_loss"])
    assert again["eval_long_loss"] != pytest.approx(again["eval_short_loss"])


# -------------------------------------------------------------------------------------------------- rows


@pytest.mark.parametrize("table", [pd.DataFrame, pa.Table.from_pylist, Dataset.from_list])
def test_tables_of_other_libraries_are_rows(make, table):
    rows = [{"prompt": "make tea :", "chosen": " boil", "rejected": " wait", "soft_label": p} for p in (0.8, 0.3)]
    trainer = make(train_dataset=table(rows), eval_dataset=table(rows))
    assert [pair.soft_label for pair in rows_of(table(rows), "train_dataset")] == [0.8, 0.7]
    assert len(trainer.train_dataset) == len(trainer.eval_dataset) == 2


def test_collections_and_streams_are_refused_by_name(make, rows):
    data = Dataset.from_list(rows)
    wrong = {
        r"train_dataset is a DatasetDict of 'train', 'test': give one of them, such as train_dataset\['train'\]": DatasetDict(
            train=data, test=data
        ),
        "train_dataset is an IterableDataset": data.to_iterable_dataset(),
        "train_dataset is 'pairs.jsonl', which is text: give softpref.read_pairs": "pairs.jsonl",
    }
    for message, given in wrong.items():
        with pytest.raises(OptionError, match=message):
            make(train_dataset=given)
    with pytest.raises(OptionError, match=r"eval_dataset\['a'\] is an IterableDataset"):
        make(eval_dataset={"a": IterableDataset.from_generator(lambda: iter(rows))})
    with pytest.raises(OptionError, match="test_dataset is a dict of 'a'"):
        make().predict({"a": rows})


def test_hard_on_soft_labels_is_said_unless_it_was_asked_for(make, caplog):
    with caplog.at_level(logging.WARNING):
        make({"loss_type": "dpo", "label_treatment": "hard"})
        make({"loss_type": "gdpo"})
    assert "soft_label" not in caplog.text
    with caplog.at_level(logging.WARNING):
        make({"loss_type": "sigmoid"})
    assert "row 1 has soft_label 0.9, but loss_type 'sigmoid' reads only which side is better" in caplog.text


# -------------------------------------------------------------------------------------------------- model and tokenizer


def test_model_and_tokenizer_from_one_folder(make, folder, word_tokenizer):
    trainer = make(model=folder, processing_class=None)
    assert trainer.processing_class.get_vocab() == word_tokenizer.get_vocab()
    assert next(trainer.model.parameters()).dtype == torch.float32
    loaded = make(model=trainer.model, processing_class=None)
    assert loaded.processing_class.get_vocab() == word_tokenizer.get_vocab()


def test_a_processor_s_tokenizer_is_taken(make, word_tokenizer):
    class Processor:
        tokenizer = word_tokenizer
        chat_template = None

    assert make(processing_class=Processor()).processing_class is word_tokenizer
    Processor.chat_template = "{{ messages }}"
    with pytest.raises(OptionError, match="Processor whose tokenizer has no chat_template of its own"):
        make(processing_class=Processor())


def test_what_has_no_tokenizer_is_refused(make, tiny_llama):
    class ImageProcessor:
        pass

    with pytest.raises(OptionError, match="processing_class is a ImageProcessor, which has no tokenizer"):
        make(processing_class=ImageProcessor())
    with pytest.raises(OptionError, match="give the tokenizer as processing_class"):
        make(processing_class=None)
    with pytest.raises(OptionError, match="model is not given"):
        make(model=None)
    with pytest.raises(OptionError, match="ref_model is the policy itself"):
        make(ref_model=tiny_llama)


# -------------------------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data_collator": list}, "data_collator is not taken by the trainer: rows are tokenised"),
        ({"preprocess_logits_for_metrics": len}, "no logits are kept"),
        ({"compute_loss_func": len}, "choose the loss with loss_type"),
        ({"model_init": len}, r"give model=model_init\(\)"),
        ({"quantization_config": {}}, "from_pretrained"),
        ({"tokenizer": 1}, "write processing_class=tokenizer"),
        ({"beta": 0.1}, r"it belongs in args, SoftPreferenceConfig\(beta=…\)"),
        ({"max_prompt_length": 8}, r"it belongs in args"),
        ({"callback": []}, "callback is no argument of the trainer; did you mean 'callbacks'"),
    ],
)
def test_other_arguments_are_refused(arguments, message, make):
    with pytest.raises(OptionError, match=message):
        make(**arguments)


def test_arguments_that_are_none_do_nothing(make):
    make(data_collator=None, model_init=None, quantization_config=None, compute_metrics=None, callbacks=None)


def test_callbacks_and_optimizers_are_used(make, tiny_llama):
    class Count(TrainerCallback):
        steps = 0

        def on_step_end(self, *_, **__):
            self.steps += 1

    count, before = Count(), copy.deepcopy(tiny_llama.state_dict())
    optimizer = torch.optim.SGD(tiny_llama.parameters(), lr=0.0)
    make({"max_steps": 2}, callbacks=[count], optimizers=(optimizer, None)).train()
    assert count.steps == 2
    assert all(torch.equal(value, before[name]) for name, value in tiny_llama.state_dict().items())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (None, "args is not given: SoftPreferenceConfig"),
        ("run", "args is a str: give a SoftPreferenceConfig.* TRL's order is"),
    ],
)
def test_args_are_a_configuration(args, message, make):
    with pytest.raises(OptionError, match=message):
        make(args=args)


def test_plain_training_arguments_are_refused(make, tmp_path):
    with pytest.raises(OptionError, match="args is a TrainingArguments: give a SoftPreferenceConfig"):
        make(args=TrainingArguments(output_dir=str(tmp_path), use_cpu=True))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_dpo_config_trains_on_hard_labels_alone(make, rows, tmp_path):
    trl = pytest.importorskip("trl")
    settings = {name: value for name, value in SETTINGS.items() if name not in ("loss_type", "per_device_eval_batch_size")}
    args = trl.DPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, gradient_checkpointing=False, **settings)
    bare = [{name: row[name] for name in ("prompt", "chosen", "rejected")} for row in rows]
    trainer = make(args=args, train_dataset=bare)
    assert (trainer.method.name, trainer.method.treatment, trainer.args.truncation) == ("dpo", "hard", "keep")
    with pytest.raises(OptionError, match=r"soft_label 0.9, and args is a trl.DPOConfig.*from_trl\(args, loss_type='gdpo'"):
        make(args=args)
    assert make(args=SoftPreferenceConfig.from_trl(args)).method.treatment == "hard"


# -------------------------------------------------------------------------------------------------- the other trainers


@pytest.fixture
def classifier(word_tokenizer):
    config = LlamaConfig(
        vocab_size=len(word_tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_labels=1,
        pad_token_id=word_tokenizer.pad_token_id,
    )
    return LlamaForSequenceClassification(config)


def test_the_caller_s_arguments_are_left_as_they_are(tiny_llama, classifier, word_tokenizer, rows, tmp_path):
    args = SoftPreferenceConfig(output_dir=str(tmp_path / "online"), **SETTINGS)
    plain = TrainingArguments(output_dir=str(tmp_path / "reward"), use_cpu=True, report_to="none")
    before, plain_before = args.to_dict(), plain.to_dict()
    online = OnlineOptions(labels="judge", max_new_tokens=4)
    OnlineSoftPreferenceTrainer(tiny_llama, args, ["make tea :"], online=online, judge=object(), processing_class=word_tokenizer)
    RewardModelTrainer(classifier, plain, rows, word_tokenizer)
    assert args.to_dict() == before
    assert args.precompute_ref_log_probs is None
    assert plain.to_dict() == plain_before


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_online_a_dpo_config_is_refused_with_what_to_write(tiny_llama, word_tokenizer, tmp_path):
    trl = pytest.importorskip("trl")
    args = trl.DPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none")
    given = {"online": OnlineOptions(labels="judge", max_new_tokens=4), "judge": object(), "processing_class": word_tokenizer}
    with pytest.raises(OptionError) as refused:
        OnlineSoftPreferenceTrainer(tiny_llama, args, ["make tea :"], **given)
    assert "SoftPreferenceConfig.from_trl(args, loss_type='gdpo', truncation='drop', precompute_ref" in str(refused.value)
    written = SoftPreferenceConfig.from_trl(args, loss_type="gdpo", truncation="drop", precompute_ref_log_probs=None)
    OnlineSoftPreferenceTrainer(tiny_llama, written, ["make tea :"], **given)


def test_online_and_judge_are_given_by_name(tiny_llama, word_tokenizer, tmp_path):
    args = SoftPreferenceConfig(output_dir=str(tmp_path), **SETTINGS)
    with pytest.raises(TypeError, match="positional arguments but 6 were given"):
        OnlineSoftPreferenceTrainer(tiny_llama, args, ["make tea :"], None, OnlineOptions(labels="self"))
    with pytest.raises(OptionError, match="data_collator is not taken"):
        OnlineSoftPreferenceTrainer(
            tiny_llama,
            args,
            ["make tea :"],
            online=OnlineOptions(labels="judge"),
            judge=object(),
            processing_class=word_tokenizer,
            data_collator=list,
        )


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_reward_model_refuses_what_it_would_ignore(classifier, word_tokenizer, rows, tmp_path):
    args = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none")
    ours = SoftPreferenceConfig(output_dir=str(tmp_path), **SETTINGS)
    with pytest.raises(OptionError, match=r"args is a SoftPreferenceConfig, of which beta, .*loss_type.* would have no effect"):
        RewardModelTrainer(classifier, ours, rows, word_tokenizer)
    for name in ("data_collator", "compute_metrics", "eval_dataset"):
        with pytest.raises(OptionError, match=name):
            RewardModelTrainer(classifier, args, rows, word_tokenizer, **{name: rows})
    with pytest.raises(OptionError, match="train_dataset is a DatasetDict"):
        RewardModelTrainer(classifier, args, DatasetDict(train=Dataset.from_list(rows)), word_tokenizer)
