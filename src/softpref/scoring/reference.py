"""The reference model: a frozen copy with an identity, so that no run, cache or checkpoint meets the wrong one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from softpref.data.tokenization import TokenizedPair
from softpref.errors import NonFiniteError, OptionError
from softpref.scoring.adapter_tensors import adapter_is_idle, base_is_frozen, inner_prefix, split_state
from softpref.scoring.identity import model_identity
from softpref.scoring.reference_cache import ReferenceCache, pair_key
from softpref.scoring.scores import PairScores, Scorer

if TYPE_CHECKING:
    from torch import nn


class StartTensors:
    """The tensors that training will change, as they are now: frozen copies that can take their place for a while.

    With an adapter they are few. No second adapter is put into the model, so none is generated from or saved.
    """

    def __init__(self, model: nn.Module) -> None:
        adapter, prefix = split_state(model)[1], inner_prefix(model)
        self._copies = {
            name: torch.nn.Parameter(value.detach().clone(), requires_grad=False)
            for name, value in model.named_parameters(remove_duplicate=False)
            if value.requires_grad or name.removeprefix(prefix) in adapter
        }

    @contextmanager
    def in_place(self, model: nn.Module) -> Iterator[None]:
        """The model is as it was at the start in here; its own parameters, and what autograd knows of them, are kept."""
        live: list[tuple[nn.Module, str, nn.Parameter]] = []
        try:
            for name, value in self._copies.items():
                owner, _, attribute = name.rpartition(".")
                module = model.get_submodule(owner)
                live.append((module, attribute, getattr(module, attribute)))
                value.data = value.data.to(live[-1][2].device)
                setattr(module, attribute, value)
            yield
        finally:
            for module, attribute, own in live:
                setattr(module, attribute, own)


@dataclass(frozen=True)
class Reference:
    """A model that is never trained, and its identity.

    Attributes:
        state: puts the model into the state that is the reference, where it is the policy itself: its adapter switched off,
            or everything that is trained as it was at the start.
    """

    model: nn.Module
    identity: str
    state: Callable[[], AbstractContextManager[Any]] | None = None

    @torch.no_grad()
    def score(self, scorer: Scorer, pairs: Sequence[TokenizedPair]) -> PairScores:
        """These pairs under the reference, without gradients."""
        with nullcontext() if self.state is None else self.state():
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


def start_of_adapter(model: nn.Module, identity: str | None = None) -> Reference:
    """A model with an adapter, as it is now, as the reference; the model goes on as the policy.

    Where the adapter changes nothing yet and the base stays as it is, that is the model with its adapter switched off: a
    fresh LoRA. Else what is trained is kept as a copy: an adapter that is trained already, or one whose initialisation moves
    weights out of the base (PiSSA, OLoRA), so that the base alone is not where the policy starts.
    """
    identity = identity or model_identity(model)
    if starts_at_its_base(model):
        return Reference(model, identity, model.disable_adapter)  # type: ignore[arg-type]
    return Reference(model, identity, partial(StartTensors(model).in_place, model))


def starts_at_its_base(model: nn.Module) -> bool:
    """Whether the start of a policy with an adapter can be had by switching the adapter off, now and after any update."""
    return hasattr(model, "disable_adapter") and base_is_frozen(model) and adapter_is_idle(model)
