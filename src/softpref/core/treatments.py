"""What a soft label does to a base loss, and the one entry point that every trainer ends in.

    hard          base(pair)                                                  the label only said which side is better
    conservative  p · base(pair) + (1 − p) · base(pair, sides swapped)        linear mixture: cDPO, cIPO
    geometric     base(geometric_average(pair, p))                            arXiv 2409.06691: GDPO, GIPO, GROPO

Order: reduce (sum, or mean over response tokens), then average, then base loss. A few losses read p themselves and take none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from softpref.core.base_losses import FILLED_IN, LOSSES, BaseLoss
from softpref.core.method import Extras, Method
from softpref.core.names import ALIASES, OWN, TREATMENTS, default_beta, has_beta, resolve_names
from softpref.core.pair import REDUCTIONS, PairLogps
from softpref.errors import OptionError, nearest

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "ALIASES",
    "OWN",
    "TREATMENTS",
    "Extras",
    "Method",
    "check_ranges",
    "default_beta",
    "equals_teach_nothing",
    "has_beta",
    "idle_extras",
    "preference_loss",
    "resolve",
    "treatments_of",
]


def preference_loss(
    loss_type: str,
    pair: PairLogps,
    soft_label: Tensor | None = None,
    *,
    treatment: str | None = None,
    beta: float | None = None,
    reduction: str | None = None,
    scale_target: bool | None = None,
    tie: Tensor | None = None,
    extras: Extras | None = None,
    **loss_args: Any,
) -> Tensor:
    """Loss of each pair, (B,), unweighted: a base loss under a label treatment.

    Args:
        loss_type: a base loss (``LOSSES``) or a published name (``ALIASES``): ``"gdpo"`` is ``"dpo"``, geometric.
        pair: log-probabilities of shape (B,), sums over response tokens, in nats. The loss has their dtype: give fp32,
            since in bf16 a label of 0.501 is a tie.
        soft_label: (B,) in [0, 1], p = P(chosen ≻ rejected | prompt). May be None with ``hard`` only, which never
            reads it: orient pairs to p ≥ ½ before (readers in ``softpref.data`` do).
        treatment: ``hard``, ``conservative`` or ``geometric``; None means the alias's own, or ``hard``. A loss that reads p
            itself takes none.
        beta: strength of the pull to the reference; required by every loss that has one.
        reduction: ``sum`` or ``mean`` over response tokens; None means the loss's own (``BaseLoss.reduction``).
        scale_target: under ``geometric``, a fixed target (IPO's 1/(2β), hinge's δ) is multiplied by ``|2p − 1|``, which
            gives the paper's GIPO. False keeps it fixed: for IPO that target explodes relative to the margin near ½.
        tie: (B,) in [0, 1], P(tie), of which half is in p; for the losses that model ties, and read by no other.
        extras: what may be added to any loss.
        loss_args: the base loss's own arguments.

    Raises:
        OptionError: an unknown name or argument, a treatment that contradicts an alias, ``geometric`` for a loss
            under which two equal sides would still be pushed, or an option that would have no effect.
        ValueError: a needed soft label, reference, length or probability of a tie is missing.
    """
    options: dict[str, Any] = {"treatment": treatment, "beta": beta, "reduction": reduction, "scale_target": scale_target}
    return resolve(loss_type, extras=extras, **options, **loss_args)(pair, soft_label, tie)


def resolve(
    loss_type: str,
    *,
    treatment: str | None = None,
    beta: float | None = None,
    reduction: str | None = None,
    scale_target: bool | None = None,
    extras: Extras | None = None,
    **loss_args: Any,
) -> Method:
    """The method that these options name; see ``preference_loss`` for what they mean and what is raised."""
    name, treatment = resolve_names(loss_type, treatment)
    base = LOSSES[name]
    if reduction is not None and reduction not in REDUCTIONS:
        raise OptionError(f"reduction is {reduction!r}; it can be 'sum' or 'mean'")
    arguments = _check_arguments(name, base, beta, loss_args)
    if treatment == "geometric" and not equals_teach_nothing(base, tuple(sorted(arguments.items()))):
        raise OptionError(
            f"{name} has no geometric form: two equal sides would still be pushed, "
            "so a pair with p = 0.5 would teach after all; use label_treatment 'hard' or 'conservative'"
        )
    has_target = treatment == "geometric" and "target_scale" in base.parameters
    if scale_target is not None and not has_target:
        raise OptionError(f"scale_target has no effect with {name}, {treatment}: leave it out")
    method = Method(name, treatment, arguments, reduction or base.reduction, scale_target is not False, extras or Extras())
    _check_extras(method)
    return method


def treatments_of(name: str, **arguments: Any) -> tuple[str, ...]:
    """The treatments that a base loss has with these arguments, or ``OWN`` alone where it reads p itself."""
    base = LOSSES[name]
    if base.reads_label:
        return (OWN,)
    if not base.needs_rejected:
        return ("hard",)
    if "beta" in base.parameters:
        arguments = {"beta": base.beta, **arguments}
    suits = equals_teach_nothing(base, tuple(sorted(arguments.items())))
    return tuple(one for one in TREATMENTS if one != "geometric" or suits)


def equals_teach_nothing(base: BaseLoss, arguments: tuple[tuple[str, Any], ...]) -> bool:
    """Whether ``base(c, c)`` is constant in c: exactly then geometric averaging keeps its promise at p = ½.

    A part that anchors the policy is no comparison, and is held still. A loss that reads p itself is not averaged.
    """
    return not base.reads_label and _equal_sides_are_constant(base.function, arguments, base.parameters & FILLED_IN)


@cache
def _equal_sides_are_constant(
    function: Callable[..., Tensor], arguments: tuple[tuple[str, Any], ...], filled: frozenset[str]
) -> bool:
    side = torch.tensor([-900.0, -31.0, -2.5, -0.1], dtype=torch.float64)
    reference = side.flip(0)
    still = torch.full_like(side, -7.0)
    held = {"anchor": PairLogps(still, still + 2, still + 1, still - 1), "tie": torch.full_like(side, 0.25)}
    given = {**dict(arguments), **{name: value for name, value in held.items() if name in filled}}
    values = function(PairLogps(side, side, reference, reference), **given)
    return bool(torch.allclose(values, values[0].expand_as(values), rtol=1e-9, atol=1e-12))


def _check_arguments(name: str, base: BaseLoss, beta: float | None, loss_args: Mapping[str, Any]) -> dict[str, Any]:
    known = base.parameters - FILLED_IN
    for argument, value in loss_args.items():
        if argument not in known:
            own = known - {"beta"}
            raise OptionError(f"{name} has no argument {argument!r}" + (nearest(argument, own) if own else "; it takes none"))
        _check_number(argument, value)
        _check_range(name, argument, value, base)
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


def _check_range(name: str, argument: str, value: float, base: BaseLoss) -> None:
    low, end = base.ranges.get(argument, (-math.inf, math.inf))
    if not low <= value < end:
        below = f" and below {end:g}" if end < math.inf else ""
        raise OptionError(f"{argument} of {name} is {value}; it must be at least {low:g}{below}")


def _check_extras(method: Method) -> None:
    """Raises OptionError for an option out of its range, or without effect on this method."""
    check_ranges(method.extras)
    for option, why in idle_extras(method).items():
        raise OptionError(f"{option} has no effect: {why}; leave it out")


def check_ranges(extras: Extras) -> None:
    """Raises OptionError for an option that is no number, or out of its range."""
    for option, end in (("sft_weight", math.inf), ("length_penalty", math.inf), ("flip_rate", 0.5)):
        value = getattr(extras, option)
        if value is None:
            continue
        _check_number(option, value)
        if not 0 <= value < end:
            raise OptionError(f"{option} is {value}; it must be at least 0" + (f" and below {end:g}" if end < math.inf else ""))


def idle_extras(method: Method) -> dict[str, str]:
    """The options of ``method.extras`` that are set and would have no effect on it, and why."""
    name = method.name
    without: list[tuple[str, bool, str]] = [
        ("sft_weight", not method.needs_rejected, f"{name} is that term itself"),
        ("length_penalty", method.reduction == "mean", "means over tokens have the length divided out"),
        ("length_penalty", "beta" not in method.arguments, f"{name} has no beta"),
        ("flip_rate", method.treatment == "hard", "label_treatment 'hard' reads no probability"),
        ("policy_weighting", not method.needs_rejected, f"{name} compares no responses"),
        ("reference_free", not method.base.needs_reference, f"{name} needs no reference"),
    ]
    return {option: why for option, idle, why in without if idle and getattr(method.extras, option)}
