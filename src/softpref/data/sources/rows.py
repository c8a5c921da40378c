"""What every source shares: checked access to a published row, and the two ways in which it is not taken."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from softpref.data.pairs import Message, Text
from softpref.data.voters import VOTERS

Row: TypeAlias = Mapping[str, Any]
PairRow: TypeAlias = dict[str, Any]


class LeftOutError(Exception):
    """This row makes no pair, for a reason that its data set is known for. Counted."""


class RowFaultError(Exception):
    """This row is not of the format: a column that every row has is missing, or is of another kind. An error."""

    def __init__(self, field: str, problem: str, mend: str = "is this the format that you named?") -> None:
        super().__init__(f"{field}: {problem}")
        self.field, self.problem, self.mend = field, problem, mend


def inner(row: Row, *path: str) -> Any:
    """What stands at a path of keys: ``inner(row, "info", "post")``. Raises RowFaultError where it is not there."""
    value: Any = row
    for place, key in enumerate(path, start=1):
        if not isinstance(value, Mapping) or key not in value:
            raise RowFaultError(".".join(path[:place]), "is missing")
        value = value[key]
    return value


def text(row: Row, *path: str) -> str:
    """The string at a path. Raises RowFaultError."""
    value = inner(row, *path)
    if not isinstance(value, str):
        raise RowFaultError(".".join(path), f"is no text ({type(value).__name__})")
    return value


def items(row: Row, *path: str) -> Sequence[Any]:
    """The list at a path. Raises RowFaultError."""
    value = inner(row, *path)
    if not isinstance(value, list | tuple):
        raise RowFaultError(".".join(path), f"is no list ({type(value).__name__})")
    return value


def user(content: str) -> list[Message]:
    """A conversation of one question."""
    return [{"role": "user", "content": content}]


def voted(prompt: Text, first: str, second: str, votes: tuple[int, int, int], **rest: Any) -> PairRow:
    """A pair with counts of votes: for the first response, for the second, for neither."""
    counts = dict(zip(("votes_1", "votes_2", "votes_tie"), votes, strict=True))
    return {"prompt": prompt, "response_1": first, "response_2": second, **counts, **rest}


def signed_votes(scores: Sequence[float]) -> tuple[int, int, int]:
    """Votes from preferences in which below 0 is for the first response, above 0 for the second, and 0 for neither."""
    return sum(x < 0 for x in scores), sum(x > 0 for x in scores), sum(x == 0 for x in scores)


def named_votes(prompt: Text, first: str, second: str, voters: Mapping[str, float], **rest: Any) -> PairRow:
    """A pair with votes by name, each P(first side preferred) of 1, ½ or 0: counted, and kept under ``meta.annotators``."""
    values = list(voters.values())
    meta = {**(rest.pop("meta", None) or {}), VOTERS: dict(voters)}
    return voted(prompt, first, second, (values.count(1.0), values.count(0.0), values.count(0.5)), **rest, meta=meta)


def number(row: Row, *path: str) -> float:
    """The number at a path. Raises RowFaultError for anything else, a boolean or nan among it."""
    value = inner(row, *path)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RowFaultError(".".join(path), f"is no number ({value!r})")
    return value
