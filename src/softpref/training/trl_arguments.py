"""What becomes of the arguments of ``trl.DPOConfig`` and ``trl.DPOTrainer``: taken with TRL's meaning, or refused.

A refusal says what to write instead. ``docs/trl.md`` lists every one; a test holds page, tables and behaviour together.
An argument that TRL has and softpref lacks is accepted at the values under which it does nothing, so that a script that
writes them out keeps working. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from softpref.errors import OptionError, nearest


@dataclass(frozen=True)
class Refusal:
    """An argument without a counterpart: the values under which it does nothing, and what to write instead of others."""

    write: str
    harmless: tuple[Any, ...] = (None,)


_SET_ON_THE_MODEL = "set output_router_logits to True and router_aux_loss_coef in model.config before the model is given"
_LENGTHS = "max_length bounds prompt + response; give that"
_STRATEGY = "rows of like length are already computed together within an update (max_tokens_per_batch); leave it out"
_TR_DPO = "the reference does not move here; leave it out"

REFUSED: Mapping[str, Refusal] = {
    # fields of trl.DPOConfig
    "model_init_kwargs": Refusal("load the model with them (from_pretrained) and give the model", (None, {}, "{}")),
    "trust_remote_code": Refusal("code of a model repository is not run here; leave it out", (False, None)),
    "router_aux_loss_coef": Refusal(_SET_ON_THE_MODEL),
    "disable_dropout": Refusal("policy and reference are compared without dropout, always; leave it out", (True,)),
    "dataset_num_proc": Refusal("tokens are cached on disk and made in one process; leave it out", (None, 1)),
    "padding_free": Refusal("rows are computed without padding already (prefix_sharing); leave it out", (False, None)),
    "pad_to_multiple_of": Refusal("rows are not padded; leave it out", (None, "auto", 1)),
    "precompute_ref_batch_size": Refusal("write max_tokens_per_batch: tokens computed at a time"),
    "ld_alpha": Refusal("write reduction='mean' against long responses, or leave it out", (None, 1, 1.0)),
    "label_smoothing": Refusal(
        "give every row soft_label 1 − label_smoothing and write loss_type='cdpo' for conservative DPO, or 'gdpo'", (0, 0.0, None)
    ),
    "use_weighting": Refusal("write policy_weighting=True, WPO with the tokens' own probabilities as weights", (False, None)),
    "activation_offloading": Refusal("write activation_checkpointing=True", (False, None)),
    "sync_ref_model": Refusal(_TR_DPO, (False, None)),
    "ref_model_mixup_alpha": Refusal(_TR_DPO, (0.6, None)),
    "ref_model_sync_steps": Refusal(_TR_DPO, (512, None)),
    "pad_token": Refusal("set tokenizer.pad_token and give the tokenizer as processing_class"),
    # fields of transformers.TrainingArguments that would have nothing to act on
    "remove_unused_columns": Refusal("an unread column that looks like a label is an error; leave it out", (False,)),
    "label_smoothing_factor": Refusal("soft labels say per pair how sure they are; leave it out", (0, 0.0)),
    "include_num_input_tokens_seen": Refusal("num_tokens and tokens_per_second are logged; leave it out", ("no", False)),
    "neftune_noise_alpha": Refusal("policy and reference are compared without noise; leave it out"),
    "use_liger_kernel": Refusal("it would patch the policy and not its reference; leave it out", (False,)),
    "liger_kernel_config": Refusal("it would patch the policy and not its reference; leave it out"),
    "batch_eval_metrics": Refusal("compute_metrics is called once, with all pairs; leave it out", (False,)),
    "include_for_metrics": Refusal("compute_metrics gets log-probs and labels of every pair; leave it out", (None, [], ())),
    "eval_accumulation_steps": Refusal("no logits are kept; leave it out"),
    "eval_do_concat_batches": Refusal("compute_metrics is called once, with all pairs; leave it out", (True,)),
    "label_names": Refusal("labels come from the column soft_label; leave it out", (None, [])),
    "length_column_name": Refusal(_STRATEGY, (None, "length")),
    "auto_find_batch_size": Refusal("memory is bounded by max_tokens_per_batch, which changes no update; leave it out", (False,)),
    "train_sampling_strategy": Refusal(_STRATEGY, ("random", "sequential")),
    # earlier names, of TRL before 1.0 and of transformers before 5
    "group_by_length": Refusal(_STRATEGY, (False, None)),
    "max_prompt_length": Refusal(_LENGTHS),
    "max_completion_length": Refusal(_LENGTHS),
    "max_target_length": Refusal(_LENGTHS),
    "ref_model_init_kwargs": Refusal("load the reference with them (from_pretrained) and give it as ref_model", (None, {})),
    "rpo_alpha": Refusal("write sft_weight, the weight of a mean over responses, where TRL had one over the tokens of a batch"),
    "generate_during_eval": Refusal("write softpref evaluate after training", (False, None)),
    "is_encoder_decoder": Refusal("only causal language models are trained; leave it out", (False, None)),
    "label_pad_token_id": Refusal("rows are not padded; leave it out", (-100, None)),
    "padding_value": Refusal("rows are not padded; leave it out"),
    "model_adapter_name": Refusal("give the policy with that adapter active"),
    "ref_adapter_name": Refusal("give the reference as ref_model"),
    "force_use_ref_model": Refusal("a given ref_model is always used; leave it out", (False, None)),
    "base_model_attribute_name": Refusal("leave it out", ("model", None)),
    "use_logits_to_keep": Refusal("only response positions meet the vocabulary already; leave it out", (False, None)),
    "use_liger_loss": Refusal("only response positions meet the vocabulary already; leave it out", (False, None)),
    "tools": Refusal("tools of a prompt belong in the rows; leave it out"),
    "evaluation_strategy": Refusal("write eval_strategy"),
    "no_cuda": Refusal("write use_cpu", (False, None)),
}

TRL_LOSSES = {
    **dict.fromkeys(("aot", "aot_unpaired"), "it sorts a batch's pairs, and a pair's loss is its own; write loss_type='dpo'"),
}

# Arguments of one of TRL's losses: here an argument of that loss, and in TRL without effect on the others at these values.
_OF_A_LOSS: Mapping[str, tuple[tuple[str, ...], str, tuple[Any, ...]]] = {
    "discopop_tau": (("discopop",), "tau", (0.05, None)),
    "label_smoothing": (("robust", "exo_pair", "exo"), "epsilon", (0, 0.0, None)),
}
# What belongs to a loss of TRL's, and goes with it where another is chosen.
OF_THE_LOSS = ("loss_weights", "discopop_tau", "f_divergence_type", "f_alpha_divergence_coef")
_DIVERGENCES = {"forward_kl": "fdpo_forward_kl", "js_divergence": "fdpo_js", "alpha_divergence": "fdpo_alpha"}

# Names under which TRL computes another thing. Its list form says that TRL's is meant.
_OTHER_MEANING = {
    "ipo": (
        "TRL's ipo divides log-probs by the response's length: write loss_type='ipo' with reduction='mean' for TRL's, or with "
        "reduction='sum' for the paper's"
    ),
    "sft": (
        "TRL's sft is a mean over the tokens of a batch and softpref's a mean over responses: write loss_type='sft' for "
        "the latter"
    ),
}

# Arguments of a trainer, in TRL or transformers; None does nothing.
TRAINER_REFUSED: Mapping[str, Refusal] = {
    "data_collator": Refusal("rows are tokenised and batched by softpref; leave it out"),
    "preprocess_logits_for_metrics": Refusal("no logits are kept: compute_metrics gets log-probs; leave it out"),
    "compute_loss_func": Refusal("choose the loss with loss_type; for one of your own see docs/losses.md"),
    "model_init": Refusal("one policy and its reference belong together: give model=model_init()"),
    "quantization_config": Refusal(
        "load the model with it, AutoModelForCausalLM.from_pretrained(name, quantization_config=…), and give the model"
    ),
    "tokenizer": Refusal("write processing_class=tokenizer"),
}


def translated(values: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """The arguments of ``SoftPreferenceConfig`` for arguments that may be those of ``trl.DPOConfig``.

    Args:
        known: the names that ``SoftPreferenceConfig`` has.

    Raises OptionError naming the argument, and what to write instead of it.
    """
    known = set(known)
    taken = {name: value for name, value in values.items() if name in known}
    for name in values.keys() - known - {"truncation_mode", *_OF_A_LOSS, "f_divergence_type", "f_alpha_divergence_coef"}:
        if name not in REFUSED:
            raise OptionError(f"{name} is no argument of SoftPreferenceConfig{nearest(name, known)}")
        refuse_without_effect(name, values[name])
    if values.get("truncation_mode") is not None:
        taken["truncation"] = _truncation(values["truncation_mode"], values.get("truncation"))
    if "loss_type" in taken:
        taken["loss_type"] = losses(taken["loss_type"], taken.get("reduction"))
    if isinstance(taken.get("loss_type", ""), str) and taken.get("loss_weights") in ([1], [1.0], (1.0,)):
        del taken["loss_weights"]
    for name in _OF_A_LOSS.keys() & values.keys():
        _into_loss_args(name, values[name], taken)
    _into_another_loss(values.get("f_divergence_type"), values.get("f_alpha_divergence_coef"), taken)
    return taken


def _into_loss_args(name: str, value: Any, taken: dict[str, Any]) -> None:
    """Changes ``taken``. Raises OptionError for a value that would have no effect."""
    losses_of, argument, harmless = _OF_A_LOSS[name]
    loss_type = taken.get("loss_type")
    if loss_type in losses_of and value is not None:
        taken["loss_args"] = {argument: value, **(taken.get("loss_args") or {})}
    elif loss_type not in losses_of and not any(type(value) is type(other) and value == other for other in harmless):
        if name == "label_smoothing":
            refuse_without_effect(name, value)
        raise OptionError(f"{name} has no effect with loss_type {loss_type!r} (it is {_shown(value)}): leave it out")


def _into_another_loss(divergence: Any, coefficient: Any, taken: dict[str, Any]) -> None:
    """TRL's f-divergence of the sigmoid loss is a loss of its own here. Changes ``taken``; raises OptionError for others."""
    if coefficient not in (0.5, None) and divergence != "alpha_divergence":
        raise OptionError(f"f_alpha_divergence_coef has no effect (it is {_shown(coefficient)}): write loss_type='fdpo_alpha'")
    if divergence in ("reverse_kl", None):
        return
    if divergence not in _DIVERGENCES:
        raise OptionError(f"f_divergence_type is {divergence!r}{nearest(str(divergence), _DIVERGENCES)}")
    if taken.get("loss_type") not in ("sigmoid", "dpo"):
        raise OptionError(
            f"f_divergence_type is {divergence!r}, which is there for loss_type 'sigmoid' alone: write "
            f"loss_type={_DIVERGENCES[divergence]!r}"
        )
    taken["loss_type"] = _DIVERGENCES[divergence]
    if divergence == "alpha_divergence" and coefficient is not None:
        taken["loss_args"] = {"alpha": coefficient, **(taken.get("loss_args") or {})}


def refuse_without_effect(name: str, value: Any) -> None:
    """Raise OptionError where ``name`` is an argument without a counterpart, at a value that would do something."""
    refusal = REFUSED[name]
    if not any(type(value) is type(other) and value == other for other in refusal.harmless):
        raise OptionError(f"{name} has no effect here (it is {_shown(value)}): {refusal.write}")


def trl_loss(args: Any) -> dict[str, Any]:
    """The loss of a ``trl.DPOConfig``, on hard labels as TRL trains it. Raises OptionError for one that is not there."""
    loss_type = args.loss_type if isinstance(args.loss_type, str) else losses(args.loss_type, "mean")
    if loss_type == "sft":
        raise OptionError(f"loss_type is ['sft']: {_OTHER_MEANING['sft']}")
    if not isinstance(loss_type, str) and "ipo" in loss_type:
        raise OptionError(f"loss_type is {loss_type}: TRL's ipo alone divides by the length; choose the losses here")
    return {"loss_type": loss_type, "label_treatment": "hard", **({"reduction": "mean"} if loss_type == "ipo" else {})}


def losses(loss_type: Any, reduction: str | None = None) -> Any:
    """A loss by name, or from TRL's list: of one, that name, and of several, the list.

    Raises OptionError for what is not there, and where TRL means another thing by a name in its list.
    """
    listed = list(loss_type) if isinstance(loss_type, list | tuple) else []
    if "sft" in listed and len(listed) > 1:
        raise OptionError(
            f"loss_type is {listed}: TRL's sft is a mean over the tokens of a batch; leave it out and write sft_weight, the "
            "weight of a mean over responses"
        )
    for name in listed:
        if name in _OTHER_MEANING and reduction is None:
            raise OptionError(f"loss_type is {listed}: {_OTHER_MEANING[name]}")
    for name in listed or [loss_type]:
        if isinstance(name, str) and name in TRL_LOSSES:
            raise OptionError(f"loss_type {name!r} is TRL's: {TRL_LOSSES[name]}")
    return listed[0] if len(listed) == 1 else listed if isinstance(loss_type, list | tuple) else loss_type


def is_dpo_config(args: Any) -> bool:
    """Whether this is a ``trl.DPOConfig``, without importing trl."""
    return any(kind.__name__ == "DPOConfig" and kind.__module__.startswith("trl.") for kind in type(args).__mro__)


def trainer_arguments(values: Mapping[str, Any], known: Iterable[str], options: Iterable[str]) -> dict[str, Any]:
    """The arguments of a trainer that are among ``known``. Raises OptionError for any other, with what to write instead.

    Args:
        options: the names of the fields of the trainer's configuration.
    """
    known = set(known)
    for name in values.keys() - known:
        if name in TRAINER_REFUSED:
            if values[name] is not None:
                raise OptionError(f"{name} is not taken by the trainer: {TRAINER_REFUSED[name].write}")
        elif name in {*options, *REFUSED, "truncation_mode"}:
            raise OptionError(f"{name} is not taken by the trainer: it belongs in args, SoftPreferenceConfig({name}=…)")
        else:
            raise OptionError(f"{name} is no argument of the trainer{nearest(name, known)}")
    return {name: value for name, value in values.items() if name in known}


def _truncation(mode: Any, truncation: str | None) -> str:
    if mode != "keep_start" or truncation == "drop":
        raise OptionError(
            f"truncation_mode is {mode!r}: write truncation='keep' to cut responses at their end (TRL's 'keep_start'), or "
            "truncation='drop' to drop and count pairs that do not fit"
        )
    return "keep"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
