"""Attention over a packed row: every span sees its prefix and itself, and nothing else is computed.

It is registered with transformers under ``NAME`` through ``AttentionInterface``, and reads the row's spans from the keyword
argument ``softpref_spans`` of the model's forward, which transformers hands on to every attention layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from softpref.loading.transformers_seam import attention_of
from softpref.scoring.flex import compiled_attention
from softpref.scoring.packing import Span
from softpref.scoring.torch_seam import has_flash

if TYPE_CHECKING:
    from torch import Tensor, nn

NAME = "softpref"

# What a layer may be told beside the tensors without its attention being another than causal, windowed or soft-capped.
HARMLESS = {"position_ids", "cache_position", "softpref_spans"}

HALF = (torch.bfloat16, torch.float16)
FLASH_HEAD_SIZE = 256


class CannotPackError(Exception):
    """This model's attention cannot be computed span by span; the message says why."""


def causal_lm(model: nn.Module) -> Any:
    """The transformers model inside wrappers of data parallelism and adapters."""
    inner: Any = getattr(model, "module", model)
    # not by peft_config, which transformers' own models with an adapter in them have too
    return inner.get_base_model() if hasattr(inner, "get_base_model") else inner


@contextmanager
def packed_attention(model: nn.Module) -> Iterator[None]:
    """The model attends by spans in here; afterwards as before.

    Around the backward pass too where activations are recomputed in it (gradient checkpointing).
    """
    inner = causal_lm(model)
    before = attention_of(inner)
    if before == NAME:
        yield
        return
    inner.set_attn_implementation(NAME)
    try:
        yield
    finally:
        inner.set_attn_implementation(before)


def attention_by_spans(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001 - every attention takes one
    scaling: float | None = None,
    softcap: float | None = None,
    sliding_window: int | None = None,
    softpref_spans: Sequence[Span] = (),
    dropout: float = 0.0,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention of one layer, as transformers asks for it.

    Args:
        query, key, value: (1, heads, T, size); key and value may have fewer heads.
        attention_mask: not read; the spans say who sees whom.
        sliding_window: a token sees this many positions, itself included.

    The naive form is softmax(cap(q·k·scaling) + mask)·v over the whole (T, T), with the mask of ``visible``.

    Returns (1, T, heads, size). Raises CannotPackError for a layer that does more than this.
    """
    if not softpref_spans:
        raise CannotPackError("its attention is not told what it is given (the model keeps keyword arguments back)")
    strange = [name for name, other in others.items() if isinstance(other, torch.Tensor) and name not in HARMLESS]
    if strange or dropout:
        raise CannotPackError(f"its attention takes {', '.join(strange) or 'dropout'}, which is unknown here")
    window = sliding_window if sliding_window is not None else _window_of(module)
    if softcap is None and _flash_takes(query, value):
        return _flash(query, key, value, tuple(softpref_spans), window, scaling), None
    in_blocks = compiled_attention(query, key, value, softpref_spans, window, scaling, softcap)
    if in_blocks is not None:
        return in_blocks, None
    if key.shape[1] != query.shape[1]:
        repeats = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    attend = _attend if softcap is None else partial(_attend_capped, softcap=softcap)
    found = [attend(q, k, v, span, window, scaling) for span, (q, k, v) in _by_span(query, key, value, softpref_spans)]
    return torch.cat(found, 2).transpose(1, 2).contiguous(), None


def _flash_takes(query: Tensor, value: Tensor) -> bool:
    half_on_gpu = query.is_cuda and query.dtype in HALF
    return half_on_gpu and query.shape[-1] == value.shape[-1] <= FLASH_HEAD_SIZE and has_flash()


def _flash(
    query: Tensor, key: Tensor, value: Tensor, spans: tuple[Span, ...], window: int | None, scaling: float | None
) -> Tensor:
    """All spans in one call of FlashAttention: every span's queries against the keys of its prefix and itself.

    Its causal mask is aligned at the end, so that a span's last token sees everything.
    """
    from torch.nn.attention.varlen import varlen_attn

    seen, ends_q, ends_k, longest_q, longest_k = _lengths(spans, query.device)
    q, k, v = (one[0].transpose(0, 1) for one in (query, key, value))
    sight = (-1 if window is None else window - 1, 0)
    found = varlen_attn(
        q.contiguous(),
        k[seen],
        v[seen],
        ends_q,
        ends_k,
        longest_q,
        longest_k,
        scale=scaling,
        window_size=sight,
        enable_gqa=q.shape[1] != k.shape[1],
    )
    return found.unsqueeze(0)  # type: ignore[union-attr]


@lru_cache(maxsize=4)
def _lengths(spans: tuple[Span, ...], device: torch.device) -> tuple[Tensor, Tensor, Tensor, int, int]:
    """Which columns each span sees, one after another; where every span's queries and keys end; and the longest of both."""
    seen = [[*range(span.prefix_start, span.prefix_end), *range(span.start, span.end)] for span in spans]
    queries, keys = [span.end - span.start for span in spans], [len(columns) for columns in seen]
    columns = torch.tensor(list(chain.from_iterable(seen)), device=device)
    ends = [torch.tensor([0, *accumulate(sizes)], dtype=torch.int32, device=device) for sizes in (queries, keys)]
    return columns, ends[0], ends[1], max(queries), max(keys)


def _by_span(
    query: Tensor, key: Tensor, value: Tensor, spans: Sequence[Span]
) -> Iterator[tuple[Span, tuple[Tensor, Tensor, Tensor]]]:
    """Every span's queries, and the keys and values of its prefix and itself."""
    # split, not slices: the backward pass of a slice fills and adds a tensor of all T tokens, once per span
    sizes = [span.end - span.start for span in spans]
    queries, keys, values = (torch.split(one, sizes, 2) for one in (query, key, value))
    stem = 0
    for i, span in enumerate(spans):
        if not span.prefix:
            stem = i
            yield span, (queries[i], keys[i], values[i])
            continue
        if not spans[stem].start <= span.prefix_start < span.prefix_end <= spans[stem].end:
            raise ValueError(f"span {span} continues none before it")
        prefix = slice(span.prefix_start - spans[stem].start, span.prefix_end - spans[stem].start)
        k = torch.cat([keys[stem][:, :, prefix], keys[i]], 2)
        v = torch.cat([values[stem][:, :, prefix], values[i]], 2)
        yield span, (queries[i], k, v)


def _window_of(module: nn.Module) -> int | None:
    """The window of a layer that does not hand it on: one that is called a sliding one, or any where none is called so."""
    config = getattr(module, "config", None)
    kinds = getattr(config, "layer_types", None)
    if kinds and kinds[module.layer_idx] != "sliding_attention":
        return None
    window = getattr(config, "sliding_window", None)
    return None if window is None else int(window)


def _attend(q: Tensor, k: Tensor, v: Tensor, span: Span, window: int | None, scaling: float | None) -> Tensor:
    if not span.prefix and (window is None or k.shape[2] <= window):
        return scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling)
    return scaled_dot_product_attention(q, k, v, attn_mask=visible(span, window, q.device), scale=scaling)


def _attend_capped(
    q: Tensor, k: Tensor, v: Tensor, span: Span, window: int | None, scaling: float | None, softcap: float
) -> Tensor:
    """With scores capped at ±softcap by a tanh; the softmax in fp32. Both as Gemma 2's own attention."""
    scores = q @ k.transpose(2, 3) * (scaling if scaling is not None else 1 / math.sqrt(q.shape[-1]))
    scores = torch.tanh(scores / softcap) * softcap
    scores = scores.masked_fill(~visible(span, window, q.device), -math.inf)
    return scores.softmax(-1, dtype=torch.float32).to(v.dtype) @ v


def visible(span: Span, window: int | None, device: torch.device | None = None) -> Tensor:
    """Which of its prefix and itself every token of a span sees: (span, prefix + span), bool."""
    tokens, prefix = span.end - span.start, span.prefix
    seen = torch.ones(tokens, prefix + tokens, dtype=torch.bool, device=device).tril(prefix)
    return seen if window is None else seen.triu(prefix - window + 1)


AttentionInterface.register(NAME, attention_by_spans)
