"""Log-probs of chosen tokens from hidden states, the vocabulary in pieces: the whole logits never exist at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

# Elements of one piece of logits: as much as the cache of one processor core, or of a GPU, takes.
PIECE = {"cpu": 1 << 19, "other": 1 << 24}
# Exponentials of logits up to this size are kept for the backward pass, which saves it a third of its work; larger ones, and
# those of capped logits, whose gradient needs the logits themselves, are made again.
KEPT_BYTES = {"cpu": 1 << 28, "other": 1 << 28}


@dataclass(frozen=True)
class HeadRule:
    """What a model does to the product of hidden states and head: ``cap·tanh(scale·logits / cap)``."""

    scale: float = 1.0
    cap: float | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        """The model's logits, in place."""
        if self.scale != 1.0:
            logits.mul_(self.scale)
        if self.cap is not None:
            logits.div_(self.cap).tanh_().mul_(self.cap)
        return logits

    def backward_(self, gradient: Tensor, logits: Tensor | None) -> Tensor:
        """The gradient with respect to the product, in place; ``logits``, which a cap needs, are those after the rule."""
        if self.cap is not None and logits is not None:
            gradient.mul_(1 - (logits / self.cap) ** 2)
        return gradient.mul_(self.scale) if self.scale != 1.0 else gradient


def token_logps(hidden: Tensor, head: nn.Linear, targets: Tensor, rule: HeadRule | None = None) -> Tensor:
    """log π(target) of M positions.

    Args:
        hidden: (M, H).
        targets: (M,) token ids.

    The naive form::

        log_softmax(rule(head(hidden)).float(), dim=-1).gather(1, targets)

    Returns (M,) nats, in fp32 (fp64 for fp64 weights). Under autocast the product is taken in its dtype, as ``nn.Linear``
    would.
    """
    kind = hidden.device.type
    weight: Tensor = head.weight
    bias: Tensor | None = head.bias
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        hidden, weight, bias = hidden.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    with torch.autocast(kind, enabled=False):
        return _TokenLogps.apply(hidden, weight, bias, targets, rule or HeadRule(), torch.is_grad_enabled())  # type: ignore[no-any-return,no-untyped-call]


class _TokenLogps(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, rule: HeadRule, graph: bool
    ) -> Tensor:
        rows, vocabulary = len(hidden), len(weight)
        kind = _accumulator(hidden)
        wants = graph and any(ctx.needs_input_grad[:3])  # asked here, gradients are always off
        keep = wants and rows * vocabulary * kind.itemsize <= _of(KEPT_BYTES, hidden) and rule.cap is None
        kept: list[Tensor] = []
        tops: list[Tensor] = []
        total = torch.full((rows,), -torch.inf, dtype=kind, device=hidden.device)
        picked = torch.zeros_like(total)
        for low, high in _pieces(rows, vocabulary, hidden):
            logits = rule(_product(hidden, weight, bias, low, high).to(kind))
            inside = ((targets >= low) & (targets < high)).nonzero().squeeze(1)
            picked[inside] = logits[inside, targets[inside] - low]
            # finite also where a whole piece is -inf, whose exponentials are then 0
            top = logits.amax(1).clamp_min(torch.finfo(kind).min)
            exps = logits.sub_(top[:, None]).exp_()
            total = torch.logaddexp(total, top + exps.sum(1).log())
            if keep:
                kept.append(exps)
                tops.append(top)
        ctx.save_for_backward(hidden, weight, bias, targets, total, *kept, *tops)
        ctx.rule, ctx.fresh = rule, True
        return picked - total

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None, None]:
        hidden, weight, bias, targets, total, *kept = ctx.saved_tensors
        # the gradient is written over what was kept: a second backward pass has to make it again
        kept, ctx.fresh = kept if ctx.fresh else [], False
        kept, tops = kept[: len(kept) // 2], kept[len(kept) // 2 :]
        wants_hidden, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        kind = _accumulator(hidden)
        d_hidden = torch.zeros_like(hidden, dtype=kind) if wants_hidden else None
        d_weight = torch.empty_like(weight) if wants_weight else None
        d_bias = torch.empty_like(bias) if wants_bias else None
        for i, (low, high) in enumerate(_pieces(len(hidden), len(weight), hidden)):
            if kept:
                after, d_logits = None, kept[i].mul_(((tops[i] - total).exp_() * -upstream)[:, None])
            else:
                logits = ctx.rule(_product(hidden, weight, bias, low, high).to(kind))
                after = logits.clone() if ctx.rule.cap is not None else None
                d_logits = logits.sub_(total[:, None]).exp_().mul_(-upstream[:, None])
            inside = ((targets >= low) & (targets < high)).nonzero().squeeze(1)
            d_logits[inside, targets[inside] - low] += upstream[inside]
            d_logits = ctx.rule.backward_(d_logits, after).to(hidden.dtype)
            if d_hidden is not None:
                d_hidden.addmm_(d_logits, weight[low:high]) if kind == hidden.dtype else d_hidden.add_(
                    d_logits @ weight[low:high]
                )
            if d_weight is not None:
                torch.mm(d_logits.T, hidden, out=d_weight[low:high])
            if d_bias is not None:
                torch.sum(d_logits, 0, out=d_bias[low:high])
        return None if d_hidden is None else d_hidden.to(hidden.dtype), d_weight, d_bias, None, None, None


def _product(hidden: Tensor, weight: Tensor, bias: Tensor | None, low: int, high: int) -> Tensor:
    if bias is None:
        return hidden @ weight[low:high].T
    return torch.addmm(bias[low:high], hidden, weight[low:high].T)


def _pieces(rows: int, vocabulary: int, like: Tensor) -> Iterator[tuple[int, int]]:
    # narrow pieces would leave the matrix product without enough columns to be fast
    width = min(vocabulary, max(512, _of(PIECE, like) // max(rows, 1)))
    for low in range(0, vocabulary, width):
        yield low, min(low + width, vocabulary)


def _of(sizes: dict[str, int], like: Tensor) -> int:
    return sizes["cpu"] if like.device.type == "cpu" else sizes["other"]


def _accumulator(like: Tensor) -> torch.dtype:
    return torch.float32 if like.dtype in (torch.bfloat16, torch.float16) else like.dtype
