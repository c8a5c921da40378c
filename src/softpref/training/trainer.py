"""Preference training on ``transformers.Trainer``: batches in, scoring, loss, metrics out."""

from __future__ import annotations

import itertools
import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import Trainer
from transformers.trainer_utils import EvalLoopOutput

from softpref.data.files import write_json
from softpref.data.formats import training_rows
from softpref.data.pairs import Completion, PairSet, PreferencePair, orient
from softpref.data.tokenization import TokenizedPair, TokenizedPairs, tokenize_pairs
from softpref.errors import InputError, NonFiniteError, OptionError, ReferenceMismatchError
from softpref.scoring.models import load_model
from softpref.scoring.plain import as_pair, pair_logps
from softpref.scoring.reference import (
    Reference,
    disable_dropout,
    frozen,
    frozen_copy,
    model_identity,
    without_adapter,
)
from softpref.training.config import SoftPreferenceConfig
from softpref.training.metrics import RunningMeans, pair_metrics, prefixed

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

REFERENCE_FILE = "reference.json"


class SoftPreferenceTrainer(Trainer):
    """Trains a causal language model on pairs with soft labels, or on completions with ``loss_type="sft"``.

    An update is a fixed set of pairs: ``per_device_train_batch_size × gradient_accumulation_steps`` on every rank, and its
    loss is ``Σ w·ℓ / Σ w`` over all of them, however they are split.

    Args:
        model: the policy, or the name or folder to load it from.
        args: see ``SoftPreferenceConfig``.
        train_dataset, eval_dataset: a ``PairSet`` from ``read_pairs``, pairs, completions, or rows (a ``datasets.Dataset``
            or dicts) with the columns that ``softpref.data.validation`` lists. Rows are oriented to p ≥ ½.
        processing_class: the tokenizer; required.
        ref_model: the reference; None means a frozen copy of the policy as it is now (with PEFT: its base).
        peft_config: wraps the policy in an adapter before training.

    Raises:
        InputError: the data or the options are wrong.
        ReferenceMismatchError: at step 0 the policy differs from its own reference, or a checkpoint was made with another.
    """

    args: SoftPreferenceConfig
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: PreTrainedModel | str,
        args: SoftPreferenceConfig,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        ref_model: PreTrainedModel | None = None,
        peft_config: Any = None,
        **kwargs: Any,
    ) -> None:
        if processing_class is None:
            raise OptionError("give the tokenizer as processing_class")
        self.method = args.method()
        if isinstance(model, str):
            model = load_model(model)
        disable_dropout(model)
        if self.method.base.needs_reference:
            _refuse_trained_adapter(model, ref_model)
        self.policy_identity = model_identity(model)
        model = _with_adapter(model, peft_config)
        self.reference = self._make_reference(model, ref_model)
        super().__init__(
            model=model,
            args=args,
            train_dataset=self._tokenized(train_dataset, "train_dataset", processing_class, args),
            eval_dataset=self._tokenized(eval_dataset, "eval_dataset", processing_class, args),
            processing_class=processing_class,
            data_collator=list,
            **kwargs,
        )
        if self.reference is not None and not self.reference.adapter:
            self.reference.model.to(self.args.device)
        self._means = RunningMeans()
        self._logged_at = time.perf_counter()
        self._gate_open = True
        self.step_zero_difference: float | None = None

    def _make_reference(self, model: nn.Module, ref_model: nn.Module | None) -> Reference | None:
        if not self.method.base.needs_reference:
            if ref_model is not None:
                raise OptionError(f"{self.method.name} needs no reference: leave ref_model out")
            return None
        if ref_model is not None:
            if ref_model is model:
                raise OptionError("ref_model is the policy itself, which training would change: leave it out")
            disable_dropout(ref_model)
            return frozen(ref_model)
        return without_adapter(model) if hasattr(model, "peft_config") else frozen_copy(model)

    def _tokenized(
        self, dataset: Any, name: str, tokenizer: PreTrainedTokenizerBase, args: SoftPreferenceConfig
    ) -> TokenizedPairs | None:
        if dataset is None:
            return None
        name = dataset.name if isinstance(dataset, PairSet) else name
        rows = rows_of(dataset, name)
        self._check_labels(rows, name, args)
        tokenized = tokenize_pairs(
            rows, tokenizer, args.token_options(), name=name, with_rejected=self.method.base.needs_rejected
        )
        if any(vars(tokenized.counts)[drop] for drop in ("cut", "too_long", "boundary")):
            logger.warning("%s: %s", name, tokenized.counts)
        return tokenized

    def _check_labels(self, rows: Sequence[PreferencePair | Completion], name: str, args: SoftPreferenceConfig) -> None:
        if self.method.base.needs_rejected and any(isinstance(row, Completion) for row in rows):
            raise InputError(
                f"{name}: holds completions, but {self.method.name} compares two responses; use loss_type sft"
            )
        unlabelled = [row for row in rows if isinstance(row, PreferencePair) and row.soft_label is None]
        # A bare base loss means hard; but that p was forgotten and that it is not wanted look alike unless said.
        asked_for_hard = self.method.treatment == "hard" and args.label_treatment == "hard"
        if unlabelled and self.method.base.needs_rejected and not asked_for_hard:
            raise InputError(
                f"{name}: row {unlabelled[0].row} has no soft_label; label the pairs (soft_label, votes_1/votes_2, or "
                "chosen_reward/rejected_reward), or set label_treatment to 'hard' to take chosen as simply better"
            )

    # --- one update -------------------------------------------------------------------------------------------------

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> tuple[list[Any], Any]:
        """The micro-batches of one update, and Σ w over all of them and all ranks."""
        batches = list(itertools.islice(epoch_iterator, num_batches))
        total = sum((self._weights(batch, device).sum() for batch in batches), torch.zeros((), device=device))
        return batches, self.accelerator.reduce(total, reduction="sum")

    def compute_loss(
        self,
        model: nn.Module,
        inputs: list[TokenizedPair],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Any:
        """This micro-batch's share of the update's ``Σ w·ℓ / Σ w``, times the number of ranks that DDP will divide by."""
        losses, pair, label, weight = self._losses(model, inputs)
        total = weight.sum() if num_items_in_batch is None else num_items_in_batch
        share = (losses * weight).sum() / total.clamp_min(torch.finfo(losses.dtype).tiny)
        raw_weight = torch.tensor([row.weight for row in inputs], device=losses.device, dtype=losses.dtype)
        self._means.add(pair_metrics(self.method, pair, label, raw_weight))
        self._means.count(pairs=len(inputs), tokens=sum(row.tokens for row in inputs))
        share = share * self.accelerator.num_processes
        return (share, None) if return_outputs else share

    def _losses(self, model: nn.Module, rows: list[TokenizedPair]) -> tuple[Tensor, Any, Tensor | None, Tensor]:
        policy = pair_logps(model, rows)
        reference = None if self.reference is None else self.reference.pair_logps(rows)
        if self._gate_open and reference is not None:
            self._step_zero_gate(policy, reference)
        pair = as_pair(policy, reference)
        label = self._labels(rows, pair.chosen)
        losses = self.method(pair, label)
        _stop_if_not_finite(losses, pair.margin if reference is not None else pair.chosen, rows, self.state.global_step)
        return losses, pair, label, self._weights(rows, losses.device).to(losses.dtype)

    def _labels(self, rows: list[TokenizedPair], like: Tensor) -> Tensor | None:
        if any(row.soft_label is None for row in rows):
            return None
        return torch.tensor([row.soft_label for row in rows], device=like.device, dtype=like.dtype)

    def _weights(self, rows: list[TokenizedPair], device: torch.device) -> Tensor:
        drops_ties = self.method.treatment == "hard" and self.args.ties != "keep"
        return torch.tensor(
            [0.0 if drops_ties and row.soft_label == 0.5 else row.weight for row in rows], device=device
        )

    # --- the reference ----------------------------------------------------------------------------------------------

    def _step_zero_gate(self, policy: tuple[Tensor, ...], reference: tuple[Tensor, ...]) -> None:
        self._gate_open = False
        if self.reference is None or self.policy_identity != self.reference.identity:
            logger.warning("the reference is another model than the start of the policy: no step-0 check")
            return
        difference = max(float((a - b).detach().abs().max()) for a, b in zip(policy[:2], reference[:2], strict=True))
        self.step_zero_difference = difference
        logger.info("step 0: policy and reference differ by at most %.2g nats", difference)
        if not difference <= self.args.reference_tolerance:
            raise ReferenceMismatchError(
                f"policy and reference have the same weights but differ by {difference:.3g} nats at step 0 (tolerance "
                f"{self.args.reference_tolerance}): something random or stateful is left on in the model"
            )

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> Any:
        """As ``Trainer.train``; a checkpoint made with another reference is refused."""
        if resume_from_checkpoint:
            self._gate_open = False
            self._check_resumed_reference(resume_from_checkpoint)
        self._logged_at = time.perf_counter()
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def _check_resumed_reference(self, checkpoint: str | bool) -> None:
        from transformers.trainer_utils import get_last_checkpoint

        folder = get_last_checkpoint(str(self.args.output_dir)) if checkpoint is True else str(checkpoint)
        record = Path(folder or "") / REFERENCE_FILE
        if self.reference is None or folder is None:
            return
        if not record.is_file():
            raise ReferenceMismatchError(f"{folder}: says nothing of its reference ({REFERENCE_FILE} is missing)")
        made_with = json.loads(record.read_text())["identity"]
        if made_with != self.reference.identity:
            raise ReferenceMismatchError(
                f"{folder}: was trained against reference {made_with[:12]}, but this run's reference is "
                f"{self.reference.identity[:12]}; start from the same model, or give it as ref_model"
            )

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.reference is not None and self.args.should_save:
            folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
            write_json(folder / REFERENCE_FILE, {"identity": self.reference.identity})

    # --- logging and evaluation -------------------------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Training lines get the pair metrics since the last one."""
        if "loss" in logs:
            now = time.perf_counter()
            logs.update(self._means.drain(self.accelerator, now - self._logged_at))
            self._logged_at = now
        super().log(logs, start_time)

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Σ wℓ / Σ w and the pair metrics over the whole evaluation set."""
        means, rows = RunningMeans(), 0
        self.model.eval()
        with torch.no_grad(), self.compute_loss_context_manager():
            for batch in dataloader:
                losses, pair, label, weight = self._losses(self.model, batch)
                means.add({"loss": (losses, weight)})
                means.add(pair_metrics(self.method, pair, label, torch.ones_like(losses)))
                rows += len(batch)
        self._logged_at = time.perf_counter()
        metrics = prefixed(means.drain(self.accelerator), metric_key_prefix)
        return EvalLoopOutput(predictions=(), label_ids=None, metrics=metrics, num_samples=rows)

    def floating_point_ops(self, inputs: list[TokenizedPair]) -> int:
        """6 · parameters · tokens, both padded sequences of a pair counted (Kaplan et al. 2020, eq. 2.2)."""
        tokens = sum(2 * len(row.prompt) + len(row.chosen) + len(row.rejected) for row in inputs)
        return int(6 * tokens * sum(p.numel() for p in self.model.parameters()))


def rows_of(dataset: Any, name: str) -> Sequence[PreferencePair | Completion]:
    """Pairs, completions, or rows of any table, as oriented pairs or completions."""
    if isinstance(dataset, PairSet):
        return dataset.pairs
    rows = list(dataset)
    if all(isinstance(row, PreferencePair | Completion) for row in rows):
        return [orient(row) if isinstance(row, PreferencePair) else row for row in rows]
    if not all(isinstance(row, Mapping) for row in rows):
        raise InputError(f"{name}: holds {type(rows[0]).__name__}; give a PairSet, pairs, completions or rows")
    return list(training_rows(enumerate(rows, start=1), name))


def _with_adapter(model: nn.Module, peft_config: Any) -> Any:
    if peft_config is None:
        return model
    from peft import get_peft_model

    return get_peft_model(model, peft_config)


def _refuse_trained_adapter(model: nn.Module, ref_model: nn.Module | None) -> None:
    """A policy whose adapter is trained already has a base that is *not* its start: the wrong reference."""
    if not hasattr(model, "peft_config") or ref_model is not None:
        return
    if any(".lora_B." in name and bool(value.any()) for name, value in model.named_parameters()):
        raise ReferenceMismatchError(
            "the policy carries a trained adapter, so with the adapter off it is not where this run starts: "
            "merge it first (merge_and_unload), or give ref_model"
        )


def _stop_if_not_finite(losses: Tensor, scores: Tensor, rows: Iterable[TokenizedPair], step: int) -> None:
    bad = ~(torch.isfinite(losses) & torch.isfinite(scores))
    if bad.any():
        named = [row.row for row, wrong in zip(rows, bad.tolist(), strict=True) if wrong]
        raise NonFiniteError(
            f"step {step}: the loss or the log-probs of rows {named} are not finite; lower the learning rate, "
            "or train in bf16 or fp32"
        )
