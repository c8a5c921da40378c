"""``run.json``: what a training run was, and ``frontier.json``: reward against KL along it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from softpref.data.pairs import Reading
from softpref.data.tokenization import TokenCounts
from softpref.errors import InputError
from softpref.records.labels import LabelRecord
from softpref.records.record import Record
from softpref.run_folder import read_lines


@dataclass(frozen=True)
class MethodFigures:
    """The loss: its base, its label treatment, log-probs as sum or mean, and the loss's own arguments."""

    base: str
    label_treatment: str
    arguments: Mapping[str, Any]
    loss_type: str | None = None
    reduction: str = "sum"

    @property
    def beta(self) -> float | None:
        """None where the loss has none."""
        beta = self.arguments.get("beta")
        return None if beta is None else float(beta)


@dataclass(frozen=True)
class LabelHistogram:
    """Counts of p over equal bins of [0, 1], mean |2p − 1|, and ties."""

    histogram: Sequence[int]
    effective_weight: float
    ties: int


@dataclass(frozen=True)
class DataFigures:
    """The rows: file, digest, what became of them on reading and tokenising, and their labels."""

    file: str
    fingerprint: str
    reading: Reading
    tokens: TokenCounts | None = None
    labelling: LabelRecord | None = None
    labels: LabelHistogram | None = None


@dataclass(frozen=True)
class StartFigures:
    """The model that training started from, and the digest of what it computes.

    ``is_reference`` is False where loading ``start`` does not give the run's reference: a new adapter (PiSSA, OLoRA, a learned
    prompt, random weights) that began away from its base.
    """

    start: str
    identity: str
    is_reference: bool = True


@dataclass(frozen=True)
class FinishedFigures:
    """A run that came to its end."""

    steps: int
    seconds_of_last_leg: float | None = None


@dataclass(frozen=True)
class ScoringFigures:
    """Whether prompts were shared, and the largest difference from the plain path, in nats."""

    packed: bool
    difference: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunRecord(Record):
    """One training run. ``finished`` is None until it is."""

    kind: ClassVar[str] = "run"
    written_by: ClassVar[str] = "softpref train"
    method: MethodFigures
    data: DataFigures
    model: StartFigures
    reference: str | None = None
    seed: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    online: Mapping[str, Any] | None = None
    command: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    step_0_difference: float | None = None
    scoring: ScoringFigures | None = None
    finished: FinishedFigures | None = None


def read_metrics(file: str | Path) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl``: a step and numbers by name, None where one was not finite. Raises InputError."""
    lines = read_lines(Path(file))
    for number, line in enumerate(lines, start=1):
        step = line.get("step")
        if not isinstance(step, int) or isinstance(step, bool):
            raise InputError(f"{file}: line {number}: step: expected a whole number, got {step!r}")
        for name, value in line.items():
            if value is not None and (not isinstance(value, int | float) or isinstance(value, bool)):
                raise InputError(f"{file}: line {number}: {name}: expected a number, got {value!r}")
    return lines


@dataclass(frozen=True)
class FrontierPoint:
    """A checkpoint: its mean reward with an interval, KL to the reference in nats, and every response's reward."""

    step: int
    kl: float
    reward: float
    low: float | None
    high: float | None
    rewards: Sequence[float] = ()


@dataclass(frozen=True, kw_only=True)
class FrontierRecord(Record):
    """Reward against KL along a run, from the reference on. ``reward`` names the score."""

    kind: ClassVar[str] = "frontier"
    written_by: ClassVar[str] = "softpref.evaluation.frontier"
    reward: str
    points: Sequence[FrontierPoint]
