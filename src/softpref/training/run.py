"""One training run from a recipe: load, train, and leave behind what makes it repeatable."""

from __future__ import annotations

import json
import logging
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import fields, replace
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import PrinterCallback, ProgressCallback, TrainerCallback, TrainingArguments

from softpref.data.files import append_text, atomic_write, strict_json, writing
from softpref.data.formats import read_training_rows
from softpref.data.inspection import label_summary
from softpref.data.output_lock import only_writer
from softpref.data.outputs import check_outputs
from softpref.data.pairs import Completion, PairSet, Reading, fingerprint
from softpref.data.places import Data, data_name, held_out_options
from softpref.data.read_options import ReadOptions
from softpref.errors import InputError, InterruptedRunError, OptionError, nearest
from softpref.extras import require
from softpref.generation.engine import deciding
from softpref.judges.base import Judge
from softpref.loading.adapters import base_of
from softpref.loading.models import load_start, load_tokenizer
from softpref.records.figures import known
from softpref.records.labels import LabelRecord
from softpref.records.record import command_line, plain
from softpref.records.run import (
    DataFigures,
    FinishedFigures,
    LabelHistogram,
    MethodFigures,
    RunRecord,
    ScoringFigures,
    StartFigures,
)
from softpref.run_folder import METRICS_FILE, RECIPE_FILE, RUN_FILE, read_lines
from softpref.scoring.reference import starts_at_its_base
from softpref.training.checkpoints import checkpoints, last_whole_checkpoint
from softpref.training.config import SoftPreferenceConfig
from softpref.training.metrics import own_names
from softpref.training.on_policy import read_online_prompts
from softpref.training.online import OnlineSoftPreferenceTrainer, check_online
from softpref.training.quantization import quantization_config
from softpref.training.recipe import SHARED_FIELDS, TrainRecipe, save_recipe
from softpref.training.trainer import SoftPreferenceTrainer, on_main_process
from softpref.training.trl_arguments import REFUSED

logger = logging.getLogger(__name__)

# Training arguments that decide what is learned: a run may not go on with others.
LEARNED_BY = (
    "learning_rate",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "lr_scheduler_type",
    "warmup_steps",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "optim",
    "max_grad_norm",
    "data_seed",
    "bf16",
    "fp16",
    "num_train_epochs",
    "max_steps",
)

VERSIONED = ("softpref", "torch", "transformers", "accelerate", "tokenizers", "numpy", "peft")


class MetricsFile(TrainerCallback):
    """Every log line on disk as it is made. A resumed run drops the lines past its checkpoint and goes on from there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the file, or cut it back to the step that is resumed from."""
        if not state.is_world_process_zero:
            return
        lines = read_lines(self.path) if state.global_step else []
        kept = [json.dumps(line) for line in lines if line.get("step", 0) <= state.global_step]
        with atomic_write(self.path) as file:
            file.writelines(f"{row}\n" for row in kept)

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **kwargs: Any) -> None:
        """Append one line."""
        if state.is_world_process_zero:
            append_text(self.path, json.dumps({"step": state.global_step, **own_names(logs or {})}) + "\n")


class LogTo(TrainerCallback):
    """Hands every log line to a function, with its step."""

    def __init__(self, take: Callable[[Mapping[str, float]], None]) -> None:
        self.take = take

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **kwargs: Any) -> None:
        """Pass one line on."""
        if not state.is_world_process_zero:
            return
        self.take({"step": state.global_step, "of": state.max_steps, **own_names(logs or {})})


class StopOnSignal(TrainerCallback):
    """Ctrl-C, or a scheduler's SIGTERM, ends the run after the update under way, with a checkpoint. A second one at once."""

    def __init__(self) -> None:
        self.asked = self.training = False

    def ask(self, *_: object) -> None:
        """The signal handler. Before the first update there is nothing to save."""
        if self.asked or not self.training:
            raise KeyboardInterrupt
        self.asked = True

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """From here on, wait for the update under way."""
        self.training = True

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Save and stop once asked to."""
        if self.asked:
            control.should_save = control.should_training_stop = True

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the two signals in here. Outside the main thread the caller has its own way to stop."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def train(
    recipe: TrainRecipe,
    on_log: Callable[[Mapping[str, float]], None] | None = None,
    say: Callable[[str], None] = logger.info,
    judge: Judge | None = None,
) -> Path:
    """Run the recipe; the folder of the run is returned.

    ``judge`` labels what an online run draws, where ``online.labels`` is judge; the recipe's ``judge`` says which it was.

    With ``on_log`` every log line goes there, and no progress bar is drawn. ``say`` takes what a person should know: what
    became of the rows, and by how much policy and reference differ at step 0.

    Leaves ``recipe.yaml`` (resolved; it reruns the run), ``metrics.jsonl``, ``run.json`` (data and reference identity,
    counts, versions, command), checkpoints, and the trained model with its tokenizer.

    Raises:
        InputError: data or options are wrong, before anything is trained; or the folder holds another run.
        InterruptedRunError: Ctrl-C or SIGTERM; a checkpoint lies in the folder.
    """
    config = trainer_config(recipe, quiet=on_log is not None)
    folder = Path(recipe.output_dir)
    _check_output(recipe, folder)
    with only_writer(folder, "softpref train") if config.process_index == 0 else nullcontext():
        return _train(recipe, config, folder, on_log, say, judge)


def _train(
    recipe: TrainRecipe,
    config: SoftPreferenceConfig,
    folder: Path,
    on_log: Callable[[Mapping[str, float]], None] | None,
    say: Callable[[str], None],
    judge: Judge | None,
) -> Path:
    checkpoint = _checkpoint(recipe, folder, say)
    rows = _rows(recipe, config, judge)
    held_out = _held_out(recipe, rows)
    stopper = StopOnSignal()
    callbacks = [MetricsFile(folder / METRICS_FILE), stopper]
    trainer = _trainer(recipe, config, rows, held_out, callbacks, on_log, judge)
    record = _record(recipe, trainer, rows)
    if checkpoint is not None:
        _refuse_another_run(folder, record)
        trainer.checked_checkpoint = checkpoint
    _say_rows(rows, trainer, say)
    save_recipe(recipe, folder / RECIPE_FILE)
    started = time.time()
    record.write(folder / RUN_FILE)
    _run_until_stopped(trainer, stopper, checkpoint, folder)
    if trainer.checked is not None:
        say(trainer.checked.notice)
    if trainer.step_zero_difference is not None:
        say(f"policy and reference differed by at most {trainer.step_zero_difference:.2g} nats at step 0")
    with writing(folder, "the checkpoints are kept: resume when there is room"):
        trainer.save_model()
    # a rank that ended before the others would take them down with it
    trainer.accelerator.wait_for_everyone()
    finished = FinishedFigures(trainer.state.global_step, time.time() - started)
    difference = trainer.step_zero_difference
    replace(record, step_0_difference=difference, scoring=_scoring(trainer), finished=finished).write(folder / RUN_FILE)
    return folder


def _check_output(recipe: TrainRecipe, folder: Path) -> None:
    """The trained model and the record of its run are written over nothing that the run reads."""
    inputs = {name: getattr(recipe, name) for name in ("data", "eval_data", "model", "ref_model", "tokenizer")}
    check_outputs(inputs, {name: folder / name for name in (METRICS_FILE, RECIPE_FILE, RUN_FILE)}, {"output_dir": folder})


def _run_until_stopped(trainer: SoftPreferenceTrainer, stopper: StopOnSignal, checkpoint: Path | None, folder: Path) -> None:
    """Train. Raises InterruptedRunError, with the command that goes on, where a signal has ended it."""
    go_on = f"go on with: softpref train --config {folder / RECIPE_FILE} --resume"
    try:
        with stopper.listening():
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    except KeyboardInterrupt:
        kept = checkpoints(folder)
        last = f"the last checkpoint is {kept[0].name}" if kept else "no checkpoint was written yet"
        raise InterruptedRunError(f"stopped at once in step {trainer.state.global_step + 1}; {last}; {go_on}") from None
    if stopper.asked:
        raise InterruptedRunError(f"stopped at step {trainer.state.global_step}; {go_on}")


def score_reference(recipe: TrainRecipe) -> int:
    """Score every pair of a recipe under its reference, into the cache; the number of pairs is returned.

    What a run of this recipe, or of any other on the same tokens and reference, then finds there. Stopped, it goes on from
    what is on disk. Raises InputError.
    """
    if recipe.precompute_ref_log_probs is False:
        raise OptionError("precompute_ref_log_probs is False, so no run of this recipe would read what is computed here")
    if recipe.online.labels is not None:
        raise OptionError("an online run draws its pairs while it trains: there is nothing to score before it")
    config = trainer_config(replace(recipe, precompute_ref_log_probs=True))
    rows = read_training_rows(recipe.data, recipe.reading)
    held_out = _held_out(recipe, rows)
    trainer = _trainer(recipe, config, rows, held_out, [], None)
    trainer.score_reference()
    return len(trainer.train_dataset) + len(trainer.eval_dataset or ())


def _scoring(trainer: SoftPreferenceTrainer) -> ScoringFigures | None:
    """Which way of scoring the run took, and by how much it differed from the plain one."""
    checked = trainer.checked
    return None if checked is None else ScoringFigures(checked.packed, known(checked.difference))


def _trainer(
    recipe: TrainRecipe,
    config: SoftPreferenceConfig,
    rows: Any,
    held_out: Any,
    callbacks: list[TrainerCallback],
    on_log: Callable[[Mapping[str, float]], None] | None,
    judge: Judge | None = None,
) -> SoftPreferenceTrainer:
    kind: Callable[..., SoftPreferenceTrainer] = SoftPreferenceTrainer
    if recipe.online.labels is not None:
        kind = partial(OnlineSoftPreferenceTrainer, online=recipe.online, judge=judge)
    trainer = kind(
        model=load_start(recipe.model, recipe.dtype, _quantization(recipe)),
        args=config,
        train_dataset=rows,
        eval_dataset=held_out,
        processing_class=load_tokenizer(recipe.tokenizer or recipe.model),
        ref_model=recipe.ref_model,
        peft_config=_peft_config(recipe.peft),
        callbacks=callbacks,
    )
    if on_log is not None:
        trainer.remove_callback(PrinterCallback)
        trainer.remove_callback(ProgressCallback)
        trainer.add_callback(LogTo(on_log))
    return trainer


def _rows(recipe: TrainRecipe, config: SoftPreferenceConfig, judge: Judge | None) -> Any:
    """What the recipe trains on: pairs, completions, or prompts where it is an online one."""
    if recipe.online.labels is None:
        if recipe.judge or judge is not None:
            raise OptionError("judge has no effect without online.labels: pairs are labelled with softpref label")
        rows = read_training_rows(recipe.data, recipe.reading)
        _refuse_ties(rows, config)
        return rows
    if recipe.reading.identical != ReadOptions.identical:
        raise OptionError("reading.identical has no effect online, where only prompts are read: leave it out")
    check_online(config, recipe.online, judge)
    return read_online_prompts(recipe.data, recipe.reading)


def _held_out(recipe: TrainRecipe, rows: Any) -> PairSet | list[Completion] | None:
    """The rows to evaluate on: votes become p by the prior of those that are trained on."""
    if not recipe.eval_data:
        return None
    reading = rows.reading if isinstance(rows, PairSet) else Reading(len(rows))
    return read_training_rows(recipe.eval_data, held_out_options(recipe.reading, reading))


def _refuse_ties(rows: Any, config: SoftPreferenceConfig) -> None:
    """Ties alone teach nothing under any treatment; hard may be told to take them as they stand."""
    if isinstance(rows, PairSet) and len(rows) and rows.reading.ties == len(rows) and config.ties != "keep":
        raise InputError(
            f"{rows.name}: every pair is a tie (p = 0.5), so there is nothing to learn; give pairs with a better side"
        )


def _say_rows(rows: Any, trainer: SoftPreferenceTrainer, say: Callable[[str], None]) -> None:
    counts = trainer.train_dataset.counts
    notes = [f"{value} {name.replace('_', ' ')}" for name, value in counts.as_dict().items() if name != "kept" and value]
    if isinstance(rows, PairSet):
        reading = rows.reading
        notes += [f"{reading.identical_dropped} identical in text"] if reading.identical_dropped else []
        notes += [f"{reading.ties} ties"] if reading.ties else []
    say(f"{counts.kept} rows to train on" + (f" ({', '.join(notes)})" if notes else ""))
    if isinstance(rows, PairSet):
        for note in rows.reading.notes:
            say(f"  {note}")
        for doubt in rows.reading.doubts:
            say(f"warning: {doubt}")


def trainer_config(recipe: TrainRecipe, quiet: bool = False) -> SoftPreferenceConfig:
    """The trainer's arguments. Raises OptionError for a key under ``train`` that does not exist, or is a recipe's own."""
    shared = {name: getattr(recipe, name) for name in SHARED_FIELDS}
    known = {f.name for f in fields(TrainingArguments) if f.init}
    for key in recipe.train:
        if key in shared:
            raise OptionError(f"train.{key} belongs at the top of the recipe, not under train")
        if key not in known and key not in REFUSED:
            raise OptionError(f"train.{key} is no field of transformers.TrainingArguments{nearest(key, known)}")
    if recipe.eval_data is None and recipe.train.get("eval_strategy", "no") != "no":
        raise OptionError("train.eval_strategy needs rows to evaluate on: give eval_data, or leave it out")
    if recipe.eval_data is not None and recipe.train.get("eval_strategy") == "no":
        raise OptionError("eval_data has no effect with train.eval_strategy 'no': leave one of them out")
    # held-out pairs are there to be evaluated on: once an epoch unless train says otherwise
    when = {} if recipe.eval_data is None else {"eval_strategy": "epoch"}
    try:
        return SoftPreferenceConfig(**{"report_to": "none", "disable_tqdm": quiet, **when, **recipe.train, **shared})
    except (TypeError, ValueError) as error:
        raise OptionError(f"train: {error}") from error


def _checkpoint(recipe: TrainRecipe, folder: Path, say: Callable[[str], None]) -> Path | None:
    """Where to go on from. A folder that holds a run is never written over."""
    record = _run_record(folder)
    if recipe.resume:
        if record is not None and record.finished:
            raise OptionError(f"{folder}: its run is finished; give another output_dir for a new one")
        last = on_main_process(lambda: last_whole_checkpoint(folder, say))
        say(f"going on from {last}" if last is not None else f"{folder} holds no checkpoint: starting from the beginning")
        return last
    if record is not None or checkpoints(folder):
        go_on = "" if record is not None and record.finished else "set resume to true to go on with it, or "
        raise OptionError(f"{folder} holds a run already: {go_on}give another output_dir")
    return None


def _run_record(folder: Path) -> RunRecord | None:
    """``run.json`` of the folder, None where there is none. Raises InputError where it is no record of a run."""
    file = folder / RUN_FILE
    return RunRecord.read(file) if file.is_file() else None


def _refuse_another_run(folder: Path, record: RunRecord) -> None:
    """Going on with other data, another method or other settings would be a run that no recipe describes."""
    before = _run_record(folder)
    if before is None:
        return
    for name in ("method", "model", "reference", "seed", "settings", "online"):
        there, here = _comparable(name, before), _comparable(name, record)
        if there != here:
            raise OptionError(f"{folder}: the run there has another {name}: {there}, not {here}")
    if before.data.fingerprint != record.data.fingerprint:
        raise OptionError(f"{folder}: the run there was made with other data than {record.data.file} holds now")


def _comparable(name: str, record: RunRecord) -> Any:
    """As JSON has it; of an online run, what decides its responses."""
    value = json.loads(strict_json(plain(getattr(record, name))))
    return deciding(value) if name == "online" and value is not None else value


def _peft_config(arguments: Mapping[str, Any] | None) -> Any:
    """The adapter's configuration; ``peft_type`` names its kind, LORA if not given."""
    if arguments is None:
        return None
    require("peft:", "peft")
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING

    kinds = {str(kind.value): config for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    name = str(arguments.get("peft_type", "LORA"))
    if name not in kinds:
        raise OptionError(f"peft.peft_type is {name!r}{nearest(name, kinds)}")
    known = {f.name for f in fields(kinds[name]) if f.init}
    for key in arguments:
        if key not in known and key != "peft_type":
            raise OptionError(f"peft.{key} is no argument of {kinds[name].__name__}{nearest(key, known)}")
    chosen = {key: value for key, value in arguments.items() if key != "peft_type"}
    try:
        return kinds[name](**{"task_type": "CAUSAL_LM", **chosen})
    except (ImportError, TypeError, ValueError) as error:
        raise OptionError(f"peft: {error}") from error


def _quantization(recipe: TrainRecipe) -> Any:
    if recipe.quantization is not None and recipe.peft is None and base_of(recipe.model) is None:
        raise OptionError("quantization needs an adapter to train, as quantised weights cannot be: give peft, such as {r: 16}")
    return quantization_config(recipe.quantization)


def _record(recipe: TrainRecipe, trainer: SoftPreferenceTrainer, rows: Any) -> RunRecord:
    method = trainer.method
    return RunRecord(
        method=MethodFigures(
            loss_type=recipe.loss_type if isinstance(recipe.loss_type, str) else method.name,
            base=method.name,
            label_treatment=method.treatment,
            reduction=method.reduction,
            arguments={**method.options, **({"min_certainty": recipe.min_certainty} if recipe.min_certainty else {})},
        ),
        data=DataFigures(
            file=data_name(recipe.data),
            fingerprint=fingerprint(rows),
            reading=rows.reading if isinstance(rows, PairSet) else Reading(len(rows)),
            tokens=trainer.train_dataset.counts,
            labelling=_labelling(recipe.data),
            labels=LabelHistogram(**label_summary(rows)) if isinstance(rows, PairSet) and rows.labelled else None,
        ),
        model=StartFigures(recipe.model, trainer.policy_identity, is_reference=_start_is_reference(recipe, trainer)),
        reference=None if trainer.reference is None else trainer.reference.identity,
        seed=recipe.seed,
        settings={name: trainer.args.to_dict()[name] for name in LEARNED_BY},
        online=trainer.described if isinstance(trainer, OnlineSoftPreferenceTrainer) else None,
        command=command_line(),
        versions={"python": platform.python_version(), **_versions()},
    )


def _labelling(data: Data) -> LabelRecord | None:
    """The labelling summary stored next to the data file, if any."""
    if not isinstance(data, str):
        return None
    beside = Path(data).with_suffix(".labels.json")
    return LabelRecord.read(beside) if beside.is_file() else None


def _start_is_reference(recipe: TrainRecipe, trainer: SoftPreferenceTrainer) -> bool:
    """Whether the recipe's model, loaded again, is the reference; a new adapter may have begun away from it."""
    return recipe.peft is None or recipe.ref_model is not None or starts_at_its_base(trainer.model)


def _versions() -> dict[str, str]:
    return {name: version(name) for name in VERSIONED if find_spec(name) is not None}
