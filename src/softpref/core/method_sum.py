"""Several methods with weights, trained as one: MPO and its like (arXiv 2411.10442)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from softpref.core.method import Method

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
