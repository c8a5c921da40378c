"""Log-probs or losses that are not finite stop the run and name their rows, without making the device wait at every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from softpref.data.tokenization import TokenizedPair
from softpref.errors import NonFiniteError

if TYPE_CHECKING:
    from torch import Tensor


class FiniteGuard:
    """Watches values of one micro-batch after another.

    On a CPU they are looked at as they come. Elsewhere asking would wait for the device, so they are looked at when the next
    ones come, and before anything is logged, evaluated or saved: no checkpoint is made of a step that went wrong.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[Tensor, list[int], int]] = []

    def watch(self, rows: Sequence[TokenizedPair], step: int, *values: Tensor) -> None:
        """Values of shape (B,) that belong to these rows. Raises NonFiniteError, here or in a later call."""
        self.check()
        bad = ~torch.stack([torch.isfinite(value.detach()) for value in values]).all(0)
        self._waiting.append((bad, [row.row for row in rows], step))
        if bad.device.type == "cpu":
            self.check()

    def check(self) -> None:
        """Look at what was not looked at yet."""
        waiting, self._waiting = self._waiting, []
        for bad, rows, step in waiting:
            if bad.any():
                named = [row for row, wrong in zip(rows, bad.tolist(), strict=True) if wrong]
                raise NonFiniteError(
                    f"step {step}: the loss or the log-probs of rows {named} are not finite; lower the learning rate, "
                    "or train in bf16 or fp32"
                )
