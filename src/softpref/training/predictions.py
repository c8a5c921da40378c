"""What ``compute_metrics`` and ``predict`` get: the log-probs of every pair of an evaluation set, in its order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from transformers import EvalPrediction

from softpref.core.pair import PairLogps
from softpref.data.tokenization import TokenizedPair

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COLUMNS = ("chosen", "rejected", "ref_chosen", "ref_rejected")


class PairPredictions(NamedTuple):
    """Log-probs of N pairs in the order of the data set, (N,) each, in nats: sums over response tokens.

    The reference's are None where the loss needs none, the rejected side's where it is not scored (``sft``).
    """

    chosen_logps: NDArray[np.float32]
    rejected_logps: NDArray[np.float32] | None
    ref_chosen_logps: NDArray[np.float32] | None
    ref_rejected_logps: NDArray[np.float32] | None


class Predictions:
    """Collects the pairs of one evaluation, over all ranks."""

    def __init__(self, accelerator: Any, with_rejected: bool, with_reference: bool) -> None:
        self._accelerator = accelerator
        self._present = (True, with_rejected, with_reference, with_reference and with_rejected)
        self._batches: list[NDArray[np.float32]] = []

    def add(self, rows: Sequence[TokenizedPair], scored: Sequence[tuple[Sequence[TokenizedPair], PairLogps]]) -> None:
        """One loader batch, which was scored in parts, in any order. Called on every rank."""
        place = {id(row): i for i, row in enumerate(rows)}
        table = torch.full((len(rows), len(_COLUMNS) + 1), torch.nan, device=self._accelerator.device)  # (B, 5)
        for part, pair in scored:
            where = [place[id(row)] for row in part]
            for column, name in enumerate(_COLUMNS):
                if self._present[column]:
                    table[where, column] = getattr(pair, name).float()
        labels = [torch.nan if row.soft_label is None else row.soft_label for row in rows]
        table[:, -1] = table.new_tensor(labels)
        self._batches.append(self._accelerator.gather_for_metrics(table).cpu().numpy())

    def result(self) -> tuple[PairPredictions, NDArray[np.float32]]:
        """The log-probs, and the soft labels, (N,), NaN where a row has none."""
        table = np.concatenate(self._batches) if self._batches else np.zeros((0, len(_COLUMNS) + 1), np.float32)
        columns = [table[:, i] if present else None for i, present in enumerate(self._present)]
        return PairPredictions(*columns), table[:, -1]  # type: ignore[arg-type]


def computed_metrics(
    compute_metrics: Callable[[EvalPrediction], Mapping[str, Any]], predictions: PairPredictions, labels: Any
) -> dict[str, Any]:
    """What the user's function makes of the predictions, NumPy numbers as Python's."""
    values = compute_metrics(EvalPrediction(predictions=predictions, label_ids=labels))
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}
