"""The trainer's arguments: ``transformers.TrainingArguments`` and what a preference method adds."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import TrainingArguments

from softpref.core.treatments import Method, has_beta, resolve
from softpref.data.batching import default_tokens
from softpref.data.tokenization import TokenOptions
from softpref.errors import OptionError, nearest
from softpref.scoring.self_check import SHARING

DEFAULT_BETA = 0.1


@dataclass
class SoftPreferenceConfig(TrainingArguments):
    """Arguments of ``SoftPreferenceTrainer``: every field of ``TrainingArguments``, and these.

    Attributes:
        loss_type: a base loss (dpo, ipo, ropo, slic, sft) or a published name (gdpo, cdpo, gipo, cipo, gropo, …).
        label_treatment: hard, conservative or geometric; None means the published name's own, or hard. Data without
            soft labels need an explicit ``hard``.
        beta: pull to the reference. None means 0.1 where the loss has a beta; ``sft`` has none.
        loss_args: the base loss's own arguments, checked against its signature.
        reduction: log-probs as ``sum`` or ``mean`` over response tokens; None means the loss's own.
        ties: under ``hard``, a pair with p = ½ has no better side: weight 0 and counted (``drop``, the default), or trained
            on as it stands (``keep``).
        max_length: tokens of prompt + one response; None for no limit.
        truncation: pairs that do not fit are dropped and counted (``drop``) or have their responses cut (``keep``).
        boundary: a prompt that is no token prefix is an ``error``, or its row is dropped and counted (``drop``).
        prefix_sharing: compute each pair's prompt once, without padding: ``auto`` where the first rows show that it gives the
            model's own numbers, ``on`` (an error where it does not), ``off``.
        max_tokens_per_batch: tokens that are computed at a time; None means 2,048 on a CPU and 16,384 elsewhere. It decides
            speed and memory, never what is learned.
        precompute_ref_log_probs: score all pairs under the reference before training, or find them in the cache, and let the
            reference go. None does so where the run sees every pair at least once.
        reference_cache: folder of these scores, shared by all runs; None means softpref in the user's cache folder, or
            $SOFTPREF_CACHE.
        reference_tolerance: nats by which the policy may differ from its own reference at step 0.
    """

    loss_type: str = "gdpo"
    label_treatment: str | None = None
    beta: float | None = None
    loss_args: dict[str, Any] = field(default_factory=dict)
    reduction: str | None = None
    ties: str | None = None
    max_length: int | None = 1024
    truncation: str = "drop"
    boundary: str = "error"
    prefix_sharing: str = "auto"
    max_tokens_per_batch: int | None = None
    precompute_ref_log_probs: bool | None = None
    reference_cache: str | None = None
    reference_tolerance: float = 0.01

    # Batches are pairs, not columns of a table; the two below would have nothing to act on.
    remove_unused_columns: bool = False
    learning_rate: float = 1e-6
    logging_steps: float = 10

    def __post_init__(self) -> None:
        """Check what softpref adds, then what transformers checks. Raises OptionError."""
        # Without this, processes that torchrun started on a machine without an accelerator would train apart, in silence.
        if not torch.accelerator.is_available():
            self.use_cpu = True
        super().__post_init__()
        self.method()
        self.token_options()
        self._check_speed()
        self._refuse_without_effect()
        self._check_world()

    def method(self) -> Method:
        """The base loss, treatment and arguments that these options name."""
        for name in ("beta", "treatment", "reduction"):
            if name in self.loss_args:
                raise OptionError(f"loss_args.{name} belongs outside loss_args")
        beta = self.beta
        if beta is None and has_beta(self.loss_type):
            beta = DEFAULT_BETA
        return resolve(self.loss_type, treatment=self.label_treatment, beta=beta, reduction=self.reduction, **self.loss_args)

    def token_options(self, context: int | None = None) -> TokenOptions:
        """What tokenisation needs of these options. No sequence is longer than the model's ``context``, in tokens."""
        limits = [limit for limit in (self.max_length, context) if limit is not None]
        return TokenOptions(min(limits) if limits else None, self.truncation, self.boundary)

    def token_budget(self) -> int:
        """Tokens that are computed at a time."""
        return self.max_tokens_per_batch or default_tokens(self.device.type)

    def _check_speed(self) -> None:
        if self.prefix_sharing not in SHARING:
            raise OptionError(f"prefix_sharing is {self.prefix_sharing!r}{nearest(str(self.prefix_sharing), SHARING)}")
        if self.max_tokens_per_batch is not None and self.max_tokens_per_batch < 1:
            raise OptionError(f"max_tokens_per_batch is {self.max_tokens_per_batch}; give a number of tokens")
        if self.prefix_sharing == "on" and self.torch_compile:
            raise OptionError("prefix_sharing 'on' and torch_compile exclude one another: leave one out")
        if not self.method().base.needs_reference:
            for name in ("precompute_ref_log_probs", "reference_cache"):
                if getattr(self, name) is not None:
                    raise OptionError(f"{name} has no effect: {self.method().name} needs no reference; leave it out")
        if self.precompute_ref_log_probs is False and self.reference_cache is not None:
            raise OptionError("reference_cache has no effect with precompute_ref_log_probs False: leave one out")
        if self.precompute_ref_log_probs and (self.fsdp or self.deepspeed):
            raise OptionError("precompute_ref_log_probs does not work with FSDP or DeepSpeed yet: leave it out")

    def _refuse_without_effect(self) -> None:
        if self.ties not in (None, "drop", "keep"):
            raise OptionError(f"ties is {self.ties!r}; it can be 'drop' or 'keep'")
        if self.ties is not None and self.method().treatment != "hard":
            raise OptionError(f"ties has no effect with label_treatment {self.method().treatment!r}: leave it out")
        if not self.method().base.needs_rejected and self.method().treatment != "hard":
            raise OptionError(f"{self.method().name} trains on the chosen side alone, as it stands: leave label_treatment out")
        if self.include_num_input_tokens_seen not in ("no", False):
            raise OptionError("include_num_input_tokens_seen has no effect here: tokens_per_second is logged; leave it out")
        if self.remove_unused_columns:
            raise OptionError("remove_unused_columns has no effect here: an unread column is an error already; leave it out")
        if self.label_smoothing_factor:
            raise OptionError("label_smoothing_factor has no effect here: soft labels say per pair how sure they are")
        if self.n_gpu > 1:
            raise OptionError("one process sees several GPUs: start with torchrun or accelerate launch, one process a GPU")

    def _check_world(self) -> None:
        started = int(os.environ.get("WORLD_SIZE", "1"))
        if started != self.world_size:
            raise OptionError(
                f"{started} processes were started, but the trainer sees {self.world_size}: each would train apart; "
                "start with torchrun, or unset WORLD_SIZE"
            )
