"""The auxiliary loss of a mixture of experts, which asks its router to use all experts alike; as the model computes it.

It is E · Σ f_e · P_e over the tokens of one forward that are no padding: f_e is the share of tokens that expert e gets, P_e its
mean probability (Switch Transformer, arXiv 2101.03961, equations 4 to 6). It counts a shared prompt as often as it is
computed, so it is taken from padded rows, as TRL's is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from softpref.errors import OptionError
from softpref.scoring.attention import causal_lm

if TYPE_CHECKING:
    from torch import Tensor, nn


def asks_for_router(model: nn.Module) -> bool:
    """Whether every forward computes the router's loss, as ``output_router_logits`` of the configuration says."""
    return bool(getattr(causal_lm(model).config.get_text_config(), "output_router_logits", False))


def router_coefficient(model: nn.Module) -> float:
    """The weight of the router's loss: ``router_aux_loss_coef`` where ``output_router_logits`` asks for it, else 0."""
    config = causal_lm(model).config.get_text_config()
    return float(getattr(config, "router_aux_loss_coef", 0.0) or 0.0) if asks_for_router(model) else 0.0


class RecordedRouterLoss:
    """The router's loss of every forward with gradients since it began."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._losses: list[Tensor] = []

    def take(self, _model: nn.Module, _given: Any, made: Any) -> None:
        """A forward hook."""
        if not torch.is_grad_enabled():
            return
        loss = getattr(made, "aux_loss", None)
        if not isinstance(loss, torch.Tensor):
            raise OptionError(
                f"the configuration asks for the router's loss (output_router_logits), but {self._name} computes none: "
                "set output_router_logits to False"
            )
        self._losses.append(loss)

    def mean(self) -> Tensor:
        """Of the forwards, each with rows of one kind of rope; nearly always there is one. A scalar."""
        return torch.stack(self._losses).mean()


@contextmanager
def recorded_router_loss(model: nn.Module) -> Iterator[RecordedRouterLoss]:
    """What the model's forwards in here say of their router."""
    inner = causal_lm(model)
    recorded = RecordedRouterLoss(type(inner).__name__)
    hook = inner.register_forward_hook(recorded.take)
    try:
        yield recorded
    finally:
        hook.remove()
