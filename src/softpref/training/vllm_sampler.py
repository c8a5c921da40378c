"""Online responses through vLLM: before every update the engine is given the policy's present weights."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from softpref.data.rendering import AnyPrompt
from softpref.errors import OptionError
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

    It computes in ``autocast``'s dtype where that is on, in the policy's otherwise. ``longest`` is how many tokens a prompt and
    its response have at most; ``options`` go to ``vllm.LLM``.

    Raises OptionError for adapters and quantised models whose weights cannot be put into an engine.
    """

    def __init__(self, options: Mapping[str, Any], longest: int) -> None:
        self._options = {"gpu_memory_utilization": MEMORY_SHARE, "max_model_len": longest, **options}
        self._engine: VllmEngine | None = None
        self._config_folder: TemporaryDirectory[str] | None = None

    def __call__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[AnyPrompt],
        sampling: Sampling,
    ) -> Iterator[list[Response]]:
        """Responses of ``model`` as it is now."""
        import torch

        kind = model.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else model.dtype
        with torch.autocast(kind, enabled=False):
            engine = self._engine or self._started(model, dtype)
            engine.put(policy_weights(model))
            batches = list(engine.responses(tokenizer, model.generation_config, prompts, sampling))
        yield from batches

    def close(self) -> None:
        """End the engine, if one was started; the next call starts another."""
        if self._engine is not None and self._config_folder is not None:
            self._engine.close()
            self._config_folder.cleanup()
        self._engine = self._config_folder = None

    def _started(self, model: PreTrainedModel, dtype: torch.dtype) -> VllmEngine:
        from softpref.generation.vllm_engine import VllmEngine

        refuse_what_cannot_be_put(model)
        plain: Any = model.get_base_model() if hasattr(model, "get_base_model") else model
        config = copy.deepcopy(plain.config)
        config.architectures = [type(plain).__name__]
        # an adapter may be on one of the two, and what shares one memory would take the last that is put in
        config.tie_word_embeddings = config.get_text_config().tie_word_embeddings = False
        self._config_folder = TemporaryDirectory(prefix="softpref-vllm-")
        config.save_pretrained(self._config_folder.name)
        # no file holds the weights: they are put in before the first request
        loaded = {"model": self._config_folder.name, "load_format": "dummy", "dtype": str(dtype).removeprefix("torch.")}
        self._engine = VllmEngine(loaded, self._options, this_process=True)
        return self._engine


def refuse_what_cannot_be_put(model: Any) -> None:
    """Raises OptionError for a quantised model, and for any adapter but one LoRA adapter on whole modules."""
    if getattr(model, "is_quantized", False):
        raise OptionError("online.engine vllm does not work with a quantised model: leave it out")
    adapters = getattr(model, "peft_config", None) or {}
    for config in adapters.values():
        odd = [name for name in ("trainable_token_indices", "target_parameters") if getattr(config, name, None)]
        kind = str(getattr(config.peft_type, "value", config.peft_type))
        if len(adapters) > 1 or kind != "LORA" or odd:
            what = "several adapters" if len(adapters) > 1 else " and ".join([kind.lower(), *odd])
            raise OptionError(f"online.engine vllm works with one LoRA adapter on modules, not with {what}: leave it out")


def policy_weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Weights and buffers of the policy by their names in memory, which are those of its files but for fused experts; what an
    adapter changes as a copy with the adapter merged, layer by layer.

    The policy itself is left as it is, to the last bit.
    """  # noqa: D205
    prefix = "base_model.model." if hasattr(model, "get_base_model") else ""
    adapters = {name: module for name, module in model.named_modules() if _is_adapter(module)}
    merged: dict[str, Tensor] = {}
    for name, weight in model.state_dict().items():
        owner, _, part = name.partition(".base_layer.")
        if owner in adapters and part:
            merged = merged or _merged(adapters[owner])
            yield f"{owner.removeprefix(prefix)}.{part}", merged.pop(part)
        elif _UNTRAINED not in name and not any(name.startswith(f"{adapter}.") for adapter in adapters):
            yield _TRAINED_WHOLE.sub("", name.removeprefix(prefix)), weight.detach()


def _is_adapter(module: nn.Module) -> bool:
    return hasattr(module, "get_base_layer") and hasattr(module, "merge") and hasattr(module, "unmerge")


def _merged(module: Any) -> dict[str, Tensor]:
    """The layer's weights with its adapter in them. Subtracting it again would leave rounding in the base: it is put back."""
    base = module.get_base_layer()
    before = {name: value.clone() for name, value in base.state_dict().items()}
    module.merge()
    merged = {name: value.clone() for name, value in base.state_dict().items()}
    module.unmerge()
    for name, value in base.state_dict().items():
        value.copy_(before[name])
    return merged
