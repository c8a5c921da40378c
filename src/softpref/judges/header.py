"""What all prompts of a judge begin with, its template's opening: computed once, and put before every batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import DynamicCache

Ids: TypeAlias = list[int]


class Header:
    """The ids that all prompts so far begin with, and the model's keys and values of them.

    It is found from the prompts themselves: what the first have in common, and it shrinks where later ones have less.

    Args:
        run: ids (H,) → a cache of their keys and values, of one row.
    """

    def __init__(self, run: Callable[[Ids], DynamicCache]) -> None:
        self.ids: Ids = []
        self._run = run
        self._cache: DynamicCache | None = None
        self._sought = False

    def fit(self, prefixes: Sequence[Ids]) -> bool:
        """Shrink to what these begin with too, one token at least of each being left. Whether the header has changed."""
        one, other = min(prefixes), max(prefixes)  # all others lie between these two, so they begin alike
        found = one[: common_length(one, other)]
        if self._sought:
            found = found[: equal_length(found, self.ids)]
        if self._sought and len(found) == len(self.ids):
            return False
        self._sought = True
        self.ids, self._cache = found, None
        if found:
            self._compute()
        return True

    def _compute(self) -> None:
        """Keys and values of the ids; of as many as every layer keeps (a sliding window drops the first)."""
        self._cache = self._run(self.ids)
        kept = min(layer.keys.shape[-2] for layer in self._cache.layers)
        if kept < len(self.ids):
            self.ids = self.ids[:kept]
            self._cache = self._run(self.ids)

    def before(self, padding: Tensor) -> DynamicCache | None:
        """A cache for B rows that are padded on the left with ``padding`` (B,) columns, the header's own among all columns.

        A row with three columns of padding and a header abcde has ``...ab`` here, and ``cde`` among what is computed in the
        batch: padding is nowhere but at the left, so columns count as positions do. None where there is no header.
        """
        import torch

        if self._cache is None:
            return None
        columns = torch.arange(len(self.ids), device=padding.device)
        place = (columns - padding[:, None]).clamp(min=0)  # (B, H); what lies in the padding is masked
        cache = copy.deepcopy(self._cache)
        for layer in cache.layers:
            layer.keys, layer.values = (kept[0][:, place].transpose(0, 1) for kept in (layer.keys, layer.values))
        return cache


def common_length(one: Ids, other: Ids) -> int:
    """Tokens that both begin with, one at least of each being left over."""
    return min(equal_length(one, other), len(one) - 1, len(other) - 1)


def equal_length(one: Ids, other: Ids) -> int:
    """Tokens that both begin with."""
    return next((i for i, (x, y) in enumerate(zip(one, other, strict=False)) if x != y), min(len(one), len(other)))
