"""Token ids of many pairs as Arrow columns, in memory or mapped from a file: 4 bytes a token, objects for those in use."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise
from typing import Any, overload

import pyarrow as pa  # type: ignore[import-untyped]

SIDES = ("prompt", "chosen", "rejected")
_IDS = pa.list_(pa.int32())
_NUMBERS = {"soft_label": pa.float64(), "weight": pa.float64(), "row": pa.int64(), "tie": pa.float64()}
SCHEMA = pa.schema([*((side, _IDS) for side in SIDES), *_NUMBERS.items()])


@dataclass(frozen=True)
class TokenizedPair:
    """Token ids of one pair. ``rejected`` is empty where only the chosen side is trained on. ``tie`` is P(tie), if known."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]
    soft_label: float | None
    weight: float
    row: int
    tie: float | None = None

    @property
    def sequences(self) -> tuple[list[int], list[int], list[int]]:
        """Prompt, chosen and rejected."""
        return self.prompt, self.chosen, self.rejected

    @property
    def tokens(self) -> int:
        """Tokens of the prompt and both responses, the prompt counted once."""
        return len(self.prompt) + len(self.chosen) + len(self.rejected)


@dataclass
class TokenCounts:
    """What became of the rows: all are kept, cut or counted as dropped.

    ``common`` counts, among those kept, prompts that were cut back to what they have in common with the whole.
    """

    kept: int = 0
    cut: int = 0
    too_long: int = 0
    boundary: int = 0
    identical: int = 0
    common: int = 0

    def as_dict(self) -> dict[str, int]:
        """Plain numbers, for JSON."""
        return asdict(self)


class TokenizedPairs(Sequence[TokenizedPair]):
    """The tokenised rows of one data set, and the counts.

    The rows lie in Arrow record batches of ``SCHEMA``. An index or an iteration makes ``TokenizedPair`` objects, which
    nothing here keeps.
    """

    def __init__(self, batches: Iterable[pa.RecordBatch], counts: TokenCounts | None = None) -> None:
        self.batches = [batch for batch in batches if batch.num_rows]
        self.counts = counts or TokenCounts()
        self._starts: list[int] = list(accumulate((batch.num_rows for batch in self.batches), initial=0))

    def __len__(self) -> int:
        return self._starts[-1]

    @overload
    def __getitem__(self, index: int) -> TokenizedPair: ...
    @overload
    def __getitem__(self, index: slice) -> list[TokenizedPair]: ...
    def __getitem__(self, index: int | slice) -> TokenizedPair | list[TokenizedPair]:
        places = range(len(self))[index]
        return [self._row(place) for place in places] if isinstance(places, range) else self._row(places)

    def __iter__(self) -> Iterator[TokenizedPair]:
        for batch in self.batches:
            yield from _rows(batch)

    def _row(self, place: int) -> TokenizedPair:
        batch = bisect_right(self._starts, place) - 1
        return next(_rows(self.batches[batch].slice(place - self._starts[batch], 1)))


class JoinedRows(Sequence[Any]):
    """The rows of several data sets in one order. A slice is a view too: no row is copied."""

    def __init__(self, parts: Sequence[Sequence[Any]], places: range | None = None) -> None:
        self._parts = parts
        self._starts = list(accumulate(map(len, parts), initial=0))
        self._places = range(self._starts[-1]) if places is None else places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: Any) -> Any:
        place = self._places[index]
        if isinstance(place, range):
            return JoinedRows(self._parts, place)
        part = bisect_right(self._starts, place) - 1
        return self._parts[part][place - self._starts[part]]


def token_batch(rows: Sequence[TokenizedPair]) -> pa.RecordBatch:
    """These rows as one record batch of ``SCHEMA``."""
    columns = [pa.array([getattr(row, field.name) for row in rows], field.type) for field in SCHEMA]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def _rows(batch: pa.RecordBatch) -> Iterator[TokenizedPair]:
    rest = (batch.column(name).to_pylist() for name in _NUMBERS)
    return map(TokenizedPair, *(_ids(batch.column(side)) for side in SIDES), *rest)


def _ids(column: pa.ListArray) -> Iterator[list[int]]:
    values = column.values.to_numpy()
    return (values[start:end].tolist() for start, end in pairwise(column.offsets.to_pylist()))
