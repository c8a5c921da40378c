"""What a run folder says of the reward that its training has put into the model, and against what it was trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from softpref.core.arrays import Floats
from softpref.errors import InputError
from softpref.records.run import RunRecord
from softpref.run_folder import RECIPE_FILE, RUN_FILE


@dataclass(frozen=True)
class ImplicitReward:
    """How a method turns log-probs into a margin: as sums or means over tokens, against a reference or without one.

    ``beta`` times the margin is the log-odds of a preference; None where the method has no beta, or it is not known.
    """

    method: str | None = None
    reduction: str = "sum"
    needs_reference: bool = True
    beta: float | None = None

    def of_sides(self, logps: Floats, lengths: Floats) -> Floats:
        """(N, 2) sums of log-probs and lengths in tokens to (N, 2) log-probs as the method sees them."""
        return logps / lengths if self.reduction == "mean" else logps

    def describe(self) -> str:
        """The margin in words."""
        ratio = "log π/π_ref" if self.needs_reference else "log π"
        return f"difference of {ratio}{' per token' if self.reduction == 'mean' else ''}"


def run_record(folder: str | Path) -> RunRecord | None:
    """``run.json`` of a run folder, None where there is none (a Hub name, a model's folder)."""
    file = Path(folder) / RUN_FILE
    return RunRecord.read(file) if file.is_file() else None


def reward_of_run(record: RunRecord) -> ImplicitReward:
    """The implicit reward of a run."""
    method = record.method
    return ImplicitReward(method.loss_type, method.reduction, record.reference is not None, method.beta)


def reference_of_run(folder: str | Path, record: RunRecord) -> str:
    """The model that a run was trained against: its ``ref_model``, or else the model that it started from.

    Raises InputError where the run does not say, where that model's folder is gone, or where it is not the reference: a new
    adapter began away from its base.
    """
    if not record.model.is_reference:
        raise InputError(
            f"{folder}: its adapter did not start at its base {record.model.start}, so the base is not the run's reference; "
            "save the start of such a run as a model of its own, and name it with --reference"
        )
    recipe = Path(folder) / RECIPE_FILE
    named = yaml.safe_load(recipe.read_text(encoding="utf-8")) if recipe.is_file() else {}
    reference = named.get("ref_model") or named.get("model") or record.model.start
    if not reference:
        raise InputError(f"{folder}: does not say what it was trained against; name it with --reference")
    if reference.startswith((".", "/", "~")) and not Path(reference).is_dir():
        raise InputError(f"{folder}: was trained against {reference}, which is not there; name it with --reference")
    return str(reference)
