"""Where scoring stands on internals of PyTorch, or on what it calls a prototype. A test compares each by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import lru_cache

import torch

# Parameters that are passed, by the function that takes them.
PASSED: Mapping[str, tuple[str, ...]] = {
    "torch.nn.attention.flex_attention.flex_attention": (
        "query",
        "key",
        "value",
        "score_mod",
        "block_mask",
        "scale",
        "enable_gqa",
    ),
    "torch.nn.attention.flex_attention.BlockMask.from_kv_blocks": (
        "kv_num_blocks",
        "kv_indices",
        "full_kv_num_blocks",
        "full_kv_indices",
        "BLOCK_SIZE",
        "mask_mod",
        "seq_lengths",
    ),
}

# Newer than the oldest PyTorch that softpref takes; without it spans are computed one by one.
FLASH_PARAMETERS = ("scale", "window_size", "enable_gqa")

# The base of all dropout modules.
DROPOUT = torch.nn.modules.dropout._DropoutNd  # noqa: SLF001


def floats_as_constants() -> AbstractContextManager[None]:
    """In here the compiler takes a float for a constant, also where shapes are variables."""
    from torch._dynamo import config

    patch: AbstractContextManager[None] = config.patch(specialize_float=True)
    return patch


@lru_cache(maxsize=1)
def has_flash() -> bool:
    """Whether this PyTorch has FlashAttention over sequences of unequal length, with the arguments that are needed."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return False
    return set(FLASH_PARAMETERS) <= inspect.signature(varlen_attn).parameters.keys()
