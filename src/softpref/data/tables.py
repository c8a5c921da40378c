"""Tables that are in memory already: ``datasets.Dataset``, pandas, Arrow, or anything with rows that are mappings.

None of their libraries is imported: whoever hands over such a table has imported it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any

from softpref.errors import InputError


def is_table(data: Any) -> bool:
    """Whether this is a table rather than a path or a list of paths."""
    return _kind(data) is not None


def table_rows(table: Any) -> Iterator[dict[str, Any]]:
    """The rows of a table, with values that JSON has too. Raises InputError for a collection of several tables."""
    kind = _kind(table)
    if kind == "several":
        raise InputError(f"this is a {type(table).__name__} of {', '.join(table)}: give one of them")
    if kind == "pandas":
        rows: Iterable[Mapping[str, Any]] = table.to_dict("records")
    elif kind == "arrow":
        rows = (row for batch in table.to_batches() for row in batch.to_pylist())
    else:
        rows = table
    return map(plain_row, rows)


def _kind(data: Any) -> str | None:
    names = {f"{base.__module__.partition('.')[0]}.{base.__name__}" for base in type(data).__mro__}
    if "datasets.DatasetDict" in names or "datasets.IterableDatasetDict" in names:
        return "several"
    if "datasets.Dataset" in names or "datasets.IterableDataset" in names:
        return "rows"
    if "pandas.DataFrame" in names:
        return "pandas"
    if "pyarrow.Table" in names:
        return "arrow"
    return "rows" if isinstance(data, list | tuple) and any(isinstance(row, Mapping) for row in data) else None


def plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with plain values."""
    return {str(name): plain(value) for name, value in row.items()}


def plain(value: Any) -> Any:
    """Values that JSON has too: dates and other kinds become their text; bytes the text that they hold in UTF-8.

    Other bytes become ``{"bytes": N}``, which is kept as a note and refused where a text belongs.
    """
    if hasattr(value, "tolist"):  # numpy
        value = value.tolist()
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, dict):
        # Arrow gives every message of a column the keys that one of them has
        message = value.keys() >= {"role", "content"}
        return {str(key): plain(one) for key, one in value.items() if not message or one is not None or key == "content"}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, bytes):
        return _text_of(value)
    return value.isoformat() if isinstance(value, date) else str(value)


def _text_of(value: bytes) -> Any:
    # Parquet writers that do not mark text as such (Spark, Impala) give it as bytes
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"bytes": len(value)}
