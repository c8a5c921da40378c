"""What users give a trainer, as the trainer takes it: arguments, tokenizer, data sets. Each is taken, or refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase, TrainingArguments

from softpref.errors import OptionError
from softpref.loading.models import load_start, load_tokenizer
from softpref.training.config import SoftPreferenceConfig
from softpref.training.trl_arguments import is_dpo_config

# Arguments of transformers.Trainer that go on to it as they are.
PASSED_ON = ("compute_metrics", "callbacks", "optimizers", "optimizer_cls_and_kwargs")
OPTIONS = tuple(field.name for field in fields(SoftPreferenceConfig))


def preference_config(args: Any) -> SoftPreferenceConfig:
    """The trainer's arguments; a ``trl.DPOConfig`` is converted. Raises OptionError for anything else."""
    if isinstance(args, SoftPreferenceConfig):
        return args
    if is_dpo_config(args):
        return SoftPreferenceConfig.from_trl(args)
    if args is None:
        raise OptionError("args is not given: SoftPreferenceConfig(output_dir=…, loss_type='gdpo')")
    hint = "" if isinstance(args, TrainingArguments) else "; TRL's order is (model, ref_model, args): name the arguments"
    raise OptionError(f"args is a {type(args).__name__}: give a SoftPreferenceConfig, which has every TrainingArgument{hint}")


def online_config(args: Any) -> SoftPreferenceConfig:
    """As ``preference_config``, without ``trl.DPOConfig``: its losses would make hard labels of a judge's probabilities."""
    if is_dpo_config(args):
        raise OptionError(
            "args is a trl.DPOConfig, whose losses read only which side is better: give "
            "SoftPreferenceConfig.from_trl(args, loss_type='gdpo', truncation='drop', precompute_ref_log_probs=None)"
        )
    return preference_config(args)


def plain_arguments(args: Any) -> TrainingArguments:
    """``TrainingArguments`` of a trainer that reads nothing else. Raises OptionError where there are more, or others."""
    if not isinstance(args, TrainingArguments):
        raise OptionError(f"args is a {type(args).__name__}: give transformers.TrainingArguments")
    more = sorted({field.name for field in fields(args)} - {field.name for field in fields(TrainingArguments)})
    if more:
        raise OptionError(
            f"args is a {type(args).__name__}, of which {', '.join(more)} would have no effect: "
            "give transformers.TrainingArguments"
        )
    return args


def tokenizer_of(processing_class: Any, model: Any) -> PreTrainedTokenizerBase:
    """The tokenizer: the one given, a processor's, or that of the folder or Hub name the model came from.

    Raises OptionError where there is none, and InputError where it cannot be loaded.
    """
    if processing_class is None:
        name = model if isinstance(model, str) else getattr(getattr(model, "config", None), "_name_or_path", "")
        if not name:
            raise OptionError("give the tokenizer as processing_class: the model does not name a folder that it came from")
        return load_tokenizer(name)
    if isinstance(processing_class, PreTrainedTokenizerBase):
        return processing_class
    kind = type(processing_class).__name__
    tokenizer = getattr(processing_class, "tokenizer", None)
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise OptionError(f"processing_class is a {kind}, which has no tokenizer: give the tokenizer of the model")
    if getattr(processing_class, "chat_template", None) and not tokenizer.chat_template:
        raise OptionError(
            f"processing_class is a {kind} whose tokenizer has no chat_template of its own: set it on the tokenizer, "
            "and give that"
        )
    return tokenizer


def check_rows(dataset: Any, name: str) -> None:
    """Raise OptionError for a collection of data sets, a stream, or a path where rows are wanted."""
    kind = type(dataset).__name__
    if isinstance(dataset, Mapping):
        first = next(iter(dataset), "train")
        raise OptionError(f"{name} is a {kind} of {', '.join(map(repr, dataset))}: give one of them, such as {name}[{first!r}]")
    if any(base.__name__ == "IterableDataset" for base in type(dataset).__mro__):
        raise OptionError(
            f"{name} is an IterableDataset, and rows are read before training: give the rows you want, such as "
            "Dataset.from_list(list(stream.take(10_000)))"
        )
    if isinstance(dataset, str | Path):
        raise OptionError(f"{name} is {str(dataset)!r}, which is text: give softpref.read_pairs(path), or rows")


def loaded_policy(model: Any, ref_model: Any) -> Any:
    """The policy, loaded in float32 where it is given by name.

    Raises OptionError where there is none, or where the reference would be trained with it, and InputError where it cannot be
    loaded.
    """
    if model is None:
        raise OptionError("model is not given: give the policy, or the name or folder to load it from")
    if ref_model is model and not isinstance(model, str):
        raise OptionError("ref_model is the policy itself, which training would change: leave it out")
    return load_start(model, "float32") if isinstance(model, str) else model
