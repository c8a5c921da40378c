"""What a soft label does to a base loss, and the one entry point that every trainer ends in.

    hard          base(pair)                                                  the label only said which side is better
    conservative  p · base(pair) + (1 − p) · base(pair, sides swapped)        linear mixture: cDPO, cIPO
    geometric     base(geometric_average(pair, p))                            arXiv 2409.06691: GDPO, GIPO, GROPO

Order: reduce (sum, or mean over response tokens), then average, then base loss.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from softpref.core.base_losses import LOSSES, BaseLoss
from softpref.core.pair import REDUCTIONS, PairLogps, geometric_average, reduce, swap
from softpref.errors import OptionError, nearest

if TYPE_CHECKING:
    from torch import Tensor

TREATMENTS = ("hard", "conservative", "geometric")

# Published names only. Nothing is parsed out of a name, and a method without a published name has none here.
# None leaves the treatment to the caller. GDPO is the paper's; another GDPO (arXiv 2601.05242) is unrelated.
ALIASES: dict[str, tuple[str, str | None]] = {
    "cdpo": ("dpo", "conservative"),
    "gdpo": ("dpo", "geometric"),
    "cipo": ("ipo", "conservative"),
    "gipo": ("ipo", "geometric"),
    "gropo": ("ropo", "geometric"),
    "sigmoid": ("dpo", None),
    "hinge": ("slic", None),
}


@dataclass(frozen=True)
class Method:
    """A base loss by name, the treatment of its label, and the arguments it runs with. Made by ``resolve``."""

    name: str
    treatment: str
    arguments: Mapping[str, Any]
    reduction: str
    scale_target: bool = True

    @property
    def base(self) -> BaseLoss:
        """The entry in ``LOSSES``."""
        return LOSSES[self.name]

    def __call__(self, pair: PairLogps, soft_label: Tensor | None = None) -> Tensor:
        """Loss per pair, (B,), unweighted. ``soft_label`` of shape (B,); None only with ``hard``."""
        if self.base.needs_reference and pair.ref_chosen is None:
            raise ValueError(f"{self.name} compares the policy with a reference: give ref_chosen and ref_rejected")
        reduced = reduce(pair, self.reduction)
        if self.treatment == "hard":
            return self.base.function(reduced, **self.arguments)
        if soft_label is None:
            raise ValueError(f"label_treatment {self.treatment!r} needs a soft_label; without one, use 'hard'")
        if soft_label.shape != pair.chosen.shape:
            raise ValueError(f"soft_label has shape {tuple(soft_label.shape)}, chosen has {tuple(pair.chosen.shape)}")
        label = soft_label.to(pair.chosen.dtype)
        return (self._conservative if self.treatment == "conservative" else self._geometric)(reduced, label)

    def _conservative(self, pair: PairLogps, soft_label: Tensor) -> Tensor:
        if self.base.conservative is not None:
            return self.base.conservative(pair, soft_label, **self.arguments)
        base = self.base.function
        return soft_label * base(pair, **self.arguments) + (1 - soft_label) * base(swap(pair), **self.arguments)

    def _geometric(self, pair: PairLogps, soft_label: Tensor) -> Tensor:
        scale = {}
        if self.scale_target and "target_scale" in _parameters(self.base.function):
            scale["target_scale"] = (2 * soft_label - 1).abs()
        return self.base.function(geometric_average(pair, soft_label), **self.arguments, **scale)


def preference_loss(
    loss_type: str,
    pair: PairLogps,
    soft_label: Tensor | None = None,
    *,
    treatment: str | None = None,
    beta: float | None = None,
    reduction: str | None = None,
    scale_target: bool | None = None,
    **loss_args: Any,
) -> Tensor:
    """Loss of each pair, (B,), unweighted: a base loss under a label treatment.

    Args:
        loss_type: a base loss (``LOSSES``) or a published name (``ALIASES``): ``"gdpo"`` is ``"dpo"``, geometric.
        pair: log-probabilities of shape (B,), sums over response tokens, in nats. The loss has their dtype: give fp32,
            since in bf16 a label of 0.501 is a tie.
        soft_label: (B,) in [0, 1], p = P(chosen ≻ rejected | prompt). May be None with ``hard`` only, which never
            reads it: orient pairs to p ≥ ½ before (readers in ``softpref.data`` do).
        treatment: ``hard``, ``conservative`` or ``geometric``; None means the alias's own, or ``hard``.
        beta: strength of the pull to the reference; required by every loss that has one.
        reduction: ``sum`` or ``mean`` over response tokens; None means the loss's own (``BaseLoss.reduction``).
        scale_target: under ``geometric``, a fixed target (IPO's 1/(2β), hinge's δ) is multiplied by ``|2p − 1|``, which
            gives the paper's GIPO. False keeps it fixed: for IPO that target explodes relative to the margin near ½.
        loss_args: the base loss's own arguments.

    Raises:
        OptionError: an unknown name or argument, a treatment that contradicts an alias, or ``geometric`` for a loss
            under which two equal sides would still be pushed.
        ValueError: a needed soft label, reference or length is missing.
    """
    method = resolve(loss_type, treatment=treatment, beta=beta, reduction=reduction, scale_target=scale_target, **loss_args)
    return method(pair, soft_label)


def resolve(
    loss_type: str,
    *,
    treatment: str | None = None,
    beta: float | None = None,
    reduction: str | None = None,
    scale_target: bool | None = None,
    **loss_args: Any,
) -> Method:
    """The method that these options name; see ``preference_loss`` for what they mean and what is raised."""
    name, treatment = _resolve_names(loss_type, treatment)
    base = LOSSES[name]
    if reduction is not None and reduction not in REDUCTIONS:
        raise OptionError(f"reduction is {reduction!r}; it can be 'sum' or 'mean'")
    arguments = _check_arguments(name, base, beta, loss_args)
    if treatment == "geometric" and not equals_teach_nothing(base, tuple(sorted(arguments.items()))):
        raise OptionError(
            f"{name} has no geometric form: two equal sides would still be pushed, "
            "so a pair with p = 0.5 would teach after all; use label_treatment 'hard' or 'conservative'"
        )
    has_target = treatment == "geometric" and "target_scale" in _parameters(base.function)
    if scale_target is not None and not has_target:
        raise OptionError(f"scale_target has no effect with {name}, {treatment}: leave it out")
    return Method(name, treatment, arguments, reduction or base.reduction, scale_target is not False)


def has_beta(loss_type: str) -> bool:
    """Whether the loss behind this name takes a beta. Unknown names are said to, so that ``resolve`` names the fault."""
    name, _ = ALIASES.get(loss_type, (loss_type, None))
    return name not in LOSSES or "beta" in _parameters(LOSSES[name].function)


def equals_teach_nothing(base: BaseLoss, arguments: tuple[tuple[str, Any], ...]) -> bool:
    """Whether ``base(c, c)`` is constant in c: exactly then geometric averaging keeps its promise at p = ½."""
    return _equal_sides_are_constant(base.function, arguments)


@cache
def _equal_sides_are_constant(function: Callable[..., Tensor], arguments: tuple[tuple[str, Any], ...]) -> bool:
    side = torch.tensor([-900.0, -31.0, -2.5, -0.1], dtype=torch.float64)
    reference = side.flip(0)
    values = function(PairLogps(side, side, reference, reference), **dict(arguments))
    return bool(torch.allclose(values, values[0].expand_as(values), rtol=1e-9, atol=1e-12))


def _resolve_names(loss_type: str, treatment: str | None) -> tuple[str, str]:
    if treatment is not None and treatment not in TREATMENTS:
        raise OptionError(f"label_treatment {treatment!r} is unknown{nearest(treatment, TREATMENTS)}")
    if loss_type not in LOSSES and loss_type not in ALIASES:
        raise OptionError(f"loss_type {loss_type!r} is unknown{nearest(loss_type, [*LOSSES, *ALIASES])}")
    name, own = ALIASES.get(loss_type, (loss_type, None))
    if own is not None and treatment not in (None, own):
        raise OptionError(
            f"loss_type {loss_type!r} is {name} with label_treatment {own!r}, but label_treatment {treatment!r} was given: "
            f"leave it out, or write loss_type {name!r}"
        )
    return name, treatment or own or "hard"


def _check_arguments(name: str, base: BaseLoss, beta: float | None, loss_args: Mapping[str, Any]) -> dict[str, Any]:
    known = _parameters(base.function) - {"target_scale"}
    for argument, value in loss_args.items():
        if argument not in known:
            own = known - {"beta"}
            raise OptionError(f"{name} has no argument {argument!r}" + (nearest(argument, own) if own else "; it takes none"))
        _check_number(argument, value)
    if "beta" not in known:
        if beta is not None:
            raise OptionError(f"{name} has no beta: leave it out")
        return dict(loss_args)
    if beta is None:
        raise OptionError(f"{name} needs a beta")
    _check_number("beta", beta, " above 0")
    if not beta > 0:
        raise OptionError(f"beta is {beta}; it must be above 0")
    return {"beta": beta, **loss_args}


def _check_number(argument: str, value: Any, where: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise OptionError(f"{argument} is {value!r}; it must be a finite number{where}")


@cache
def _parameters(function: Callable[..., Tensor]) -> frozenset[str]:
    parameters = inspect.signature(function).parameters.values()
    return frozenset(p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)
