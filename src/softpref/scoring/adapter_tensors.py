"""A model with adapters, taken apart: which tensors are the base's, which the adapter's, and whether it changes anything.

Written against the structure that PEFT gives a model, so that every kind of adapter is treated alike: a layer that is
adapted is a wrapper around its base layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from softpref.scoring.attention import causal_lm

if TYPE_CHECKING:
    from torch import Tensor, nn

# What an adapter's configuration says beside the computation: names, versions, and how it was initialised and is trained.
NOT_COMPUTED = (
    "auto_mapping",
    "base_model_name_or_path",
    "inference_mode",
    "init_lora_weights",
    "init_weights",
    "peft_version",
    "revision",
    "task_type",
)
IDS_AT_A_TIME = 8192
STRANGE = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)


def has_adapter(model: nn.Module) -> bool:
    """Whether PEFT has put an adapter into this model."""
    return bool(getattr(model, "peft_config", None))


def active_adapters(model: nn.Module) -> list[str]:
    """The names of the adapters that compute. PEFT and transformers say it in different ways."""
    names: Any = getattr(model, "active_adapters", None)
    names = names() if callable(names) else names
    return [names] if isinstance(names, str) else list(names or ())


def active_configs(model: nn.Module) -> dict[str, Any]:
    """The configurations of the adapters that compute, by name; empty for a model without adapters."""
    configs: dict[str, Any] = getattr(model, "peft_config", None) or {}
    return {name: configs[name] for name in active_adapters(model) if name in configs} if configs else {}


def virtual_tokens(model: nn.Module) -> int:
    """How many positions before the row's own an adapter takes (prompt tuning and its kin); 0 for all others."""
    prompts = [config for config in active_configs(model).values() if getattr(config, "is_prompt_learning", False)]
    return sum(int(getattr(config, "num_virtual_tokens", 0) or 0) for config in prompts)


def reads_the_row(model: nn.Module) -> bool:
    """Whether an adapter acts on a row as a whole: it puts virtual tokens before it, or looks in it for where to begin."""
    configs = active_configs(model).values()
    return any(
        getattr(config, "is_prompt_learning", False)
        or getattr(config, "is_adaption_prompt", False)
        or getattr(config, "alora_invocation_tokens", None)
        for config in configs
    )


def split_state(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors of a model's state: the base's by the names they have without an adapter, and the active adapters'.

    An adapter has the same names whether PEFT's own model holds it or transformers has put it in. Adapters that are not
    active are in neither.
    """
    state: dict[str, Tensor] = model.state_dict()
    if not has_adapter(model):
        return state, {}
    inner, prefix = causal_lm(model), inner_prefix(model)
    places = {f"{prefix}{wrapper}.": f"{prefix}{base}." for wrapper, base in _base_places(inner)}
    active = set(active_adapters(model))
    inactive = set(getattr(model, "peft_config", ())) - active
    base, adapter = {}, {}
    for name, value in state.items():
        wrapper = next((one for one in places if name.startswith(one)), None)
        if wrapper is None and name.startswith(prefix):
            base[name.removeprefix(prefix)] = value
        elif wrapper is not None and name.startswith(places[wrapper]):
            base[wrapper.removeprefix(prefix) + name.removeprefix(places[wrapper])] = value
        elif not inactive & set(name.split(".")):
            adapter[name.removeprefix(prefix)] = value
    return base, adapter


def inner_prefix(model: nn.Module) -> str:
    """What stands before the base's names in those of PEFT's own model; "" where transformers put the adapter in."""
    inner = causal_lm(model)
    name = next(name for name, module in model.named_modules() if module is inner)
    return f"{name}." if name else ""


def adapter_settings(model: nn.Module) -> dict[str, Any]:
    """What decides, beside its tensors, what an active adapter computes: its configuration, and every layer's scaling."""
    settings: dict[str, Any] = {
        name: {key: value for key, value in config.to_dict().items() if key not in NOT_COMPUTED and "dropout" not in key}
        for name, config in active_configs(model).items()
    }
    for place, wrapper in _wrappers(causal_lm(model)):
        scaling = getattr(wrapper, "scaling", None)
        if isinstance(scaling, dict):
            settings[f"{place}.scaling"] = {name: value for name, value in scaling.items() if name in settings}
    return settings


@torch.no_grad()
def adapter_is_idle(model: nn.Module) -> bool:
    """Whether the model computes exactly what its base does, layer by layer, as a fresh LoRA with B = 0 does.

    Every adapted layer is computed with and without its adapter, an embedding for all ids, a linear one for random input,
    which no weight but 0 leaves as it is. A layer that cannot be computed by itself counts as changed.
    """
    if not has_adapter(model):
        return True
    wrappers = list(_wrappers(causal_lm(model)))
    return bool(wrappers) and not reads_the_row(model) and all(_is_idle(wrapper) for _, wrapper in wrappers)


def base_is_frozen(model: nn.Module) -> bool:
    """Whether training leaves the base alone: no tensor of it is trained, as a ``bias`` or an unfrozen embedding would be."""
    base = {value.data_ptr() for value in split_state(model)[0].values()}
    return not any(value.requires_grad and value.data_ptr() in base for value in model.parameters())


def _wrappers(inner: nn.Module) -> Iterator[tuple[str, Any]]:
    """The adapted layers of a model, outermost first, without those within another."""
    inside: list[str] = []
    for name, module in inner.named_modules():
        is_wrapper = hasattr(module, "get_base_layer") or hasattr(type(module), "check_module")
        if name and is_wrapper and not any(name.startswith(outer) for outer in inside):
            inside.append(f"{name}.")
            yield name, module


def _base_layer(wrapper: Any) -> nn.Module:
    """What an adapted layer was before."""
    layer: Any = wrapper
    while True:
        if hasattr(layer, "get_base_layer"):
            layer = layer.get_base_layer()
        elif hasattr(type(layer), "check_module"):
            layer = layer.original_module
        else:
            return layer  # type: ignore[no-any-return]


def _base_places(inner: nn.Module) -> Iterator[tuple[str, str]]:
    """Every adapted layer's name and, in full, its base layer's."""
    for name, wrapper in _wrappers(inner):
        base = _base_layer(wrapper)
        below = wrapper.named_modules(remove_duplicate=False)
        yield name, f"{name}.{next(place for place, module in below if module is base)}"


def _is_idle(wrapper: Any) -> bool:
    if getattr(wrapper, "merged", False):
        return False
    if wrapper.disable_adapters:
        return True
    trained_whole = getattr(wrapper, "modules_to_save", None)
    base = _base_layer(wrapper)
    if trained_whole is not None:
        return all(_same_state(trained_whole[name], base) for name in wrapper.active_adapters if name in trained_whole)
    training = wrapper.training
    wrapper.eval()
    try:
        return all(torch.equal(wrapper(x), base(x)) for x in _inputs(base))
    except STRANGE:
        return False
    finally:
        wrapper.train(training)


def _same_state(first: nn.Module, second: nn.Module) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def _inputs(base: Any) -> Iterable[Tensor]:
    """What a layer is computed on to compare it: all ids of an embedding, random numbers else. Raises for what has neither."""
    weight = base.weight
    if isinstance(base, torch.nn.Embedding):
        return torch.split(torch.arange(base.num_embeddings, device=weight.device), IDS_AT_A_TIME)
    # Conv1D, GPT-2's linear layer, has its weight the other way round
    size = getattr(base, "in_features", None) or getattr(base, "nx", None) or weight.shape[-1]
    random = torch.randn(2, size, generator=torch.Generator().manual_seed(0))
    dtype = weight.dtype if weight.dtype.is_floating_point else torch.float32
    return [random.to(weight.device, dtype)]
