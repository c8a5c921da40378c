"""What makes a model random in training mode, off: dropout, layer dropout and router jitter, under any name."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from softpref.data.tokenization import TokenizedPair
from softpref.errors import OptionError
from softpref.scoring.plain import lone_logps
from softpref.scoring.self_check import difference, tolerance
from softpref.scoring.torch_seam import DROPOUT

if TYPE_CHECKING:
    from torch import nn

DROPS = re.compile(r"drop")
JITTERS = re.compile(r"jitter")


def disable_dropout(model: nn.Module) -> None:
    """Dropout off in modules, and in what their code reads from attributes and from the configuration; routers unshaken.

    A policy that drops and a reference that does not are two different models at step 0.
    """
    for module in model.modules():
        if isinstance(module, DROPOUT):
            module.p = 0.0
        _zero(module)
        config = getattr(module, "config", None)
        if config is not None:
            _zero(config)
        # Not set to 0: some routers read their jitter in evaluation mode too, as a threshold (PhiMoE).
        if any(JITTERS.search(name) for name in vars(module)):
            module.register_forward_pre_hook(_as_in_evaluation)


def _zero(owner: Any) -> None:
    for name in [name for name, value in vars(owner).items() if DROPS.search(name) and type(value) is float]:
        setattr(owner, name, 0.0)


def _as_in_evaluation(module: nn.Module, _: Any) -> None:
    for part in module.modules():
        part.training = False


def refuse_randomness(model: nn.Module, pair: TokenizedPair) -> None:
    """Raises OptionError for a model that scores a pair otherwise when asked again, or otherwise in training mode."""
    with _mode(model, training=True):
        first, again = lone_logps(model, [pair]), lone_logps(model, [pair])
    with _mode(model, training=False):
        still = lone_logps(model, [pair])
    for other, problem in (
        (again, "the model is random in training mode: two forwards of one row"),
        (still, "the model computes otherwise in training mode than in evaluation mode: forwards of one row"),
    ):
        nats, per_root_token = difference(first, other)
        # what is not finite is no randomness, and stops the run by itself
        if math.isfinite(nats) and per_root_token > tolerance(model):
            raise OptionError(
                f"{problem} differ by {nats:.3g} nats. Dropout and router jitter are off already, so it is another part of "
                f"{type(model).__name__}{_suspects(model)}; turn it off in the model or its configuration, as policy and "
                "reference cannot be compared"
            )


@contextmanager
def _mode(model: nn.Module, training: bool) -> Iterator[None]:
    """The model in training or evaluation mode, without gradients; afterwards every module as before."""
    before = {module: module.training for module in model.modules()}
    model.train(training)
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in before.items():
            module.training = mode


def _suspects(model: nn.Module) -> str:
    """Names of modules that sound random."""
    sounds = re.compile(r"drop|nois|jitter|random|stochastic|gumbel", re.IGNORECASE)
    named = sorted({type(module).__name__ for module in model.modules() if sounds.search(type(module).__name__)})
    return f" (perhaps {', '.join(named[:3])})" if named else ""
