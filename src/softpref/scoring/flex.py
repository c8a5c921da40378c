"""A packed row's attention as a block mask of FlexAttention, for GPUs where FlashAttention cannot be had; off unless asked for.

A token sees two runs of columns: the end of its prefix, and its own span up to itself. A window moves where they begin, and
nothing else, so one compiled kernel serves all layers and rows.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from softpref.errors import OptionError, first_line
from softpref.scoring.packing import Span
from softpref.scoring.torch_seam import floats_as_constants

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn.attention.flex_attention import BlockMask

logger = logging.getLogger(__name__)

# In the environment; off until the kernel has run on a GPU (pytest -m gpu).
SWITCH = "SOFTPREF_FLEX_ATTENTION"
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
BLOCK = 128
# What the compiled kernel is proved on: several blocks, a prefix that ends within one, a span that begins within one.
PROOF = (Span(0, 200, 0, 0), Span(200, 290, 0, 150), Span(290, 310, 290, 290))
PROOF_ERROR = 0.05


class Kind(NamedTuple):
    """What a kernel is compiled for."""

    device: torch.device
    dtype: torch.dtype
    heads: int
    key_heads: int
    size: int
    value_size: int
    scaling: float | None
    softcap: float | None


class Runs(NamedTuple):
    """The columns that each of T tokens sees: ``prefix_from:prefix_end``, and ``own_from`` to its own; (T,) each."""

    prefix_from: Tensor
    prefix_end: Tensor
    own_from: Tensor


def compiled_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    spans: Sequence[Span],
    window: int | None,
    scaling: float | None,
    softcap: float | None,
) -> Tensor | None:
    """``block_attention``, compiled; None where it cannot be, which is logged once, or is not asked for.

    Raises OptionError for a value of ``SOFTPREF_FLEX_ATTENTION`` that is neither 0 nor 1.
    """
    if not _is_asked_for() or not query.is_cuda or not query.dtype == key.dtype == value.dtype or query.dtype not in DTYPES:
        return None
    kind = Kind(query.device, query.dtype, query.shape[1], key.shape[1], query.shape[3], value.shape[3], scaling, softcap)
    if kind in _refused:
        return None
    try:
        _prove(kind)
        return block_attention(query, key, value, spans, window, scaling, softcap, _compiled())
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - compilers raise what they like, and spans can do without this one
        _refused.add(kind)
        why = first_line(error)
        logger.warning("attention is computed span by span, as FlexAttention cannot be had here: %s", why)
        return None


def _is_asked_for() -> bool:
    value = os.environ.get(SWITCH) or "0"
    if value not in ("0", "1"):
        raise OptionError(f"{SWITCH} is {value!r}; set it to 1 to try FlexAttention, or to 0")
    return value == "1"


_refused: set[Kind] = set()


def block_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    spans: Sequence[Span],
    window: int | None = None,
    scaling: float | None = None,
    softcap: float | None = None,
    kernel: Callable[..., Any] | None = None,
) -> Tensor:
    """All spans in one call of FlexAttention.

    Args:
        query, key, value: (1, heads, T, size); key and value may have fewer heads.
        window: a token sees this many positions, itself included.
        kernel: the compiled ``flex_attention``; left out, the uncompiled one, which makes all (T, T) scores.

    Returns (1, T, heads, size).
    """
    from torch.nn.attention.flex_attention import flex_attention

    mask = block_mask(tuple(spans), window, query.device)
    # a cap that the compiler takes for a variable, as it does with numbers if shapes are, is one that it cannot lower
    with floats_as_constants():
        found: Tensor = (kernel or flex_attention)(
            query,
            key,
            value,
            score_mod=_cap(softcap),
            block_mask=mask,
            scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )
    return found.transpose(1, 2).contiguous()


@lru_cache(maxsize=4)
def block_mask(spans: tuple[Span, ...], window: int | None, device: torch.device) -> BlockMask:
    """Which blocks of a row's (T, T) scores are computed, and what is seen in those that are not seen whole."""
    from torch.nn.attention.flex_attention import BlockMask

    own = runs(spans, window)
    touched, whole = _blocks(own)
    prefix_from, prefix_end, own_from = (one.contiguous().to(device) for one in own)

    def sees(_batch: Tensor, _head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        in_prefix = (prefix_from[q] <= k) & (k < prefix_end[q])
        return in_prefix | ((own_from[q] <= k) & (k <= q))

    tokens = len(own.own_from)
    return BlockMask.from_kv_blocks(*_listed(touched & ~whole, device), *_listed(whole, device), BLOCK, sees, (tokens, tokens))


def runs(spans: Sequence[Span], window: int | None) -> Runs:
    """What every token of a row sees, as two runs of columns.

    >>> runs((Span(0, 4, 0, 0), Span(4, 6, 0, 2)), window=3)
    prefix_from  0 0 0 0 0 1      tokens 4 and 5 continue 0 and 1; from 5, two after the prompt, 0 is out of sight
    prefix_end   0 0 0 0 2 2
    own_from     0 0 0 1 4 4
    """
    table = torch.tensor(spans)
    start, _, prefix_from, prefix_end = table.repeat_interleave(table[:, 1] - table[:, 0], 0).unbind(1)
    if window is None:
        return Runs(prefix_from, prefix_end, start)
    column = torch.arange(len(start))
    in_sight = prefix_end + column - start - window + 1
    return Runs(prefix_from.max(in_sight).min(prefix_end), prefix_end, start.max(column - window + 1))


def _blocks(seen: Runs) -> tuple[Tensor, Tensor]:
    """Which blocks of scores are seen in part or whole, and which whole: (blocks, blocks) each, bool."""
    column = torch.arange(len(seen.own_from))
    first, end = torch.cat([seen.prefix_from, seen.own_from]), torch.cat([seen.prefix_end, column + 1])
    some = first < end
    first, end, block = first[some], end[some], (column // BLOCK).repeat(2)[some]
    touched = _tally(block, first // BLOCK, (end + BLOCK - 1) // BLOCK)
    covered = _tally(block, (first + BLOCK - 1) // BLOCK, end // BLOCK)
    return touched > 0, covered == BLOCK


def _tally(block: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """How many tokens of every block have a run over each of the blocks ``low:high``: (blocks, blocks)."""
    some, count = low < high, int(block.max()) + 1
    steps = torch.zeros(count, count + 1, dtype=torch.long)
    one = torch.ones(int(some.sum()), dtype=torch.long)
    steps.index_put_((block[some], low[some]), one, accumulate=True)
    steps.index_put_((block[some], high[some]), -one, accumulate=True)
    return steps.cumsum(1)[:, :-1]


def _listed(table: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """How many blocks of keys each block of queries has, and which these are, first in its row: as BlockMask wants them."""
    order = table.int().argsort(dim=1, descending=True, stable=True)
    return table.sum(1).int()[None, None].to(device), order.int()[None, None].to(device)


@lru_cache(maxsize=8)
def _cap(softcap: float | None) -> Callable[..., Tensor] | None:
    if softcap is None:
        return None
    return lambda score, *_: softcap * torch.tanh(score / softcap)


@lru_cache(maxsize=1)
def _compiled() -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    # whole or not at all: uncompiled it would make all (T, T) scores of a row
    return torch.compile(flex_attention, dynamic=True, fullgraph=True)


@lru_cache(maxsize=32)
def _prove(kind: Kind) -> None:
    """A small row, compiled and uncompiled, forward and backward: what fails in the backward pass of a run ends it.

    Raises ArithmeticError where the two differ, and what the compiler raises.
    """
    tokens = PROOF[-1].end
    generator = torch.Generator().manual_seed(0)
    shapes = [(kind.heads, kind.size), (kind.key_heads, kind.size), (kind.key_heads, kind.value_size)]
    drawn = [torch.randn(1, heads, tokens, size, generator=generator) for heads, size in shapes]
    with torch.inference_mode(mode=False), torch.enable_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "flex_attention called without")
        made = []
        for kernel in (_compiled(), None):
            q, k, v = given = [one.to(kind.device, kind.dtype).requires_grad_() for one in drawn]
            found = block_attention(q, k, v, PROOF, None, kind.scaling, kind.softcap, kernel)
            made.append([found.detach(), *torch.autograd.grad(found.float().square().sum(), given)])
    for ours, right in zip(*made, strict=True):
        error = float((ours - right).float().norm() / right.float().norm())
        if not error <= PROOF_ERROR:
            raise ArithmeticError(f"compiled, it is {error:.2g} off")
