"""The fast path: prompts and responses computed once, no padding, and the vocabulary only where a response token is predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from softpref.data.distinct import distinct_responses
from softpref.data.model_lengths import one_rope_length, reset_ropes
from softpref.data.tokenization import TokenizedPair
from softpref.loading.transformers_seam import exchanges_attention
from softpref.scoring.attention import CannotPackError, causal_lm, packed_attention
from softpref.scoring.chunked_head import HeadRule, token_logps
from softpref.scoring.packing import Group, PackedRow, pack
from softpref.scoring.plain import pair_logps
from softpref.scoring.router_loss import asks_for_router
from softpref.scoring.scores import PairScores, of_sides

if TYPE_CHECKING:
    from torch import Tensor

KNOWN_LAYERS = {"full_attention", "sliding_attention"}


@dataclass(frozen=True)
class PackedScorer:
    """A ``Scorer`` over packed rows.

    Attributes:
        share_prompt: compute a prompt once; False computes it for each of its responses, still without padding.
        chunked_head: the vocabulary in pieces; False lets the model make its logits, at the positions that are scored.

    Raises CannotPackError for a model that cannot be computed so.
    """

    share_prompt: bool = True
    chunked_head: bool = True

    def __call__(self, model: nn.Module, pairs: Sequence[TokenizedPair]) -> PairScores:
        """Scores of B pairs; a side that is not there has log-prob 0 and length 1.

        Pairs of one prompt share it, and a response that several of them have is computed once.
        Pairs with a sequence of another rope than the short ones' are computed on the plain path, all of them.
        """
        together = one_rope_length(model)
        if together is not None:
            if any(len(pair.prompt) + max(len(pair.chosen), len(pair.rejected)) > together for pair in pairs):
                return pair_logps(model, pairs)
            reset_ropes(model)
        distinct = distinct_responses(pairs)
        groups = [Group(*one) for one in zip(distinct.prompts, distinct.responses, strict=True)]
        return of_sides(*self.response_logps(model, groups), distinct.sides)

    def response_logps(self, model: nn.Module, groups: Sequence[Group]) -> tuple[Tensor, Tensor]:
        """Sums of log π(response token | all before it) in nats, and lengths in tokens, of all R responses: (R,) each."""
        refuse_unknown_attention(model)
        row = pack(groups, self.share_prompt)
        device = next(model.parameters()).device
        response_of = row.response_of.to(device)
        # a model refuses a row of no tokens; nothing is scored in it
        nothing = next(model.parameters()).flatten()[:0]
        logps = self._token_logps(model, row, device) if len(row.predictors) else nothing
        sums = logps.new_zeros(len(row.lengths)).index_add(0, response_of, logps)
        return sums, row.lengths.to(device, sums.dtype)

    def _token_logps(self, model: nn.Module, row: PackedRow, device: torch.device) -> Tensor:
        predictors, targets = row.predictors.to(device), row.targets.to(device)
        inner = causal_lm(model)
        head = inner.get_output_embeddings()
        if not self.chunked_head or type(head) is not nn.Linear:
            logits: Tensor = forward_row(model, row, device, predictors).logits[0]
            logits = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
            return logits.gather(1, targets[:, None]).squeeze(1) - logits.logsumexp(1)
        hidden: list[Tensor] = []
        hook = inner.get_decoder().register_forward_hook(lambda _module, _given, made: hidden.append(made[0]))
        try:
            # Through the model's own forward, which DDP and autocast wrap, but with no position for its head.
            forward_row(model, row, device, predictors[:0])
        finally:
            hook.remove()
        return token_logps(hidden[0][0].index_select(0, predictors), head, targets, head_rule(inner.config))


def forward_row(model: nn.Module, row: PackedRow, device: torch.device, keep: Tensor) -> Any:
    """The model's own forward over a packed row, with logits at the columns ``keep``."""
    # the router's loss would be of a mask that is not the row's
    silent = {"output_router_logits": False} if asks_for_router(model) else {}
    with packed_attention(model):
        return model(
            **silent,
            input_ids=row.ids.to(device),
            position_ids=row.positions.to(device),
            # A mask of four dimensions is taken as it is; that spares the model from making one of (T, T).
            attention_mask=torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device),
            softpref_spans=row.spans,
            use_cache=False,
            logits_to_keep=keep,
        )


def refuse_unknown_attention(model: nn.Module) -> None:
    """Raises CannotPackError for layers that are not causal attention, whole or windowed, behind the common interface."""
    inner = causal_lm(model)
    config = inner.config.get_text_config()
    if learned_prompt(model):
        raise CannotPackError("its adapter puts learned tokens before every row")
    if not exchanges_attention(inner):
        raise CannotPackError("its attention cannot be exchanged through transformers")
    layers = set(getattr(config, "layer_types", None) or ()) - KNOWN_LAYERS
    if layers or getattr(config, "attention_chunk_size", None):
        raise CannotPackError(f"it has layers of another kind ({', '.join(sorted(layers)) or 'chunked attention'})")


def learned_prompt(model: nn.Module) -> int:
    """Tokens that an adapter (prompt, prefix or P-tuning) puts before every row; 0 without one."""
    adapter: Any = getattr(getattr(model, "module", model), "active_peft_config", None)
    return int(adapter.num_virtual_tokens) if getattr(adapter, "is_prompt_learning", False) else 0


def head_rule(config: Any) -> HeadRule:
    """What the model does to its logits, as far as its configuration says; the self-check finds what it does not say."""
    config = config.get_text_config()
    scale = getattr(config, "logit_scale", None) or 1.0
    divisor = getattr(config, "logits_scaling", None) or 1.0
    return HeadRule(scale / divisor, getattr(config, "final_logit_softcapping", None))
