"""A pair as its file has it: the sides in the file's order, and the row that ``read_pairs`` reads back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from softpref.data.pairs import PreferencePair, swap_sides, template_columns

# 1 − (1 − 0.1) is not 0.1 to the last bit.
LABEL_DECIMALS = 15


def as_written(pair: PreferencePair) -> PreferencePair:
    """The pair with its sides in the file's order: what reading exchanged is exchanged back, p with it, to 15 decimals."""
    if not pair.swapped:
        return pair
    back = swap_sides(pair)
    return back if back.soft_label is None else replace(back, soft_label=round(back.soft_label, LABEL_DECIMALS))


def text_columns(pair: PreferencePair) -> dict[str, Any]:
    """The columns that a row has whatever its label: texts, id and weight, and what the chat template gets.

    The sides are called ``response_1`` and ``response_2``, which claims no preference.
    """
    row: dict[str, Any] = {"prompt": pair.prompt, "response_1": pair.chosen, "response_2": pair.rejected}
    row |= {"id": pair.id} if pair.id else {}
    row |= {"weight": pair.weight} if pair.weight != 1.0 else {}
    return row | template_columns(pair)


def written_row(pair: PreferencePair) -> dict[str, Any]:
    """A pair as ``softpref label`` would write it, which ``read_pairs`` reads: the sides in the file's order.

    ``meta`` (a gold label in it, say) stays about the side that it was about.
    """
    pair = as_written(pair)
    labelled = {"soft_label": pair.soft_label, "label_source": dict(pair.label_source), "meta": dict(pair.meta)}
    return {**text_columns(pair), **labelled}
