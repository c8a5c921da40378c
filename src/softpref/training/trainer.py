"""Preference training on ``transformers.Trainer``: batches in, scoring, loss, metrics out."""

from __future__ import annotations

import itertools
import logging
import math
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from transformers import Trainer
from transformers.trainer_utils import EvalLoopOutput, PredictionOutput, rotate_checkpoints

from softpref.core.names import OWN
from softpref.core.pair import PairLogps
from softpref.data.batching import micro_batches
from softpref.data.files import writing
from softpref.data.formats import training_rows
from softpref.data.model_lengths import position_limit
from softpref.data.output_lock import only_writer
from softpref.data.pairs import Completion, PairSet, PreferencePair, orient
from softpref.data.tables import is_table, table_rows
from softpref.data.token_cache import cached_tokens
from softpref.data.token_notes import token_notes
from softpref.data.token_table import JoinedRows
from softpref.data.tokenization import TokenizedPair, TokenizedPairs, tokenize_pairs
from softpref.errors import InputError, OptionError, ReferenceMismatchError, StorageError
from softpref.loading.vocabulary import check_vocabulary, embedding_rows, name_of
from softpref.records.record import Record
from softpref.records.settings import ReferenceRecord
from softpref.scoring.attention import causal_lm, packed_attention
from softpref.scoring.identity import model_identity
from softpref.scoring.plain import every_side_logps
from softpref.scoring.randomness import disable_dropout, refuse_randomness
from softpref.scoring.reference import CachedReference, Reference
from softpref.scoring.router_loss import recorded_router_loss, router_coefficient
from softpref.scoring.scores import PairScores
from softpref.scoring.self_check import CheckedScorer, checked_scorer, longest_sequence, plain_scorer, tolerance
from softpref.scoring.shared_prefix import learned_prompt
from softpref.training.adapters import check_resumable, check_trainable, with_adapter
from softpref.training.checkpoints import (
    begin_checkpoint,
    can_resume,
    checkpoint_fault,
    last_whole_checkpoint,
    seal_checkpoint,
)
from softpref.training.config import SoftPreferenceConfig
from softpref.training.finite_guard import FiniteGuard
from softpref.training.metrics import RunningMeans, pair_metrics, prefixed, trl_metrics
from softpref.training.predictions import Predictions, computed_metrics
from softpref.training.references import make_reference, precomputed, precomputes, remember_reference
from softpref.training.trainer_inputs import OPTIONS, PASSED_ON, check_rows, loaded_policy, preference_config, tokenizer_of
from softpref.training.trainer_seam import checkpoint_folder, own_rows
from softpref.training.trl_arguments import is_dpo_config, trainer_arguments

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

REFERENCE_FILE = "reference.json"
Decision = TypeVar("Decision")


class SoftPreferenceTrainer(Trainer):
    """Trains a causal language model on pairs with soft labels, or on completions with ``loss_type="sft"``.

    An update is a fixed set of pairs: ``per_device_train_batch_size × gradient_accumulation_steps`` on every rank, and its
    loss is ``Σ w·ℓ / Σ w`` over all of them, however they are split.

    Args:
        model: the policy, or the name or folder to load it from.
        args: see ``SoftPreferenceConfig``.
        train_dataset, eval_dataset: a ``PairSet`` from ``read_pairs``, pairs, completions, or rows (a ``datasets.Dataset``
            or dicts) with the columns that ``softpref.data.validation`` lists. Rows are oriented to p ≥ ½.
            ``eval_dataset`` may be a dict of these: every metric then carries the set's name (``eval_NAME_loss``).
        processing_class: the tokenizer, or a processor, whose tokenizer is taken; None means the one that lies with the model.
        ref_model: the reference, or its name or folder, from which it is only loaded where its scores are not known yet;
            None means the policy as it is now, with the adapter that it has.
        peft_config: wraps the policy in an adapter before training.
        kwargs: ``callbacks``, ``optimizers`` and ``optimizer_cls_and_kwargs`` as ``transformers.Trainer`` takes them;
            ``compute_metrics``, called with an ``EvalPrediction`` whose ``predictions`` are ``PairPredictions`` and whose
            ``label_ids`` are the soft labels, (N,). Other arguments of TRL's trainer are refused: ``docs/trl.md``.

    Raises:
        InputError: the data or the options are wrong.
        ReferenceMismatchError: at step 0 the policy differs from its own reference, or a checkpoint was made with another.
    """

    args: SoftPreferenceConfig
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: PreTrainedModel | str | None = None,
        args: SoftPreferenceConfig | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        ref_model: PreTrainedModel | str | None = None,
        peft_config: Any = None,
        **kwargs: Any,
    ) -> None:
        kwargs = trainer_arguments(kwargs, PASSED_ON, OPTIONS)
        self._hard_as_trl = is_dpo_config(args)
        args = preference_config(args)
        processing_class = tokenizer_of(processing_class, model)
        policy = loaded_policy(model, ref_model)
        self.method = args.method()
        policy = with_adapter(policy, peft_config, args.seed)
        disable_dropout(policy)
        self.policy_identity = model_identity(policy)
        self._router_coefficient = router_coefficient(policy)
        if self._router_coefficient:
            _refuse_beside_router_loss(args)
        context = context_of(policy)
        train_rows = self._tokenized(train_dataset, "train_dataset", processing_class, args, context)
        self._precomputes = precomputes(args, train_rows)
        eval_rows = self._tokenized_sets(eval_dataset, processing_class, args, context)
        self._reference_folder = ref_model if isinstance(ref_model, str) else None
        pairs = _all_rows(train_rows, eval_rows)
        check_vocabulary(processing_class, embedding_rows(policy), name_of(policy), _texts(pairs))
        self.reference = make_reference(policy, ref_model, args, pairs, self.policy_identity, self._precomputes)
        if isinstance(self.reference, Reference):
            check_vocabulary(processing_class, embedding_rows(self.reference.model), name_of(self.reference.model), _texts(pairs))
        super().__init__(
            model=policy,
            args=args,
            train_dataset=train_rows,
            eval_dataset=eval_rows,
            processing_class=processing_class,
            data_collator=list,
            **kwargs,
        )
        if isinstance(self.reference, Reference) and self.reference.model is not policy:
            self.reference.model.to(self.args.device)
        self.checked: CheckedScorer | None = None
        # The checkpoint whose files were read and compared with its manifest already.
        self.checked_checkpoint: Path | None = None
        self._guard = FiniteGuard()
        self._means = RunningMeans()
        self._logged_at = time.perf_counter()
        self._num_tokens = 0
        self._gate_open = True
        self.step_zero_difference: float | None = None

    # --- data -------------------------------------------------------------------------------------------------------

    def _tokenized_sets(
        self, datasets: Any, tokenizer: PreTrainedTokenizerBase, args: SoftPreferenceConfig, context: int | None
    ) -> TokenizedPairs | dict[str, TokenizedPairs | None] | None:
        """One evaluation set, or several by name."""
        if not isinstance(datasets, Mapping):
            return self._tokenized(datasets, "eval_dataset", tokenizer, args, context)
        if not datasets:
            raise InputError("eval_dataset: is a dict without a data set; leave it out")
        labels = {name: f"eval_dataset[{name!r}]" for name in datasets}
        return {name: self._tokenized(rows, labels[name], tokenizer, args, context) for name, rows in datasets.items()}

    def _tokenized(
        self,
        dataset: Any,
        name: str,
        tokenizer: PreTrainedTokenizerBase,
        args: SoftPreferenceConfig,
        context: int | None,
    ) -> TokenizedPairs | None:
        if dataset is None or isinstance(dataset, TokenizedPairs):
            return dataset
        check_rows(dataset, name)
        name = dataset.name if isinstance(dataset, PairSet) else name
        rows = rows_of(dataset, name)
        self._check_labels(rows, name, args)
        options = args.token_options(context)
        sides = self.method.needs_rejected
        tokenized = cached_tokens(
            rows,
            tokenizer,
            options,
            sides,
            lambda: tokenize_pairs(rows, tokenizer, options, name=name, with_rejected=sides),
        )
        for note in token_notes(rows, tokenized.counts, tokenizer):
            logger.warning("%s: %s", name, note)
        if args.min_certainty:
            unsure = sum(_too_unsure(row, args) for row in tokenized)
            logger.info("%s: %d of %d pairs have |2p − 1| below min_certainty, and weight 0", name, unsure, len(tokenized))
        if not any(self._weight(row, args) for row in tokenized):
            raise InputError(
                f"{name}: every pair has weight 0, so there is nothing to learn; under label_treatment 'hard' pairs with "
                "p = 0.5 have weight 0 unless ties is 'keep', and so have pairs below min_certainty"
            )
        return tokenized

    def _check_labels(self, rows: Sequence[PreferencePair | Completion], name: str, args: SoftPreferenceConfig) -> None:
        if self.method.needs_rejected and any(isinstance(row, Completion) for row in rows):
            raise InputError(f"{name}: holds completions, but {self.method.name} compares two responses; use loss_type sft")
        pairs = [row for row in rows if isinstance(row, PreferencePair)]
        unlabelled = [row for row in pairs if row.soft_label is None]
        if open_ := [row for row in unlabelled if not row.chosen_is_preferred]:
            raise InputError(
                f"{name}: row {open_[0].row} has no soft_label, and response_1 and response_2 do not say which side is better; "
                "label the pairs (softpref label), or name the columns chosen and rejected if one is"
            )
        ties_teach = self.method.needs_tie or self.method.treatment == OWN or not self.method.needs_rejected
        if pairs and not ties_teach and all(row.soft_label == 0.5 for row in pairs):
            logger.warning("%s: every pair is a tie (p = 0.5): there is nothing to learn from them", name)
        # A bare base loss means hard; but that p was forgotten and that it is not wanted look alike unless said.
        asked_for_hard = self.method.treatment == "hard" and args.label_treatment == "hard"
        if unlabelled and self.method.needs_rejected and not asked_for_hard:
            hard = ", or set label_treatment to 'hard' to take chosen as simply better" if self.method.treatment != OWN else ""
            raise InputError(
                f"{name}: row {unlabelled[0].row} has no soft_label; label the pairs (soft_label, votes_1/votes_2, or "
                f"chosen_reward/rejected_reward){hard}"
            )
        untied = next((row for row in pairs if row.tie is None), None) if self.method.needs_tie else None
        if untied is not None:
            raise InputError(
                f"{name}: row {untied.row} does not say how probable a tie is, which {self.method.name} models; give votes "
                "(votes_1, votes_2, votes_tie), or choose another loss_type"
            )
        self._check_hard_on_soft(rows, name, args)

    def _check_hard_on_soft(self, rows: Sequence[PreferencePair | Completion], name: str, args: SoftPreferenceConfig) -> None:
        """Under hard a label only says which side is better: where nobody asked for that, it is an error or a warning."""
        if self.method.treatment != "hard" or not self.method.needs_rejected:
            return
        soft = next((row for row in rows if row.soft_label not in (None, 0.5, 1.0)), None)  # type: ignore[union-attr]
        if soft is None:
            return
        label = f"{name}: row {soft.row} has soft_label {soft.soft_label:g}"  # type: ignore[union-attr]
        if self._hard_as_trl:
            raise OptionError(
                f"{label}, and args is a trl.DPOConfig, whose losses read only which side is better: give args as "
                "SoftPreferenceConfig.from_trl(args, loss_type='gdpo'), or from_trl(args) for the hard loss"
            )
        if args.label_treatment is None:
            logger.warning(
                "%s, but loss_type %r reads only which side is better: write label_treatment='geometric' or 'conservative' to "
                "train on the degree, or 'hard' if this is meant",
                label,
                args.loss_type,
            )

    def _weight(self, row: TokenizedPair, args: SoftPreferenceConfig) -> float:
        """A pair's weight in the loss. Under hard a tie has no better side; SFT, and a loss that models ties, take it too."""
        hard = self.method.treatment == "hard" and self.method.needs_rejected and not self.method.needs_tie
        drops_ties = hard and args.ties != "keep"
        if _too_unsure(row, args):
            return 0.0
        return 0.0 if drops_ties and row.soft_label == 0.5 else row.weight

    def _weights(self, rows: list[TokenizedPair], device: torch.device) -> Tensor:
        return torch.tensor([self._weight(row, self.args) for row in rows], device=device)

    def _without_padding(self, rows: list[TokenizedPair]) -> list[TokenizedPair]:
        """Rows that the loader repeats, to give every rank as many in an epoch's last round, get weight 0."""
        own = own_rows(self.accelerator, len(rows))
        return [row if i < own else replace(row, weight=0.0) for i, row in enumerate(rows)]

    # --- one update -------------------------------------------------------------------------------------------------

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> tuple[list[Any], Any]:
        """The micro-batches of one update, and Σ w over all of them and all ranks."""
        batches = [self._without_padding(batch) for batch in itertools.islice(epoch_iterator, num_batches)]
        total = sum((self._weights(batch, device).sum() for batch in batches), torch.zeros((), device=device))
        return batches, self.accelerator.reduce(total, reduction="sum")

    def training_step(self, model: nn.Module, inputs: list[TokenizedPair], num_items_in_batch: Tensor | None = None) -> Tensor:
        """One batch in micro-batches of about ``max_tokens_per_batch`` tokens; gradients meet the other ranks' at its end."""
        total = torch.zeros((), device=self.args.device)
        scorer = self._scorer(model, inputs)
        # the router's loss is of all tokens of a batch, and no mean over its parts
        batches = [inputs] if self._router_coefficient else scorer.micro_batches(inputs, self.args.token_budget())
        # around the backward pass too, where gradient checkpointing computes attention again
        for i, rows in enumerate(batches):
            apart = i + 1 < len(batches) and self.accelerator.num_processes > 1
            attention = packed_attention(model) if scorer.packs(rows) else nullcontext()
            with attention, self.accelerator.no_sync(model) if apart else nullcontext():
                total = total + super().training_step(model, rows, num_items_in_batch)
        return total

    def _scorer(self, model: nn.Module, rows: Sequence[TokenizedPair]) -> CheckedScorer:
        """The run's way of scoring: chosen on the first rows that are scored, and checked again where rows are longer."""
        policy = self.accelerator.unwrap_model(model)
        if self.checked is None and self._router_coefficient:
            self.checked = plain_scorer("the router's loss counts every token that the model reads", every_side_logps)
            logger.info("%s", self.checked.notice)
        sharing = "off" if self.args.torch_compile else self.args.prefix_sharing
        with self.accelerator.autocast():
            if self.checked is None:
                first = micro_batches(rows, self.args.token_budget())[0]
                if self.reference is not None:
                    refuse_randomness(policy, min(first, key=longest_sequence))
                checked = checked_scorer(policy, first, sharing)
            else:
                checked = self.checked
            checked = checked.checked_on(policy, rows, sharing)
        if self.checked is None or checked.notice != self.checked.notice:
            logger.info("%s", checked.notice)
        self.checked = checked
        return checked

    def compute_loss(
        self,
        model: nn.Module,
        inputs: list[TokenizedPair],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Any:
        """This micro-batch's share of the update's ``Σ w·ℓ / Σ w``, times the number of ranks that DDP will divide by.

        To it comes this batch's share of the mean of the router's loss over the update's batches, where the model has one.
        """
        with recorded_router_loss(model) if self._router_coefficient else nullcontext() as router:
            losses, pair, label, weight = self._losses(model, inputs)
        total = weight.sum() if num_items_in_batch is None else num_items_in_batch
        share = (losses * weight).sum() / total.clamp_min(torch.finfo(losses.dtype).tiny)
        self._add_metrics(self._means, pair, label, _row_weights(inputs, losses))
        self._num_tokens += sum(row.tokens + len(row.prompt) for row in inputs)
        self._means.count(pairs=len(inputs), tokens=sum(row.tokens for row in inputs))
        share = share * self.accelerator.num_processes
        if router is not None:
            aux_loss = router.mean()
            share = share + self._router_coefficient * aux_loss.to(share) / self.current_gradient_accumulation_steps
            self._means.add({"aux_loss": (aux_loss.detach().reshape(1), torch.ones(1, device=aux_loss.device))})
        return (share, None) if return_outputs else share

    def _add_metrics(self, means: RunningMeans, pair: PairLogps, label: Tensor | None, weight: Tensor) -> None:
        means.add({**pair_metrics(self.method, pair, label, weight), **trl_metrics(self.method, pair, weight)})

    def _losses(self, model: nn.Module, rows: list[TokenizedPair]) -> tuple[Tensor, PairLogps, Tensor | None, Tensor]:
        # mixed precision wraps the policy's forward; the reference must be computed alike
        scorer = self._scorer(model, rows).scorer
        with self.accelerator.autocast():
            policy = scorer(model, rows)
            reference = None if self.reference is None else self.reference.score(scorer, rows).like(policy)
        if self._gate_open and reference is not None:
            self._step_zero_gate(policy, reference)
        pair = policy.against(reference)
        label = _soft_labels(rows, pair.chosen)
        tie = _ties(rows, pair.chosen) if self.method.needs_tie else None
        losses = self.method(pair, label, tie)
        self._guard.watch(rows, self.state.global_step, losses, pair.margin if reference is not None else pair.chosen)
        return losses, pair, label, self._weights(rows, losses.device).to(losses.dtype)

    # --- the reference ----------------------------------------------------------------------------------------------

    def score_reference(self, *datasets: TokenizedPairs | dict[str, TokenizedPairs | None] | None) -> None:
        """Every pair's reference log-probs, from the cache or into it; then the reference model is let go.

        ``train`` and ``evaluate`` call this first, where ``precompute_ref_log_probs`` says or decides so.
        """
        if not self._precomputes or not isinstance(self.reference, Reference):
            return
        pairs = _all_rows(self.train_dataset, self.eval_dataset, *datasets)
        scorer = self._scorer(self.model, pairs)
        live = self.reference
        self.reference = precomputed(live, scorer, pairs, self.args, self.accelerator)
        if self._reference_folder is not None and self.is_world_process_zero():
            remember_reference(self._reference_folder, self.args, live)

    def _step_zero_gate(self, policy: PairScores, reference: PairScores) -> None:
        self._gate_open = False
        if self.reference is None or self.policy_identity != self.reference.identity:
            logger.warning(
                "the reference is another model than the start of the policy: no step-0 check; on the first rows they differ by "
                "up to %.2g nats",
                _largest_difference(policy, reference),
            )
            return
        self.step_zero_difference = _largest_difference(policy, reference)
        allowed = self._step_zero_tolerance(policy)
        if not self.step_zero_difference <= allowed:
            raise ReferenceMismatchError(
                f"policy and reference have the same weights but differ by {self.step_zero_difference:.3g} nats at step 0 "
                f"(tolerance {allowed:.2g}): two forwards of one row agree, so the model remembers earlier ones"
                + (", or was when the reference was scored: give another reference_cache" if self._precomputes else "")
            )

    def _step_zero_tolerance(self, policy: PairScores) -> float:
        """What was scored before was scored in other company: rounding may differ, in half precision by much."""
        if not isinstance(self.reference, CachedReference):
            return self.args.reference_tolerance
        longest = float(torch.maximum(policy.chosen_length, policy.rejected_length).max())
        with self.accelerator.autocast():
            return max(self.args.reference_tolerance, tolerance(self.model) * math.sqrt(longest))

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> Any:
        """As ``Trainer.train``; a checkpoint of another reference, or one that cannot go on exactly, is refused."""
        check_trainable(self.model)
        if resume_from_checkpoint:
            check_resumable(self.model)
            self._gate_open = False
            folder = self._checkpoint_folder(resume_from_checkpoint)
            self._check_resumable(folder)
            resume_from_checkpoint = str(folder)
        with only_writer(self.args.output_dir, "training") if self.is_world_process_zero() else nullcontext():
            self.score_reference()
            self._logged_at = time.perf_counter()
            return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def _checkpoint_folder(self, checkpoint: str | bool) -> Path:
        found = self._last_whole_checkpoint() if checkpoint is True else Path(str(checkpoint))
        if found is None:
            raise InputError(f"{self.args.output_dir}: holds no whole checkpoint to resume from")
        if found != self.checked_checkpoint:
            fault = on_main_process(lambda: checkpoint_fault(found, logger.warning))
            if fault is not None:
                raise InputError(f"{found}: cannot be resumed from: {fault.what}; resume from another checkpoint")
        return found

    def _last_whole_checkpoint(self) -> Path | None:
        run = str(self.args.output_dir)
        self.checked_checkpoint = on_main_process(lambda: last_whole_checkpoint(run, logger.warning))
        return self.checked_checkpoint

    def _check_resumable(self, folder: Path) -> None:
        if not can_resume(folder):
            raise InputError(f"{folder}: was saved without its optimizer (save_only_model), so training cannot go on from it")
        if self.reference is None:
            return
        record = folder / REFERENCE_FILE
        if not record.is_file():
            raise ReferenceMismatchError(f"{folder}: does not say against which reference it was trained; start anew")
        made_with = ReferenceRecord.read(record).identity
        if made_with != self.reference.identity:
            raise ReferenceMismatchError(
                f"{folder}: was trained against reference {made_with[:12]}, but this run's reference is "
                f"{self.reference.identity[:12]}; start from the same model, or give it as ref_model"
            )

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """As ``Trainer``'s, with a manifest written last; older checkpoints go only when the new one is whole.

        Raises StorageError, and leaves no half of a checkpoint, where the disk refuses.
        """
        self._guard.check()
        folder = checkpoint_folder(self, trial)
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            with writing(folder, "earlier checkpoints are kept: resume from them when there is room"):
                self._begin_checkpoint(folder)
                super()._save_checkpoint(model, trial)
                self.accelerator.wait_for_everyone()
                if self.args.should_save:
                    seal_checkpoint(folder)
        except StorageError:
            if self.args.should_save:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            self.args.save_total_limit = limit
        if self.args.should_save:
            rotate_checkpoints(str(folder.parent), limit, self.state.best_model_checkpoint, use_mtime=True)

    def _begin_checkpoint(self, folder: Path) -> None:
        """Before the weights: what else a checkpoint holds. A folder that is there is an unfinished or damaged one."""
        if self.args.should_save:
            shutil.rmtree(folder, ignore_errors=True)
            begin_checkpoint(folder)
            for name, value in self._beside_weights().items():
                value.write(folder / name)
        self.accelerator.wait_for_everyone()

    def _beside_weights(self) -> dict[str, Record]:
        """What a checkpoint records beside the model, by file name."""
        return {} if self.reference is None else {REFERENCE_FILE: ReferenceRecord(identity=self.reference.identity)}

    # --- logging and evaluation -------------------------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Training lines get the pair metrics since the last one."""
        self._guard.check()
        if "loss" in logs:
            now = time.perf_counter()
            logs.update(self._means.drain(self.accelerator, now - self._logged_at))
            logs["num_tokens"] = self._tokens_of_all_ranks()
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
        """Σ wℓ / Σ w and the pair metrics over the whole evaluation set, and what ``compute_metrics`` makes of it."""
        means, rows, started = RunningMeans(), 0, time.perf_counter()
        loss_only = self.args.prediction_loss_only if prediction_loss_only is None else prediction_loss_only
        sides, reference = self.method.needs_rejected, self.reference is not None
        predictions = None if loss_only else Predictions(self.accelerator, sides, reference)
        self.model.eval()
        with torch.no_grad(), self.compute_loss_context_manager():
            for padded in dataloader:
                batch = self._without_padding(padded)
                scored = self._evaluated(batch, means)
                if predictions is not None:
                    predictions.add(batch, scored)
                rows += len(batch)
        self._guard.check()
        self._logged_at += time.perf_counter() - started
        metrics = prefixed(means.drain(self.accelerator), metric_key_prefix)
        if predictions is None:
            return EvalLoopOutput((), None, metrics, rows)
        logps, labels = predictions.result()
        if self.compute_metrics is not None:
            metrics.update(prefixed(computed_metrics(self.compute_metrics, logps, labels), metric_key_prefix))
        return EvalLoopOutput(logps, labels, metrics, rows)

    def _evaluated(self, rows: list[TokenizedPair], means: RunningMeans) -> list[tuple[list[TokenizedPair], PairLogps]]:
        """The parts that these rows are scored in, with their log-probs; their metrics go into ``means``."""
        scored = []
        for part in self._scorer(self.model, rows).micro_batches(rows, self.args.token_budget()):
            losses, pair, label, weight = self._losses(self.model, part)
            means.add({"loss": (losses, weight)})
            self._add_metrics(means, pair, label, _row_weights(part, losses))
            scored.append((part, pair))
        return scored

    def evaluate(self, eval_dataset: Any = None, **kwargs: Any) -> dict[str, float]:
        """As ``Trainer.evaluate``; the data may be anything that ``eval_dataset`` may be, or the name of one of its sets."""
        named = isinstance(eval_dataset, str) and isinstance(self.eval_dataset, Mapping) and eval_dataset in self.eval_dataset
        tokenized = eval_dataset if named else self._tokenized_now(eval_dataset)
        self.score_reference(None if named else tokenized)
        metrics: dict[str, float] = super().evaluate(eval_dataset=tokenized, **kwargs)
        return metrics

    def predict(self, test_dataset: Any, **kwargs: Any) -> PredictionOutput:
        """As ``Trainer.predict``: ``predictions`` are ``PairPredictions``, ``label_ids`` the soft labels, (N,)."""
        check_rows(test_dataset, "test_dataset")
        tokenized = self._tokenized_now(test_dataset)
        self.score_reference(tokenized)
        return super().predict(tokenized, **kwargs)

    def _tokenized_now(self, dataset: Any) -> Any:
        context = context_of(self.model)
        return self._tokenized_sets(dataset, self.processing_class, self.args, context)

    def _tokens_of_all_ranks(self) -> int:
        """Tokens that this process and the others have trained on, each prompt counted twice, as TRL does."""
        count = torch.tensor(self._num_tokens, device=self.args.device)
        return int(self.accelerator.reduce(count, reduction="sum"))

    def floating_point_ops(self, inputs: list[TokenizedPair]) -> int:
        """6 · parameters · tokens that are computed (Kaplan et al. 2020, eq. 2.2)."""
        packed = self.checked is not None and self.checked.packed
        tokens = sum(row.tokens if packed else row.tokens + len(row.prompt) for row in inputs)
        return int(6 * tokens * sum(p.numel() for p in self.model.parameters()))


def rows_of(dataset: Any, name: str) -> Sequence[PreferencePair | Completion]:
    """Pairs, completions, or rows of any table, as oriented pairs or completions."""
    if isinstance(dataset, PairSet):
        return dataset.pairs
    rows = list(table_rows(dataset) if is_table(dataset) else dataset)
    if all(isinstance(row, PreferencePair | Completion) for row in rows):
        return [orient(row) if isinstance(row, PreferencePair) else row for row in rows]
    if not all(isinstance(row, Mapping) for row in rows):
        raise InputError(f"{name}: holds {type(rows[0]).__name__}; give a PairSet, pairs, completions or rows")
    return list(training_rows(enumerate(rows, start=1), name))


def on_main_process(decide: Callable[[], Decision]) -> Decision:
    """What rank 0 decides, on every rank; what it raises on purpose is raised on every rank."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return decide()
    outcome: list[Any] = [None, None]
    if torch.distributed.get_rank() == 0:
        try:
            outcome[0] = decide()
        except InputError as error:
            outcome[1] = error
    torch.distributed.broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    decision: Decision = outcome[0]
    return decision


def _refuse_beside_router_loss(args: SoftPreferenceConfig) -> None:
    """Raises OptionError for what the router's loss, of whole batches of padded rows, leaves without effect."""
    asked = "the model's configuration asks for the router's loss (output_router_logits), which is of all tokens of a batch"
    if args.max_tokens_per_batch is not None:
        raise OptionError(f"{asked}: leave max_tokens_per_batch out, per_device_train_batch_size decides; or turn it off there")
    if args.prefix_sharing == "on":
        raise OptionError(f"{asked}, prompts twice: leave prefix_sharing at 'auto', or turn it off there")


def context_of(model: nn.Module) -> int | None:
    """Tokens of prompt and response that the model reads at most: its configuration's, or what its position table holds."""
    config = causal_lm(model).config.get_text_config()
    limits = [limit for limit in (getattr(config, "max_position_embeddings", None), position_limit(model)) if limit]
    return min(limits) - learned_prompt(model) if limits else None


def _largest_difference(policy: PairScores, reference: PairScores) -> float:
    sides = ((policy.chosen, reference.chosen), (policy.rejected, reference.rejected))
    return max(float((a - b).detach().abs().max()) for a, b in sides)


def _all_rows(*datasets: Any) -> JoinedRows:
    """The rows of all these data sets; each may be None, or several by name."""
    sets = [part for rows in datasets for part in (rows.values() if isinstance(rows, Mapping) else [rows])]
    return JoinedRows([rows for rows in sets if rows is not None])


def _texts(pairs: Iterable[Any]) -> Iterator[list[int]]:
    return (ids for pair in pairs if isinstance(pair, TokenizedPair) for ids in pair.sequences)


def _row_weights(rows: Sequence[TokenizedPair], like: Tensor) -> Tensor:
    return torch.tensor([row.weight for row in rows], device=like.device, dtype=like.dtype)


def _too_unsure(row: TokenizedPair, args: SoftPreferenceConfig) -> bool:
    return row.soft_label is not None and abs(2 * row.soft_label - 1) < args.min_certainty


def _ties(rows: Sequence[TokenizedPair], like: Tensor) -> Tensor:
    return torch.tensor([row.tie for row in rows], device=like.device, dtype=like.dtype)


def _soft_labels(rows: Sequence[TokenizedPair], like: Tensor) -> Tensor | None:
    if any(row.soft_label is None for row in rows):
        return None
    return torch.tensor([row.soft_label for row in rows], device=like.device, dtype=like.dtype)
