"""Online responses through vLLM: before every update the engine is given the policy's present weights."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from softpref.data.pairs import Text
from softpref.generation.sampling import Response, Sampling

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from softpref.generation.vllm_engine import VllmEngine

# A layer that PEFT trains whole: the copy that is trained stands in for the original.
_TRAINED_WHOLE = re.compile(r"\.modules_to_save\.[^.]+")
_UNTRAINED = ".original_module."
# The policy, its gradients and the optimiser need the rest of the device.
MEMORY_SHARE = 0.3


class VllmSampler:
    """A ``training.on_policy.Sampler``. The engine starts with the first call, in this process, on the policy's device.

    It computes in ``autocast``'s dtype where that is on, in the policy's otherwise. ``options`` go to ``vllm.LLM``.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._engine: VllmEngine | None = None
        self._config_folder: TemporaryDirectory[str] | None = None

    def __call__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[Text],
        sampling: Sampling,
    ) -> Iterator[list[Response]]:
        """Responses of ``model`` as it is now."""
        import torch

        kind = model.device.type
        if self._engine is None:
            dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else model.dtype
            self._engine = self._started(model, dtype)
        with torch.autocast(kind, enabled=False):
            self._engine.put(policy_weights(model))
            yield from self._engine.responses(tokenizer, model.generation_config, prompts, sampling)

    def _started(self, model: PreTrainedModel, dtype: torch.dtype) -> VllmEngine:
        from softpref.generation.vllm_engine import VllmEngine

        plain: Any = model.get_base_model() if hasattr(model, "get_base_model") else model
        config = copy.deepcopy(plain.config)
        config.architectures = [type(plain).__name__]
        self._config_folder = TemporaryDirectory(prefix="softpref-vllm-")
        config.save_pretrained(self._config_folder.name)
        # no file holds the weights: they are put in before the first request
        loaded = {"model": self._config_folder.name, "load_format": "dummy", "dtype": str(dtype).removeprefix("torch.")}
        return VllmEngine(loaded, {"gpu_memory_utilization": MEMORY_SHARE, **self._options}, this_process=True)


def policy_weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every parameter by its name in the model's files; what an adapter changes as a copy with the adapter merged.

    The policy itself is left as it is, to the last bit.
    """
    adapters = tuple(name for name, module in model.named_modules() if _is_adapter(module))
    prefix = "base_model.model." if hasattr(model, "get_base_model") else ""
    for name, module in model.named_modules():
        if name in adapters:
            for part, weight in _merged(module):
                yield f"{name.removeprefix(prefix)}.{part}", weight
    for name, parameter in model.named_parameters():
        if not name.startswith(tuple(f"{adapter}." for adapter in adapters)) and _UNTRAINED not in name:
            yield _TRAINED_WHOLE.sub("", name.removeprefix(prefix)), parameter.detach()


def _is_adapter(module: nn.Module) -> bool:
    return hasattr(module, "get_base_layer") and hasattr(module, "merge") and hasattr(module, "unmerge")


def _merged(module: Any) -> list[tuple[str, Tensor]]:
    """The layer's parameters with its adapter in them. Subtracting it again would leave rounding in the base: it is put back."""
    base = module.get_base_layer()
    before = {name: parameter.detach().clone() for name, parameter in base.named_parameters()}
    module.merge()
    merged = [(name, parameter.detach().clone()) for name, parameter in base.named_parameters()]
    module.unmerge()
    for name, parameter in base.named_parameters():
        parameter.data.copy_(before[name])
    return merged
