"""The reference model: a frozen copy with an identity, so that no run, cache or checkpoint meets the wrong one."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from softpref.data.tokenization import TokenizedPair
from softpref.errors import NonFiniteError, OptionError
from softpref.scoring.reference_cache import ReferenceCache, pair_key
from softpref.scoring.scores import PairScores, Scorer

if TYPE_CHECKING:
    from torch import Tensor, nn


def model_identity(model: nn.Module) -> str:
    """SHA-256 over names, shapes, dtypes and bytes of the weights. Adapter weights are left out: they are not the base."""
    digest = hashlib.sha256()
    for name, value in sorted(_base_state(model).items()):
        tensor = value.detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.view(torch.uint8).numpy().tobytes() if tensor.dim() else str(tensor.item()).encode())
    return digest.hexdigest()


def _base_state(model: nn.Module) -> dict[str, Tensor]:
    state: dict[str, Tensor] = model.state_dict()
    if not hasattr(model, "peft_config"):
        return state
    names = {name: name.removeprefix("base_model.model.").replace(".base_layer.", ".") for name in state}
    return {short: state[name] for name, short in names.items() if ".lora_" not in name}


@dataclass(frozen=True)
class Reference:
    """A model that is never trained, and its identity. ``adapter`` is set where it is the policy with its adapter off."""

    model: nn.Module
    identity: str
    adapter: bool = False

    @torch.no_grad()
    def score(self, scorer: Scorer, pairs: Sequence[TokenizedPair]) -> PairScores:
        """These pairs under the reference, without gradients."""
        context: AbstractContextManager[Any] = self.model.disable_adapter() if self.adapter else nullcontext()  # type: ignore[operator]
        with context:
            return scorer(self.model, pairs)


@dataclass(frozen=True, eq=False)
class CachedReference:
    """Log-probs that a reference gave before training; the model itself is gone.

    Attributes:
        scores: (chosen, rejected) in nats, by ``pair_key``.
    """

    identity: str
    scores: Mapping[str, tuple[float, float]]

    def score(self, _: Scorer, pairs: Sequence[TokenizedPair]) -> PairScores:
        """These pairs as they were scored, in fp64 on the CPU. Raises OptionError for a pair that was not."""
        found = [self.scores.get(pair_key(pair)) for pair in pairs]
        missing = [pair.row for pair, scores in zip(pairs, found, strict=True) if scores is None]
        if missing:
            raise OptionError(
                f"rows {missing[:5]} were not scored under the reference before training began; give them to the trainer as "
                "eval_dataset, or set precompute_ref_log_probs to False, which keeps the reference"
            )
        both = torch.tensor([scores for scores in found if scores is not None], dtype=torch.float64).reshape(-1, 2)
        lengths = torch.tensor([[len(pair.chosen), len(pair.rejected)] for pair in pairs]).reshape(-1, 2)
        return PairScores(both[:, 0], both[:, 1], lengths[:, 0], lengths[:, 1])


def score_once(
    reference: Reference,
    scorer: Scorer,
    batches: Sequence[Sequence[TokenizedPair]],
    cache: ReferenceCache,
    progress: Callable[[int], object] = lambda _: None,
) -> None:
    """Score pairs into the cache: each batch is on disk before the next one is computed."""
    for batch in batches:
        scores = reference.score(scorer, batch)
        both = torch.stack([scores.chosen, scores.rejected], 1)
        bad = [pair.row for pair, finite in zip(batch, both.isfinite().all(1).tolist(), strict=True) if not finite]
        if bad:
            raise NonFiniteError(f"under the reference the log-probs of rows {bad} are not finite")
        cache.add(batch, [(chosen, rejected) for chosen, rejected in both.tolist()])
        progress(len(batch))


def frozen_copy(model: nn.Module, identity: str | None = None) -> Reference:
    """A copy of the model as it is now, in evaluation mode, without gradients."""
    twin = copy.deepcopy(model).eval().requires_grad_(False)
    return Reference(twin, identity or model_identity(twin))


def frozen(model: nn.Module) -> Reference:
    """This model itself as the reference."""
    return Reference(model.eval().requires_grad_(False), model_identity(model))


def without_adapter(model: nn.Module) -> Reference:
    """A PEFT model's base as the reference: the policy itself with its adapter switched off, so no second copy."""
    return Reference(model, model_identity(model), adapter=True)


def disable_dropout(model: nn.Module) -> None:
    """Dropout off in modules and in what attention functions read from the configuration or from their module.

    A policy that drops and a reference that does not are two different models at step 0.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name in ("attention_dropout", "dropout", "attn_dropout", "hidden_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    config = getattr(model, "config", None)
    for name in [n for n in vars(config) if "drop" in n] if config is not None else []:
        if isinstance(getattr(config, name), float):
            setattr(config, name, 0.0)
