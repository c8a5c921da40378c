"""The trainer's arguments: ``transformers.TrainingArguments`` and what a preference method adds."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from functools import wraps
from typing import Any, TypeVar

import torch
from transformers import TrainingArguments

from softpref.core.method import Extras, Method
from softpref.core.method_sum import MethodSum, resolve_sum
from softpref.core.treatments import default_beta, resolve
from softpref.data.batching import default_tokens
from softpref.data.tokenization import TokenOptions
from softpref.errors import OptionError, nearest
from softpref.scoring.self_check import SHARING
from softpref.training.options import PreferenceOptions
from softpref.training.trl_arguments import OF_THE_LOSS, REFUSED, refuse_without_effect, translated, trl_loss

# True by default in TRL, where it drops columns; here it would have nothing to act on.
_NOT_KEPT = ("remove_unused_columns",)

Config = TypeVar("Config", bound=type)


def _takes_trl_arguments(kind: Config) -> Config:
    """Let the class be made with the arguments of ``trl.DPOConfig``: translated, or refused by name with OptionError."""
    made: Any = kind.__init__  # type: ignore[misc]
    known = [field.name for field in fields(kind) if field.init]

    @wraps(made)
    def init(self: Any, *args: Any, **values: Any) -> None:
        made(self, *args, **translated(values, known))

    kind.__init__ = init  # type: ignore[misc]
    return kind


@_takes_trl_arguments
@dataclass
class SoftPreferenceConfig(PreferenceOptions, TrainingArguments):
    """Arguments of ``SoftPreferenceTrainer``: those of ``PreferenceOptions``, and every field of ``TrainingArguments``.

    The arguments of ``trl.DPOConfig`` are taken with TRL's meaning or refused with what to write instead: ``docs/trl.md``.

    Raises:
        OptionError: an argument that is unknown, contradicts another one or would have no effect.
    """

    # Batches are pairs, not columns of a table.
    remove_unused_columns: bool = False
    learning_rate: float = 1e-6
    logging_steps: float = 10

    def __post_init__(self) -> None:
        """Check what softpref adds, then what transformers checks. Raises OptionError."""
        # Without this, processes that torchrun started on a machine without an accelerator would train apart, in silence.
        if not torch.accelerator.is_available():
            self.use_cpu = True
        try:
            super().__post_init__()
        except (TypeError, ValueError) as error:
            raise OptionError(str(error)) from error
        self.method()
        self.token_options()
        self._check_speed()
        self._refuse_without_effect()
        self._check_world()

    @classmethod
    def from_trl(cls, args: TrainingArguments, **changes: Any) -> SoftPreferenceConfig:
        """The run that a ``trl.DPOConfig`` describes, on hard labels as TRL trains it, with ``changes``.

        ``from_trl(args, loss_type="gdpo")`` keeps everything but the loss. Raises OptionError for what cannot be kept.
        """
        values = {} if "loss_type" in changes else trl_loss(args)
        of_the_loss = OF_THE_LOSS if "loss_type" in changes else ()
        left_out = {"loss_type", *of_the_loss, *_NOT_KEPT, *(("truncation_mode",) if "truncation" in changes else ())}
        for name in (field.name for field in fields(args) if field.init and field.name not in left_out):
            values[name] = getattr(args, name)
        return cls(**{**values, **changes})

    def method(self) -> Method | MethodSum:
        """The base loss, treatment and arguments that these options name, or the weighted sum of several."""
        for name in ("beta", "treatment", "reduction"):
            if name in self.loss_args:
                raise OptionError(f"loss_args.{name} belongs outside loss_args")
        extras = Extras(self.sft_weight, self.length_penalty, self.flip_rate, self.policy_weighting, self.reference_free)
        options: dict[str, Any] = {"treatment": self.label_treatment, "reduction": self.reduction, "extras": extras}
        if not isinstance(self.loss_type, str):
            return resolve_sum(self.loss_type, self.loss_weights, beta=self.beta, loss_args=self.loss_args, **options)
        if self.loss_weights is not None:
            raise OptionError("loss_weights has no effect with one loss: leave it out, or give loss_type a list")
        beta = default_beta(self.loss_type) if self.beta is None else self.beta
        return resolve(self.loss_type, beta=beta, **options, **self.loss_args)

    def token_options(self, context: int | None = None) -> TokenOptions:
        """What tokenisation needs of these options. No sequence is longer than the model's ``context``, in tokens."""
        limits = [limit for limit in (self.max_length, context) if limit is not None]
        limit = min(limits) if limits else None
        arguments, special = self.chat_template_kwargs, self.special_tokens
        return TokenOptions(limit, self.truncation, self.boundary, chat_template_kwargs=arguments, special_tokens=special)

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
        if not self.method().needs_reference:
            for name in ("precompute_ref_log_probs", "reference_cache"):
                if getattr(self, name):
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
        if not self.method().needs_rejected and self.method().treatment != "hard":
            raise OptionError(f"{self.method().name} trains on the chosen side alone, as it stands: leave label_treatment out")
        if not 0 <= self.min_certainty < 1:
            raise OptionError(f"min_certainty is {self.min_certainty}; it must be at least 0 and below 1")
        if self.min_certainty and not self.method().needs_rejected:
            raise OptionError(f"min_certainty has no effect: {self.method().name} compares no responses; leave it out")
        for name in REFUSED.keys() & {field.name for field in fields(self)}:
            refuse_without_effect(name, getattr(self, name))
        if self.n_gpu > 1:
            raise OptionError("one process sees several GPUs: start with torchrun or accelerate launch, one process a GPU")

    def _check_world(self) -> None:
        started = int(os.environ.get("WORLD_SIZE", "1"))
        if started != self.world_size:
            raise OptionError(
                f"{started} processes were started, but the trainer sees {self.world_size}: each would train apart; "
                "start with torchrun, or unset WORLD_SIZE"
            )
