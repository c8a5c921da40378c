"""Several methods with weights, trained as one: MPO and its like (arXiv 2411.10442)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from softpref.core.base_losses import LOSSES
from softpref.core.method import Extras, Method
from softpref.core.names import ALIASES, default_beta
from softpref.core.treatments import check_ranges, idle_extras, resolve
from softpref.errors import OptionError

if TYPE_CHECKING:
    from torch import Tensor

    from softpref.core.pair import PairLogps


@dataclass(frozen=True)
class MethodSum:
    """``Σ weight · method``, (B,), of at least two parts. What a trainer asks a ``Method`` for, it can ask this for.

    Metrics and the labels that rows need are those of the main part: the first that compares responses, by a soft label if
    one of them does.
    """

    parts: tuple[tuple[float, Method], ...]

    @property
    def main(self) -> Method:
        """The part that speaks for all."""
        comparing = [method for _, method in self.parts if method.needs_rejected]
        soft = [method for method in comparing if method.treatment != "hard"]
        return (soft or comparing or [method for _, method in self.parts])[0]

    @property
    def name(self) -> str:
        """The base losses, joined by a plus sign."""
        return "+".join(method.name for _, method in self.parts)

    @property
    def treatment(self) -> str:
        """The main part's."""
        return self.main.treatment

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The main part's."""
        return self.main.arguments

    @property
    def options(self) -> dict[str, Any]:
        """The weights, and every part's own options, by its name: what a record of a run holds."""
        weights = {method.name: weight for weight, method in self.parts}
        return {**self.arguments, "weights": weights, "of": {method.name: method.options for _, method in self.parts}}

    @property
    def reduction(self) -> str:
        """The main part's."""
        return self.main.reduction

    @property
    def needs_reference(self) -> bool:
        """Whether any part does."""
        return any(method.needs_reference for _, method in self.parts)

    @property
    def needs_rejected(self) -> bool:
        """Whether any part compares two responses."""
        return any(method.needs_rejected for _, method in self.parts)

    @property
    def needs_tie(self) -> bool:
        """Whether any part needs P(tie)."""
        return any(method.needs_tie for _, method in self.parts)

    def __call__(self, pair: PairLogps, soft_label: Tensor | None = None, tie: Tensor | None = None) -> Tensor:
        """Loss per pair, (B,); see ``Method``."""
        (weight, method), *rest = self.parts
        total = weight * method(pair, soft_label, tie)
        for weight, method in rest:
            total = total + weight * method(pair, soft_label, tie)
        return total


def resolve_sum(
    loss_types: Sequence[str],
    weights: Sequence[float] | None = None,
    *,
    treatment: str | None = None,
    beta: float | None = None,
    reduction: str | None = None,
    extras: Extras | None = None,
    loss_args: Mapping[str, Any] | None = None,
) -> MethodSum:
    """The weighted sum of several losses.

    Args:
        loss_types: at least two names, each once.
        weights: one for each; 1 if None.
        treatment, reduction: of every part; a part's own if None.
        beta: of every part that has one; each part's own if None.
        extras: of every part on which they have an effect, but for ``sft_weight``, which is a part of its own.
        loss_args: a mapping of arguments for a loss, by its name in ``loss_types``.

    Raises OptionError as ``resolve``, and for weights or arguments that fit no part.
    """
    extras, loss_args = extras or Extras(), loss_args or {}
    _check_parts(loss_types, weights, loss_args)
    methods = []
    for name in loss_types:
        of = LOSSES.get(ALIASES.get(name, (name, None))[0])
        own = None if of is not None and of.reads_label else treatment
        strength = None if default_beta(name) is None else beta or default_beta(name)
        methods.append(resolve(name, treatment=own, beta=strength, reduction=reduction, **loss_args.get(name, {})))
    parts = list(zip(weights or [1.0] * len(methods), _with_extras(methods, extras), strict=True))
    if extras.sft_weight:
        parts.append((extras.sft_weight, resolve("sft")))
    return MethodSum(tuple(parts))


def _check_parts(loss_types: Sequence[str], weights: Sequence[float] | None, loss_args: Mapping[str, Any]) -> None:
    if len(set(loss_types)) != len(loss_types) or len(loss_types) < 2:
        raise OptionError(f"loss_type is {list(loss_types)}: give one name, or a list of several, each once")
    if "sft" in loss_types:
        raise OptionError("loss_type holds sft: write sft_weight, the weight of the chosen side's NLL, instead")
    if weights is not None and len(weights) != len(loss_types):
        raise OptionError(f"loss_weights holds {len(weights)} numbers for {len(loss_types)} losses: give one for each")
    if weights is not None and not all(math.isfinite(weight) and weight > 0 for weight in weights):
        raise OptionError(f"loss_weights is {list(weights)}: give finite numbers above 0")
    for name, arguments in loss_args.items():
        if name not in loss_types or not isinstance(arguments, Mapping):
            raise OptionError(
                f"loss_args.{name}: with several losses, each one's arguments go below its name: {{{loss_types[0]}: {{…}}}}"
            )


def _with_extras(methods: Sequence[Method], extras: Extras) -> list[Method]:
    """Each method with what has an effect on it. Raises OptionError for what has none on any."""
    check_ranges(extras)
    shared = replace(extras, sft_weight=None)
    idle = [idle_extras(replace(method, extras=shared)) for method in methods]
    for option in set.intersection(*(set(one) for one in idle)):
        raise OptionError(f"{option} has no effect: {idle[0][option]}; leave it out")
    return [replace(method, extras=_without(shared, one)) for method, one in zip(methods, idle, strict=True)]


def _without(extras: Extras, names: Iterable[str]) -> Extras:
    """``extras`` with these at their defaults."""
    none: dict[str, Any] = vars(Extras())
    return replace(extras, **{name: none[name] for name in names})
