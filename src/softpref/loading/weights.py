"""A loaded model's weights: all of them from its files, all of the files used, every number finite.

transformers fills what is missing with random numbers, and ignores what it has no place for; it only logs both.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from softpref.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

SHOWN_WEIGHTS = 3
# Masks and rotary frequencies that older versions of transformers saved with the weights.
_OLD_BUFFERS = re.compile(r"\.(attn|attention|crossattention)\.(masked_)?bias$|rotary_emb\.\w+$|position_ids$|\.version$")


def check_loaded(name: str, model: PreTrainedModel, loading: Mapping[str, Any], new: Collection[str] = ()) -> None:
    """Raises ModelError for weights that are missing, of another shape, not finite, or have no place in this model's layers.

    Args:
        name: the folder or Hub name, for messages.
        loading: transformers' ``output_loading_info``; names of tied weights and of a class's own exceptions are not in it.
        new: weights that may be missing, since training starts with new ones.
    """
    kind = type(model).__name__
    expected = dict.fromkeys(model.state_dict())
    missing = sorted(set(loading["missing_keys"]) - set(new))
    if missing:
        raise ModelError(
            f"{name}: lacks {len(missing)} of the {len(expected)} weights of a {kind} ({shown(missing)}); its config and its "
            "files belong to different models, or a file is missing: restore them"
        )
    refuse_mismatched(name, loading, kind)
    surplus = unplaced(model, expected, loading["unexpected_keys"])
    if surplus:
        raise ModelError(
            f"{name}: a {kind} of its config has no place for {counted(surplus)} in its files; restore the config that was "
            "saved with them"
        )
    unused = sorted(key for key in loading["unexpected_keys"] if not _OLD_BUFFERS.search(key))
    if unused:
        logger.warning("%s: a %s does not use %s in its files", name, kind, counted(unused))
    refuse_not_finite(name, tensors_of(model))


def refuse_mismatched(name: str, loading: Mapping[str, Any], kind: str) -> None:
    """Raises ModelError for weights whose shape is not the one that the config gives."""
    mismatched = sorted(loading["mismatched_keys"])
    if mismatched:
        weights = [f"{key}: {list(saved)}, not {list(wanted)}" for key, saved, wanted in mismatched]
        raise ModelError(
            f"{name}: its config gives a {kind} another shape than its files for {counted(weights)}; restore the config that "
            "was saved with them"
        )


def unplaced(model: PreTrainedModel, expected: Collection[str], unexpected: Iterable[str]) -> list[str]:
    """Weights in the files that lie in a part which the model has: in its layers, or in a module that has weights.

    A part that the model does not have at all (a value head, another modality) changes nothing in it. What a quantised
    model keeps beside its weights is its method's own.
    """
    if getattr(model, "is_quantized", False):
        return []
    stacks = {_stack(key) for key in expected} - {None}
    modules = {key.rpartition(".")[0] for key in expected}
    extra = _extra_layers(model)
    return sorted(
        key
        for key in unexpected
        if (_stack(key) in stacks or key.rpartition(".")[0] in modules)
        and not _OLD_BUFFERS.search(key)
        and _layer(key) not in extra
    )


def _stack(key: str) -> str | None:
    """What a numbered layer is one of: ``model.layers`` for ``model.layers.3.mlp.up_proj.weight``."""
    match = re.match(r"(.*?)\.\d+\.", key)
    return match[1] if match else None


def _layer(key: str) -> int | None:
    match = re.search(r"\.(\d+)\.", key)
    return int(match[1]) if match else None


def _extra_layers(model: PreTrainedModel) -> range:
    """Layers that predict further tokens stand in some files behind the model's own."""
    config = model.config.get_text_config()
    layers, extra = getattr(config, "num_hidden_layers", None), getattr(config, "num_nextn_predict_layers", None)
    return range(layers, layers + extra) if layers and extra else range(0)


def tensors_of(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Weights and saved buffers by name; tied ones once."""
    seen = set()
    for name, tensor in model.state_dict().items():
        place = (tensor.device, tensor.data_ptr(), tensor.shape) if hasattr(tensor, "data_ptr") else None
        if place is not None and (tensor.is_meta or place not in seen):
            seen.add(place)
            yield name, tensor


def refuse_not_finite(name: str, tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Raises ModelError naming the weights that hold NaN or infinities. One pass over each tensor, without a copy."""
    bad = [key for key, tensor in tensors if not _finite(tensor)]
    if bad:
        raise ModelError(f"{name}: NaN or infinite numbers in {counted(bad)}; copy or download the model again")


def _finite(tensor: Tensor) -> bool:
    import torch

    if tensor.is_meta or not tensor.is_floating_point() or not tensor.numel():
        return True
    if tensor.element_size() == 1:  # float8 has no comparisons
        tensor = tensor.to(torch.bfloat16)
    tensor = tensor.detach()
    if torch.isfinite(tensor.sum()):
        return True
    # a sum of finite numbers may overflow
    low, high = torch.aminmax(tensor)
    return bool(torch.isfinite(low) & torch.isfinite(high))


def counted(names: Collection[str]) -> str:
    """How many weights, and the first few of their names."""
    return f"{len(names)} weight{'s' if len(names) > 1 else ''} ({shown(names)})"


def shown(names: Collection[str]) -> str:
    """The first few, and that there are more."""
    return ", ".join([*list(names)[:SHOWN_WEIGHTS], *(["…"] if len(names) > SHOWN_WEIGHTS else [])])
