"""One training run from a recipe: load, train, and leave behind what makes it repeatable."""

from __future__ import annotations

import json
import platform
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import PrinterCallback, TrainerCallback, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from softpref.data.files import write_json
from softpref.data.formats import read_training_rows
from softpref.data.inspection import label_summary
from softpref.data.pairs import PairSet, fingerprint
from softpref.errors import InterruptedRunError, OptionError, nearest
from softpref.scoring.models import load_model, load_tokenizer
from softpref.training.config import SoftPreferenceConfig
from softpref.training.recipe import RECIPE_FILE, SHARED_FIELDS, TrainRecipe, save_recipe
from softpref.training.trainer import SoftPreferenceTrainer

RUN_FILE, METRICS_FILE = "run.json", "metrics.jsonl"
VERSIONED = ("softpref", "torch", "transformers", "accelerate", "tokenizers", "numpy", "peft")


class MetricsFile(TrainerCallback):
    """Every log line on disk as it is made. A resumed run drops the lines past its checkpoint and goes on from there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the file, or cut it back to the step that is resumed from."""
        if not state.is_world_process_zero:
            return
        kept = []
        if state.global_step and self.path.is_file():
            kept = [row for row in self.path.read_text().splitlines() if json.loads(row)["step"] <= state.global_step]
        self.path.write_text("".join(f"{row}\n" for row in kept))

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **kwargs: Any
    ) -> None:
        """Append one line."""
        if state.is_world_process_zero:
            with self.path.open("a") as file:
                file.write(json.dumps({"step": state.global_step, **(logs or {})}) + "\n")


class LogTo(TrainerCallback):
    """Hands every log line to a function, with its step."""

    def __init__(self, take: Callable[[Mapping[str, float]], None]) -> None:
        self.take = take

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **kwargs: Any
    ) -> None:
        """Pass one line on."""
        self.take({"step": state.global_step, "of": state.max_steps, **(logs or {})})


class StopOnInterrupt(TrainerCallback):
    """Ctrl-C ends the run after the update under way, with a checkpoint. A second one ends it at once."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self, *_: object) -> None:
        """The signal handler."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Save and stop once asked to."""
        if self.asked:
            control.should_save = control.should_training_stop = True


def train(recipe: TrainRecipe, on_log: Callable[[Mapping[str, float]], None] | None = None) -> Path:
    """Run the recipe; the folder of the run is returned.

    With ``on_log`` every log line goes there, and no progress bar is drawn.

    Leaves ``recipe.yaml`` (resolved; it reruns the run), ``metrics.jsonl``, ``run.json`` (data and reference identity,
    counts, versions, command), checkpoints, and the trained model with its tokenizer.

    Raises:
        InputError: data or options are wrong, before anything is trained.
        InterruptedRunError: Ctrl-C; a checkpoint lies in the folder.
    """
    config = trainer_config(recipe, quiet=on_log is not None)
    folder = Path(recipe.output_dir)
    checkpoint = _checkpoint(recipe, folder)
    rows = read_training_rows(recipe.data, recipe.reading)
    held_out = read_training_rows(recipe.eval_data, recipe.reading) if recipe.eval_data else None
    tokenizer = load_tokenizer(recipe.tokenizer or recipe.model)
    stopper = StopOnInterrupt()
    trainer = SoftPreferenceTrainer(
        model=load_model(recipe.model),
        args=config,
        train_dataset=rows,
        eval_dataset=held_out,
        processing_class=tokenizer,
        ref_model=load_model(recipe.ref_model) if recipe.ref_model else None,
        peft_config=_peft_config(recipe.peft),
        callbacks=[MetricsFile(folder / METRICS_FILE), stopper],
    )
    if on_log is not None:
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(LogTo(on_log))
    folder.mkdir(parents=True, exist_ok=True)
    save_recipe(recipe, folder / RECIPE_FILE)
    record = _record(recipe, trainer, rows)
    write_json(folder / RUN_FILE, record)
    started = time.time()
    with _on_interrupt(stopper):
        trainer.train(resume_from_checkpoint=checkpoint)
    if stopper.asked:
        raise InterruptedRunError(
            f"stopped at step {trainer.state.global_step}; go on with: "
            f"softpref train --config {folder / RECIPE_FILE} --resume true"
        )
    trainer.save_model()
    finished = {"steps": trainer.state.global_step, "seconds": time.time() - started}
    write_json(folder / RUN_FILE, {**record, "step_0_difference": trainer.step_zero_difference, "finished": finished})
    return folder


def trainer_config(recipe: TrainRecipe, quiet: bool = False) -> SoftPreferenceConfig:
    """The trainer's arguments. Raises OptionError for a key under ``train`` that does not exist, or is a recipe's own."""
    shared = {name: getattr(recipe, name) for name in SHARED_FIELDS}
    known = {f.name for f in fields(TrainingArguments) if f.init}
    for key in recipe.train:
        if key in shared:
            raise OptionError(f"train.{key} belongs at the top of the recipe, not under train")
        if key not in known:
            raise OptionError(f"train.{key} is no field of transformers.TrainingArguments{nearest(key, known)}")
    try:
        return SoftPreferenceConfig(**{"report_to": "none", "disable_tqdm": quiet, **recipe.train, **shared})
    except (TypeError, ValueError) as error:
        raise OptionError(f"train: {error}") from error


def _checkpoint(recipe: TrainRecipe, folder: Path) -> str | None:
    last = get_last_checkpoint(str(folder)) if folder.is_dir() else None
    if last is not None and not recipe.resume:
        raise OptionError(
            f"{folder} holds a run already: set resume to true to go on with it, or give another output_dir"
        )
    return last


def _peft_config(arguments: Mapping[str, Any] | None) -> Any:
    if arguments is None:
        return None
    try:
        from peft import LoraConfig
    except ImportError:
        raise OptionError("peft needs the package of that name: pip install 'softpref[peft]'") from None
    known = {f.name for f in fields(LoraConfig) if f.init}
    for key in arguments:
        if key not in known:
            raise OptionError(f"peft.{key} is no argument of LoraConfig{nearest(key, known)}")
    return LoraConfig(**{"task_type": "CAUSAL_LM", **arguments})


def _record(recipe: TrainRecipe, trainer: SoftPreferenceTrainer, rows: Any) -> dict[str, Any]:
    method = trainer.method
    return {
        "method": {
            "loss_type": recipe.loss_type,
            "base": method.name,
            "label_treatment": method.treatment,
            "reduction": method.reduction,
            "arguments": dict(method.arguments),
        },
        "data": {
            "file": recipe.data,
            "fingerprint": fingerprint(rows),
            "reading": rows.reading.as_dict() if isinstance(rows, PairSet) else {"rows": len(rows)},
            "tokens": trainer.train_dataset.counts.as_dict(),
            "labelling": _labelling(recipe.data),
            "labels": label_summary(rows) if isinstance(rows, PairSet) and rows.labelled else None,
        },
        "model": {"start": recipe.model, "identity": trainer.policy_identity},
        "reference": None if trainer.reference is None else trainer.reference.identity,
        "seed": recipe.seed,
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "versions": {"python": platform.python_version(), **_versions()},
    }


def _labelling(data: str) -> Any:
    """What labelling said of this file, where it lies beside it."""
    beside = Path(data).with_suffix(".labels.json")
    return json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else None


def _versions() -> dict[str, str]:
    return {name: version(name) for name in VERSIONED if find_spec(name) is not None}


@contextmanager
def _on_interrupt(stopper: StopOnInterrupt) -> Iterator[None]:
    try:
        before = signal.signal(signal.SIGINT, stopper.ask)
    except ValueError:  # not the main thread: the caller has its own way to stop
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
