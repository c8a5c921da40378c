"""Questions of any number, taken a window at a time: sorted by length inside it, and memory does not grow."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

# Questions are sorted by length inside a window of this many batches.
WINDOW_BATCHES = 32


def in_groups(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of ``size`` items, the last maybe shorter; no item is taken before its group is wanted."""
    rest = iter(items)
    while group := list(itertools.islice(rest, size)):
        yield group
