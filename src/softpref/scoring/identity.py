"""Who a model is: a hash of everything that decides what it computes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from softpref.scoring.adapter_tensors import adapter_is_idle, adapter_settings, split_state
from softpref.scoring.attention import causal_lm

if TYPE_CHECKING:
    from torch import Tensor, nn

# What a configuration says beside the computation: where it comes from, what a tokenizer or generation reads, what is returned.
NOT_COMPUTED = (
    "_name_or_path",
    "architectures",
    "bos_token_id",
    "chunk_size_feed_forward",
    "dtype",
    "eos_token_id",
    "id2label",
    "label2id",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    "problem_type",
    "return_dict",
    "torch_dtype",
    "transformers_version",
    "use_cache",
)


def model_identity(model: nn.Module) -> str:
    """SHA-256 over the base's weights and configuration, and over every active adapter's weights and settings.

    Weights count by name, shape, dtype and bytes; a quantised model's state and ``quantization_config`` are among them. An
    adapter that changes nothing (a fresh LoRA) adds nothing: model and base compute the same, and are one. Dropout is not
    part of it, since scoring has none. A merged model and its base with the adapter differ, as their rounding does.
    """
    base, adapter = split_state(model)
    digest = hashlib.sha256()
    _add(digest, base)
    digest.update(_as_text(computing_config(model)))
    if adapter and not adapter_is_idle(model):
        _add(digest, adapter)
        digest.update(_as_text(adapter_settings(model)))
    return digest.hexdigest()


def computing_config(model: nn.Module) -> dict[str, Any]:
    """What a model's configuration says about computing; empty for a module without one."""
    config = getattr(causal_lm(model), "config", None)
    return {} if config is None else _without_the_rest(config.to_dict())


def _without_the_rest(config: Mapping[str, Any]) -> dict[str, Any]:
    """Without those entries, in the parts too."""
    return {
        name: _without_the_rest(value) if isinstance(value, Mapping) else value
        for name, value in config.items()
        if name not in NOT_COMPUTED and "drop" not in str(name)
    }


def _add(digest: Any, tensors: Mapping[str, Tensor]) -> None:
    for name, value in sorted(tensors.items()):
        tensor = value.detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.view(torch.uint8).numpy().tobytes() if tensor.dim() else str(tensor.item()).encode())


def _as_text(settings: Mapping[str, Any]) -> bytes:
    return json.dumps(settings, sort_keys=True, default=_plain).encode()


def _plain(value: Any) -> Any:
    return sorted(value, key=str) if isinstance(value, set | frozenset) else str(value)
