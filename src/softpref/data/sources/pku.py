"""PKU-SafeRLHF: two responses, which is better and which is safer (Ji et al. 2024, arXiv 2406.15513).

https://huggingface.co/datasets/PKU-Alignment/PKU-SafeRLHF, and the older PKU-SafeRLHF-10K and -30K. The columns read here:

    prompt, response_0, response_1, better_response_id, safer_response_id (0 or 1), is_response_0_safe, is_response_1_safe

``pku-saferlhf`` takes the better one, ``pku-saferlhf-safer`` the safer one. Categories of harm and their severity are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from softpref.data.sources.rows import LeftOutError, PairRow, Row, RowFaultError, inner, text, voted


def _pairs(column: str, row: Row) -> Iterator[PairRow]:
    which = inner(row, column)
    if which is None or which == -1:
        raise LeftOutError(f"no {column}")
    if which not in (0, 1):
        raise RowFaultError(column, f"is {which!r}", "give 0 or 1")
    safe = [row.get(f"is_response_{k}_safe") for k in (0, 1)]
    votes = (1 - int(which), int(which), 0)
    yield voted(text(row, "prompt"), text(row, "response_0"), text(row, "response_1"), votes, meta={"safe": safe})


better: Callable[[Row], Iterator[PairRow]] = partial(_pairs, "better_response_id")
safer: Callable[[Row], Iterator[PairRow]] = partial(_pairs, "safer_response_id")
