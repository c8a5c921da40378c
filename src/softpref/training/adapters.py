"""The policy's adapter before training: put on, checked to be one that can be trained and saved, its dropout off."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from transformers import set_seed

from softpref.errors import OptionError
from softpref.scoring.adapter_tensors import active_configs, has_adapter

if TYPE_CHECKING:
    from torch import nn

logger = logging.getLogger(__name__)


def with_adapter(model: Any, peft_config: Any, seed: int) -> Any:
    """The policy with a new adapter, or with the one that it has; its dropout is off.

    Raises OptionError for an adapter that cannot be put on.
    """
    if peft_config is not None:
        model = _new_adapter(model, peft_config, seed)
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            # bitsandbytes would repack its weights in evaluation mode, for a kernel without gradients, and train on that
            module.support_avx512bf16_for_cpu = False
    _dropout_off(model)
    return model


def _new_adapter(model: Any, peft_config: Any, seed: int) -> Any:
    from peft import get_peft_model, prepare_model_for_kbit_training

    if has_adapter(model):
        raise OptionError(
            "the policy has an adapter already, and peft_config is a second one: leave peft_config out to go on with the first, "
            "or merge it (merge_and_unload) to begin a new one"
        )
    if getattr(model, "is_quantized", False):
        # its norms and embeddings in fp32; checkpointing is the trainer's own
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    set_seed(seed)
    try:
        return get_peft_model(model, peft_config)
    except (ImportError, ValueError) as error:
        raise OptionError(f"peft: {error}") from error


def check_trainable(model: Any) -> None:
    """Raises OptionError for a policy that can be evaluated, and not trained: frozen, merged, or without checkpoints."""
    if has_adapter(model) and not hasattr(model, "get_base_model"):
        raise OptionError(
            "the policy's adapter was loaded by transformers itself, which saves no checkpoints of it: load it with "
            "peft.PeftModel.from_pretrained(base, folder, is_trainable=True)"
        )
    if any(getattr(module, "merged", False) for module in model.modules()):
        raise OptionError("the policy's adapter is merged into its base: call unmerge_adapter() before training")
    if not any(value.requires_grad for value in model.parameters()):
        mend = (
            "load its adapter with is_trainable=True" if has_adapter(model) else "call requires_grad_(True), or give peft_config"
        )
        raise OptionError(f"no parameter of the policy is trained: {mend}")


def check_resumable(model: Any) -> None:
    """Raises OptionError for a learned prompt that a network makes: PEFT saves the prompt alone, so no run can go on exactly."""
    for encoder in getattr(model, "prompt_encoder", {}).values():
        if any(value.requires_grad and name != "embedding.weight" for name, value in encoder.named_parameters()):
            raise OptionError(
                f"checkpoints of a {type(encoder).__name__} hold the prompt that it makes and not the network that makes it, so "
                "training cannot go on from one: start anew"
            )


def _dropout_off(model: nn.Module) -> None:
    """Adapters have dropout in modules, in floats and in dicts by adapter; what ``disable_dropout`` does not reach is here."""
    rates = {
        f"{key} {value:g}"
        for config in active_configs(model).values()
        for key, value in config.to_dict().items()
        if "dropout" in key and isinstance(value, int | float) and value and not isinstance(value, bool)
    }
    if not rates:
        return
    for module in model.modules():
        _no_dropout_of(module)
    logger.warning(
        "%s is off in this run: policy and reference are compared without dropout; the saved adapter keeps its configuration",
        ", ".join(sorted(rates)),
    )


def _no_dropout_of(module: Any) -> None:
    if "dropout" in type(module).__name__.lower() and isinstance(getattr(module, "p", None), float):
        module.p = 0.0
    for name, value in vars(module).items():
        if name.endswith("dropout") and isinstance(value, dict):
            value.update(dict.fromkeys(value, 0.0))
