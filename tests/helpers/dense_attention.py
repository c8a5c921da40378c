"""Attention over a packed row in its naive form, and rows to hold it against."""

from __future__ import annotations

import math
from types import SimpleNamespace

import torch
from hypothesis import strategies as st

from softpref.scoring.packing import Group, pack

HEADS, SIZE = 4, 3

sizes = st.tuples(st.integers(0, 6), st.lists(st.integers(1, 6), min_size=1, max_size=3))
rows = st.lists(sizes, min_size=1, max_size=3).map(
    lambda groups: pack([Group([1] * prompt, [[1] * size for size in responses]) for prompt, responses in groups])
)


def layer(**config):
    return SimpleNamespace(config=SimpleNamespace(**config), layer_idx=0)


def dense(query, key, value, spans, window=None, softcap=None, scaling=None):
    """The naive form: whole scores, one mask, one softmax."""
    tokens = query.shape[2]
    mask = torch.full((tokens, tokens), -math.inf, dtype=query.dtype)
    for span in spans:
        seen = [*range(span.prefix_start, span.prefix_end), *range(span.start, span.end)]
        for i in range(span.start, span.end):
            before = seen[: seen.index(i) + 1]
            mask[i, before[-window:] if window else before] = 0
    key, value = (one.repeat_interleave(HEADS // one.shape[1], 1) for one in (key, value))
    scores = torch.einsum("bhid,bhjd->bhij", query, key) * (scaling or 1 / math.sqrt(SIZE))
    scores = scores if softcap is None else softcap * torch.tanh(scores / softcap)
    return torch.einsum("bhij,bhjd->bihd", (scores + mask).softmax(-1), value)
