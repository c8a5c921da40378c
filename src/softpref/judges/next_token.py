"""Log-probs of a model's next token for many prompts, with what prompts begin with computed once."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from softpref.data.model_lengths import alike, one_rope_length, reset_ropes, shows_more, thresholds
from softpref.judges.header import Header, Ids, common_length

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import DynamicCache, PreTrainedModel

# How far both ways of computing may differ, in nats; more in half precision, where log-probs themselves are that coarse.
TOLERANCE, TOLERANCE_IN_EPS = 1e-3, 16

logger = logging.getLogger(__name__)


class NextToken:
    """Log-softmax of a model's next token, in batches; for pairs of rows, what they begin with is computed once.

    What a model can do is not asked of its kind but of its numbers, on the ``watched`` tokens: the first batch with padding,
    and later ones that go further beyond a length that the configuration names, against its shortest row alone; and of every
    batch of pairs that is longer than any before the longest and the shortest pair against the plain way. Where they differ,
    rows are computed one by one, or the plain way is taken, from then on; a warning says so. Rows with another rope each are
    never computed together.
    """

    def __init__(self, model: PreTrainedModel, watched: Ids) -> None:
        bare = model.get_base_model() if hasattr(model, "get_base_model") else model  # PEFT hides the signature
        self.model = model
        self.watched = watched
        self.accepts = set(inspect.signature(bare.forward).parameters)
        self.shares = {"past_key_values", "position_ids", "logits_to_keep"} <= self.accepts
        self.pads = True
        self._padded_length = 0
        self._limits = thresholds(model)
        self._together = one_rope_length(model)
        self._trusted_length = 0
        self._header = Header(self._of_header)

    def of_rows(self, rows: Sequence[Ids]) -> Tensor:
        """(N, V) in nats for N rows."""
        import torch

        groups = alike(self.model, [len(row) for row in rows])
        logps = torch.cat([self._of_alike([rows[place] for place in group]) for group in groups])
        order = torch.tensor([place for group in groups for place in group], device=logps.device).argsort()
        return logps[order] if len(groups) > 1 else logps

    def _of_alike(self, rows: Sequence[Ids]) -> Tensor:
        """Of rows that may be computed together, padded where that was found to change nothing."""
        import torch

        if self.pads:
            batch = self._plain(rows)
            shortest = min(range(len(rows)), key=lambda i: len(rows[i]))
            longest = max(map(len, rows))
            if len(rows[shortest]) == longest or not shows_more(longest, self._padded_length, self._limits):
                return batch
            self._padded_length = longest
            gap = self._gap(batch[shortest], self._plain([rows[shortest]])[0])
            self.pads = gap <= self._tolerance
            if self.pads:
                return batch
            self._warn(f"padding changes its log-probs by {gap:.2g} nats; rows are computed one by one")
        return torch.cat([self._plain([row]) for row in rows])

    def of_pairs(self, pairs: Sequence[tuple[Ids, Ids]]) -> Tensor:
        """(2B, V) in nats for B pairs of rows with at least their first token in common: pair by pair, as given."""
        if self.shares and self._one_rope(pairs):
            try:
                shared = self._shared(pairs)
            except (RuntimeError, TypeError, ValueError, AttributeError, IndexError, NotImplementedError) as error:
                self._share_no_more(f"is not possible with its cache ({type(error).__name__}: {error})")
            else:
                if self._trusted(pairs, shared):
                    return shared
        return self.of_rows([row for pair in pairs for row in pair])

    def _one_rope(self, pairs: Sequence[tuple[Ids, Ids]]) -> bool:
        """Whether what is kept of the beginning has the rope that all these rows have alone."""
        return self._together is None or max(len(row) for pair in pairs for row in pair) <= self._together

    def _trusted(self, pairs: Sequence[tuple[Ids, Ids]], shared: Tensor) -> bool:
        """Compare the longest and the shortest pair with the plain way, unless a batch as long has been compared before."""
        lengths = [max(map(len, pair)) for pair in pairs]
        if max(lengths) <= self._trusted_length:
            return True
        places = sorted({lengths.index(max(lengths)), lengths.index(min(lengths))})
        plain = self.of_rows([row for place in places for row in pairs[place]])
        gap = self._gap(shared[[2 * place + order for place in places for order in (0, 1)]], plain)
        if not gap <= self._tolerance:  # nan is no agreement
            self._share_no_more(f"changes its log-probs by {gap:.2g} nats")
            return False
        self._trusted_length = max(lengths)
        return True

    def _share_no_more(self, problem: str) -> None:
        self.shares = False
        self._warn(f"computing once what two questions share {problem}; the plain way is taken")

    @property
    def _tolerance(self) -> float:
        import torch

        return max(TOLERANCE, TOLERANCE_IN_EPS * torch.finfo(self.model.dtype).eps)

    def _gap(self, one: Tensor, other: Tensor) -> float:
        """Largest difference on the watched tokens; 0 where both are the same infinity."""
        one, other = one[..., self.watched], other[..., self.watched]
        return float((one - other).abs().masked_fill(one == other, 0.0).max())

    def _warn(self, what: str) -> None:
        logger.warning("%s: %s", type(self.model).__name__, what)

    def _plain(self, rows: Sequence[Ids]) -> Tensor:
        """Padded on the left, so that one column is the last of all."""
        import torch

        ids, mask = self._padded(rows, left=True)
        reset_ropes(self.model)
        with torch.inference_mode():
            return _log_softmax(self._forward(ids, mask, keep=1, use_cache=False).logits[:, -1])

    def _shared(self, pairs: Sequence[tuple[Ids, Ids]]) -> Tensor:
        """The prefix of each pair once into a cache, padded on the left; then both rests of each, padded on the right.

        So there is no padding between the two, and columns count as positions do (a sliding window counts columns). Of a
        prefix, the header that all have is in the cache already.
        """
        import torch

        reset_ropes(self.model)
        with torch.inference_mode():
            if self._header.fit([one[: common_length(one, other)] for one, other in pairs]):
                self._trusted_length = 0
            known = len(self._header.ids)
            prefixes, rests = _split(pairs, known + 1)
            ids, mask = self._padded(prefixes, left=True)
            rest_ids, rest_mask = self._padded(rests, left=False)
            cache = self._cached(ids[:, known:], mask, self._header.before((mask == 0).sum(1)))
            cache.batch_repeat_interleave(2)
            whole_mask = torch.cat([mask.repeat_interleave(2, 0), rest_mask], 1)
            ends, end_of = torch.unique(rest_mask.sum(1) - 1, return_inverse=True)
            out = self._forward(rest_ids, whole_mask, keep=ends, use_cache=True, past_key_values=cache)
            return _log_softmax(out.logits[torch.arange(len(rests), device=end_of.device), end_of])

    def _cached(self, ids: Tensor, mask: Tensor, before: DynamicCache | None) -> DynamicCache:
        """What the model keeps of these ids, behind what is there. Raises TypeError where that cannot be repeated."""
        from transformers import DynamicCache

        cache = self._forward(ids, mask, keep=1, use_cache=True, past_key_values=before).past_key_values
        if not isinstance(cache, DynamicCache):
            raise TypeError(f"a {type(cache).__name__} cannot be repeated")
        return cache

    def _of_header(self, ids: Ids) -> DynamicCache:
        row, mask = self._padded([ids], left=True)
        return self._cached(row, mask, None)

    def _forward(self, ids: Tensor, mask: Tensor, keep: int | Tensor, **options: Any) -> Any:
        """``mask`` covers what is in the cache too; positions count what it shows."""
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        optional = {"position_ids": positions, "logits_to_keep": keep}
        accepted = {name: value for name, value in optional.items() if name in self.accepts}
        return self.model(input_ids=ids, attention_mask=mask, **accepted, **options)

    def _padded(self, rows: Sequence[Ids], left: bool) -> tuple[Tensor, Tensor]:
        """Ids and attention mask, each (N, T); the id under padding is 0 and nothing attends to it."""
        import torch

        ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            place = slice(ids.shape[1] - len(row), None) if left else slice(len(row))
            ids[i, place], mask[i, place] = torch.tensor(row), 1
        return ids.to(self.model.device), mask.to(self.model.device)


def _split(pairs: Sequence[tuple[Ids, Ids]], least: int = 1) -> tuple[list[Ids], list[Ids]]:
    """B prefixes, each the beginning of both rows of its pair and at least ``least`` tokens long, and the 2B rests.

    Rests are padded to the longest anyway, so every other takes in as much of its prefix as fits there: prefixes get
    shorter, and nearly all rows end in the same column, which is all that the vocabulary is computed for.
    """
    longest_rest = max(max(len(one), len(other)) - common_length(one, other) for one, other in pairs)
    prefixes = [one[: max(least, min(len(one), len(other)) - longest_rest)] for one, other in pairs]
    rests = [row[len(prefix) :] for pair, prefix in zip(pairs, prefixes, strict=True) for row in pair]
    return prefixes, rests


def _log_softmax(logits: Tensor) -> Tensor:
    """In fp32 whatever the model's dtype (fp64 stays): bf16 would round log-probs to two digits."""
    import torch

    precise = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
    return precise.log_softmax(-1)
