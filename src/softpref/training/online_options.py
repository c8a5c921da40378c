"""What decides an online run besides the method: where labels come from, and how responses are drawn. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from softpref.errors import OptionError, nearest
from softpref.generation.engine import check_engine, require_engine

LABELS = ("judge", "self")


@dataclass(frozen=True)
class OnlineOptions:
    """Purely on-policy training: two responses per prompt from the policy as it is, labelled, one update, never used again.

    Attributes:
        labels: judge (any judge, a reward model among them) or self (the policy's own preference); offline if not given.
        self_beta: self: p = s(self_beta · margin); the loss's own beta if not given.
        temperature: Of the responses; 1 draws from the policy itself.
        top_p: Of the responses; 1 draws from the policy itself.
        max_new_tokens: Tokens of a response at most.
        generation_batch_size: Responses generated at a time; which ones are drawn depends on it.
        engine: What generates: transformers, or vllm where it is installed (one process; given the policy's weights anew
            before every update).
        engine_options: What vLLM's LLM takes, such as {gpu_memory_utilization: 0.3}.
    """

    labels: Literal["judge", "self"] | None = None
    self_beta: float | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 256
    generation_batch_size: int = 32
    engine: Literal["transformers", "vllm"] = "transformers"
    engine_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.labels is None:
            self._refuse_without_effect()
        elif self.labels not in LABELS:
            raise OptionError(f"online.labels is {self.labels!r}{nearest(self.labels, LABELS)}")
        if self.self_beta is not None and not (math.isfinite(self.self_beta) and self.self_beta > 0):
            raise OptionError(f"online.self_beta is {self.self_beta}; it must be a finite number above 0")
        if self.self_beta is not None and self.labels == "judge":
            raise OptionError("online.self_beta has no effect with labels from a judge: leave it out")
        if not 0 < self.temperature < math.inf:
            raise OptionError(f"online.temperature is {self.temperature}; two different responses need one above 0")
        if not 0 < self.top_p <= 1:
            raise OptionError(f"online.top_p is {self.top_p}; it must lie in (0, 1]")
        for name, least in (("max_new_tokens", 1), ("generation_batch_size", 2)):
            if getattr(self, name) < least:
                raise OptionError(f"online.{name} is {getattr(self, name)}; it must be at least {least}")

        check_engine(self.engine, self.engine_options, "online.")
        require_engine(self.engine, "online.")

    def _refuse_without_effect(self) -> None:
        for name, declared in type(self).__dataclass_fields__.items():
            default = {} if name == "engine_options" else declared.default
            if getattr(self, name) != default:
                raise OptionError(f"online.{name} has no effect without online.labels (judge or self)")

    @property
    def draws_from_the_policy(self) -> bool:
        """Whether responses have the policy's own distribution, which a KL estimate needs."""
        return self.temperature == self.top_p == 1

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)
