"""A reward model from soft labels: a Bradley–Terry fit of scores, ready to be a judge.

The loss is the cross-entropy of s(r1 − r2) with p, which is the core's conservative dpo with a score in place of a
log-ratio and β = 1. So a difference of scores is a log-odds, and the judge's scale is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from copy import copy
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import Trainer, TrainingArguments

from softpref.core import PairLogps, preference_loss
from softpref.data.model_lengths import alike, reset_ropes
from softpref.data.pairs import PairSet, PreferencePair
from softpref.errors import DataError, Fault, InputError, OptionError
from softpref.judges.reward_model import RewardModelJudge
from softpref.loading.vocabulary import check_vocabulary, embedding_rows, name_of
from softpref.scoring.plain import without_sync
from softpref.training.trainer import rows_of
from softpref.training.trainer_inputs import PASSED_ON, check_rows, plain_arguments, tokenizer_of
from softpref.training.trl_arguments import trainer_arguments

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

# Two encoded responses, P(first ≻ second), and the pair's weight.
ScoredPair = tuple[dict[str, list[int]], dict[str, list[int]], float, float]


# There is no evaluation, so nothing to compute metrics of.
_PASSED_ON = tuple(name for name in PASSED_ON if name != "compute_metrics")


class RewardModelTrainer(Trainer):
    """Trains a sequence classifier with one output on pairs with soft labels.

    A batch's loss is ``Σ w·ℓ / Σ w`` with ``ℓ = −p·log s(r1 − r2) − (1 − p)·log s(r2 − r1)`` (Bradley–Terry; arXiv
    2409.06691, §2). Prompt and response are read as ``RewardModelJudge`` reads them.

    Args:
        model: a sequence classifier with ``num_labels=1`` and a pad token.
        args: ``transformers.TrainingArguments``; there is no evaluation.
        train_dataset: a ``PairSet``, pairs, or rows, all with soft labels.
        processing_class: the tokenizer, or a processor, whose tokenizer is taken; None means the one that lies with the model.
        kwargs: ``callbacks``, ``optimizers`` and ``optimizer_cls_and_kwargs``, as ``transformers.Trainer`` takes them.

    Raises:
        DataError: pairs without a soft label, or that the model cannot read; all rows together.
        InputError: the model has more than one output, or no pad token.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        args: TrainingArguments,
        train_dataset: Any,
        processing_class: Any = None,
        **kwargs: Any,
    ) -> None:
        args = copy(plain_arguments(args))
        kwargs = trainer_arguments(kwargs, _PASSED_ON, (field.name for field in fields(args)))
        check_rows(train_dataset, "train_dataset")
        processing_class = tokenizer_of(processing_class, model)
        self.pad = model.config.get_text_config().pad_token_id
        if self.pad is None:
            raise InputError("the reward model's configuration has no pad_token_id: set it to the tokenizer's")
        if args.eval_strategy != "no":
            raise OptionError("a reward model is not evaluated while it is trained: leave eval_strategy out")
        check_vocabulary(processing_class, embedding_rows(model), name_of(model))
        reader = RewardModelJudge(model, processing_class, "in training", scale=1.0)
        name = train_dataset.name if isinstance(train_dataset, PairSet) else "train_dataset"
        rows = _encoded(rows_of(train_dataset, name), reader, name)
        args.remove_unused_columns = False
        super().__init__(
            model=model, args=args, train_dataset=rows, processing_class=processing_class, data_collator=list, **kwargs
        )

    def compute_loss(
        self,
        model: nn.Module,
        inputs: list[ScoredPair],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Any:
        """``Σ w·ℓ / Σ w`` over the batch."""
        rewards = self._rewards(model, [row for first, second, _, _ in inputs for row in (first, second)]).reshape(
            -1, 2
        )  # (B, 2)
        labels, weights = (rewards.new_tensor([pair[i] for pair in inputs]) for i in (2, 3))
        zero = torch.zeros_like(labels)
        losses = preference_loss("cdpo", PairLogps(rewards[:, 0], rewards[:, 1], zero, zero), labels, beta=1.0)
        loss = (losses * weights).sum() / weights.sum().clamp_min(torch.finfo(losses.dtype).tiny)
        return (loss, None) if return_outputs else loss

    def _rewards(self, model: nn.Module, rows: Sequence[dict[str, list[int]]]) -> Tensor:
        """(N,) scores in fp32; rows with another rope each have a forward each."""
        groups = alike(model, [len(row["input_ids"]) for row in rows])
        found = []
        for i, group in enumerate(groups):
            reset_ropes(model)
            with without_sync(model) if i + 1 < len(groups) else nullcontext():
                found.append(model(**self._padded([rows[place] for place in group])).logits.float().reshape(-1))
        scores = torch.cat(found)
        return scores[torch.tensor([place for group in groups for place in group], device=scores.device).argsort()]

    def _padded(self, rows: Sequence[dict[str, list[int]]]) -> dict[str, Tensor]:
        columns = {name: [torch.tensor(row[name]) for row in rows] for name in rows[0]}
        columns["attention_mask"] = [torch.ones_like(ids) for ids in columns["input_ids"]]
        fill = {"input_ids": self.pad}
        return {
            name: pad_sequence(column, batch_first=True, padding_value=fill.get(name, 0)).to(self.args.device)
            for name, column in columns.items()
        }


def _encoded(pairs: Sequence[Any], reader: RewardModelJudge, name: str) -> list[ScoredPair]:
    found: list[ScoredPair] = []
    faults: list[Fault] = []
    for pair in pairs:
        if not isinstance(pair, PreferencePair) or pair.soft_label is None:
            faults.append(Fault(pair.row, "soft_label", "is missing", "label the pair first"))
            continue
        sides = {side: reader.encoded(pair.prompt, getattr(pair, side)) for side in ("chosen", "rejected")}
        faults += [
            Fault(pair.row, side, read, "shorten or drop the pair") for side, read in sides.items() if isinstance(read, str)
        ]
        chosen, rejected = sides.values()
        if not isinstance(chosen, str) and not isinstance(rejected, str):
            found.append((chosen, rejected, pair.soft_label, pair.weight))
    if faults:
        raise DataError(name, faults)
    return found
