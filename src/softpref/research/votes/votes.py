"""Real votes: which loss learns most from five people's opinions of two arguments (UKPConvArg1, Habernal and Gurevych 2016).

Two questions, each with its own split (``real_folds``): held-out arguments of seen debates, and held-out debates.

Every run of a fold starts from the same SFT model and sees the same pairs in the same order; only the loss differs.
Learning rate and number of updates were chosen on the validation part of the held-out-arguments split (docs/research/results.md).
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from softpref.core.arrays import Floats
from softpref.core.calibration import fit_temperature
from softpref.data.files import atomic_write, write_json
from softpref.data.formats import read_pairs, write_rows
from softpref.data.pairs import PreferencePair, fingerprint, text_of
from softpref.demo.paper_betas import treatment_of
from softpref.demo.small_model import bpe_tokenizer, save, small_llama
from softpref.errors import InterruptedRunError, OptionError
from softpref.evaluation.classification import margins, side_logps
from softpref.evaluation.classify import Subject, classification_figures, write_classification
from softpref.evaluation.implicit_reward import reward_of_run
from softpref.records.record import command_line
from softpref.records.run import RunRecord
from softpref.research.votes.document import as_markdown
from softpref.research.votes.figures import (
    CONSTANT,
    LONGER,
    Scores,
    Setting,
    arguments_drawn,
    debates_drawn,
)
from softpref.research.votes.folds import (
    Fold,
    labelled_row,
    make_folds,
    read_votes,
    vote_row,
    vote_shares,
    word_difference,
)
from softpref.research.votes.settings import METHODS, RealSettings
from softpref.run_folder import CLASSIFICATION_FILE, CLASSIFICATIONS_FOLDER, RUN_FILE, read_json
from softpref.training.recipe import TrainRecipe

Say = Callable[[str], None]


def run_real(data: Path, output: str | Path, settings: RealSettings | None = None, say: Say = print) -> dict[str, Any]:
    """Train and score every fold and method; write ``results.json`` and ``results.md``, and return what the JSON holds.

    A (fold, method) that is finished is not done again on a second call. The weights of a scored run are removed:
    its margins and its figures on the test pairs stay, and its ``recipe.yaml`` makes it again.
    """
    study = Study(Path(output), read_votes(data), settings or RealSettings(), say)
    for fold in study.folds:
        study.run_fold(fold)
    return study.results()


@dataclass
class Study:
    """The folds and what has been trained on them, in a folder."""

    folder: Path
    pairs: list[PreferencePair]
    settings: RealSettings
    say: Say
    folds: list[Fold] = field(init=False)

    def __post_init__(self) -> None:
        self.folds = make_folds(self.pairs, self.settings)
        self.started, self.trained = time.perf_counter(), 0
        self._check_same_settings()

    def _check_same_settings(self) -> None:
        file = self.folder / "settings.json"
        ours = json.loads(json.dumps({**asdict(self.settings), "data": fingerprint(self.pairs)}))
        if file.is_file() and json.loads(file.read_text(encoding="utf-8")) != ours:
            raise OptionError(f"{self.folder} holds a study of other data or settings: give another output")
        write_json(file, ours)

    # --- training ---------------------------------------------------------------------------------------------------

    def run_fold(self, fold: Fold) -> None:
        """SFT on this fold's winners, then every method from there; each is scored and on disk before the next."""
        wanted = [method for method in self.settings.methods if not self._result_file(fold, method).is_file()]
        if wanted:
            self._train_methods(fold, wanted)
        self._classify(fold)

    def _train_methods(self, fold: Fold, methods: Sequence[str]) -> None:
        self.prepare(fold)
        held_out = [*fold.validation, *fold.test]
        reference = side_logps(str(self.path(fold) / "sft"), held_out)
        for method in methods:
            self._run_method(fold, method, held_out, reference)

    def prepare(self, fold: Fold) -> None:
        """The fold's training files, and its SFT model."""
        self._write_data(fold)
        self._train_sft(fold)

    def _write_data(self, fold: Fold) -> None:
        path = self.path(fold)
        write_rows(path / "train.jsonl", map(vote_row, fold.train))
        winners = [pair for pair in read_pairs(path / "train.jsonl") if pair.soft_label != 0.5]
        write_rows(path / "sft.jsonl", [{"prompt": pair.prompt, "completion": pair.chosen} for pair in winners])

    def _train_sft(self, fold: Fold) -> None:
        s, path = self.settings, self.path(fold)
        if _is_finished(path / "sft"):
            return
        self._stage(fold, "sft")
        start = s.model or str(self._from_scratch(fold))
        train = self.arguments(s.sft_updates, s.sft_learning_rate)
        self._train(TrainRecipe(start, str(path / "sft.jsonl"), str(path / "sft"), loss_type="sft", train=train))

    def _from_scratch(self, fold: Fold) -> Path:
        """A tokenizer that knows the training part only, and a model with random weights."""
        s = self.settings
        texts = {text_of(text) for pair in fold.train for text in (pair.prompt, pair.chosen, pair.rejected)}
        tokenizer = bpe_tokenizer(sorted(texts), s.vocabulary)
        model = small_llama(tokenizer, s.hidden, s.layers, s.heads, context=512, seed=s.seed)
        return save(model, tokenizer, self.path(fold) / "init")

    def _run_method(self, fold: Fold, method: str, held_out: Sequence[PreferencePair], reference: Floats) -> None:
        s, path, began = self.settings, self.path(fold), time.perf_counter()
        run = path / method
        self._stage(fold, method)
        if not _is_finished(run):
            recipe = TrainRecipe(
                str(path / "sft"),
                str(path / "train.jsonl"),
                str(run),
                loss_type=method,
                label_treatment=treatment_of(method),
                beta=METHODS[method],
                train=self.arguments(s.updates, s.learning_rate),
            )
            self._train(recipe)
        h = margins(side_logps(str(run), held_out), reference)
        split = len(fold.validation)
        found = {"beta": METHODS[method], "validation": h[:split].tolist(), "test": h[split:].tolist()}
        write_json(self._result_file(fold, method), {**found, "seconds": time.perf_counter() - began})
        self.trained += 1
        for weights in run.glob("*.safetensors"):
            weights.unlink()

    def _classify(self, fold: Fold) -> None:
        """What a report reads of runs whose weights are gone: ``classification.json`` on the fold's test pairs."""
        path = self.path(fold)
        folders = {method: path / method / CLASSIFICATIONS_FOLDER / "test" for method in self.settings.methods}
        missing = [method for method, folder in folders.items() if not (folder / CLASSIFICATION_FILE).is_file()]
        if not missing:
            return
        self._stage(fold, f"figures on {len(fold.test)} test pairs: {', '.join(missing)}")
        write_rows(path / "test.jsonl", map(labelled_row, fold.test))
        draws = arguments_drawn(fold.test, self.settings.resamples)
        for method in missing:
            reward = reward_of_run(RunRecord.read(path / method / RUN_FILE))
            h = np.array(self._result(fold, method)["test"])
            figures = classification_figures(h, fold.test, reward.beta, draws)
            subject = Subject(str(path / method), str(path / "sft"), reward)
            write_classification(folders[method], subject, path / "test.jsonl", figures)

    def _train(self, recipe: TrainRecipe) -> None:
        from softpref.training.run import train

        folder = Path(recipe.output_dir)
        if _has_ended(folder):  # its weights went after it was scored, and now its margins are gone too
            shutil.rmtree(folder)
        recipe.seed, recipe.max_length, recipe.resume = self.settings.seed, None, folder.is_dir()
        try:
            train(recipe, on_log=lambda _: None)
        except InterruptedRunError:
            raise InterruptedRunError("interrupted; what was finished is on disk, run it again to go on") from None

    def arguments(self, updates: int, learning_rate: float) -> dict[str, Any]:
        """What every run hands to ``transformers.TrainingArguments``."""
        s = self.settings
        return {
            "max_steps": updates,
            "learning_rate": learning_rate,
            "warmup_steps": min(5, updates // 2),
            "lr_scheduler_type": "constant_with_warmup",
            "adam_beta2": 0.98,
            "weight_decay": 0.01,
            "per_device_train_batch_size": s.micro_batch,
            "gradient_accumulation_steps": s.batch // s.micro_batch,
            "save_strategy": "no",
            "logging_steps": 5,
        }

    # --- progress and places ----------------------------------------------------------------------------------------

    def _stage(self, fold: Fold, what: str) -> None:
        left = sum(not self._result_file(f, m).is_file() for f in self.folds for m in self.settings.methods)
        elapsed = time.perf_counter() - self.started
        about = f", about {elapsed / self.trained * left / 60:.0f} min left" if self.trained else ""
        total = len(self.folds) * len(self.settings.methods)
        place = f"fold {self.folds.index(fold) + 1} of {len(self.folds)}, {fold.name}"
        self.say(f"[{elapsed:5.0f} s] {place}: {what} ({total - left} of {total} runs done{about})")

    def path(self, fold: Fold) -> Path:
        """Where a fold's files and runs lie."""
        return self.folder / "folds" / fold.name.replace(" ", "-")

    def _result_file(self, fold: Fold, method: str) -> Path:
        return self.path(fold) / method / "margins.json"

    # --- what came of it --------------------------------------------------------------------------------------------

    def results(self) -> dict[str, Any]:
        """Every figure of both settings, written as JSON and as Markdown."""
        self.say(f"[{time.perf_counter() - self.started:5.0f} s] figures and their intervals")
        seen, *left_out = self.folds
        draws = self.settings.resamples
        arguments = arguments_drawn(seen.test, draws)(np.arange(len(seen.test)))
        settings = {"held-out arguments of seen debates": Setting([seen], self._scores, arguments)}
        if left_out:
            settings["debates left out in turn"] = Setting(left_out, self._scores, debates_drawn(left_out, draws))
        found = {
            "command": command_line(),
            "seconds": sum(self._result(fold, m)["seconds"] for fold in self.folds for m in self.settings.methods),
            "settings": asdict(self.settings),
            "figures": {name: setting.figures(self.settings.methods) for name, setting in settings.items()},
        }
        write_json(self.folder / "results.json", found)
        with atomic_write(self.folder / "results.md") as file:
            file.write(as_markdown(found))
        return found

    def _result(self, fold: Fold, method: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._result_file(fold, method).read_text(encoding="utf-8"))
        return found

    def _scores(self, fold: Fold, name: str) -> Scores:
        """Log-odds of the fold's test pairs under a method or a baseline, and the temperature from its validation pairs."""
        if name == CONSTANT:
            return Scores(np.zeros(len(fold.test)), 1.0)
        if name == LONGER:
            validation, test = word_difference(fold.validation), word_difference(fold.test)
        else:
            found = self._result(fold, name)
            validation, test = (found["beta"] * np.array(found[part]) for part in ("validation", "test"))
        return Scores(test, fit_temperature(validation, vote_shares(fold.validation)))


def _is_finished(run: Path) -> bool:
    """Whether the run went to its end and its weights are still there."""
    return _has_ended(run) and any(run.glob("*.safetensors"))


def _has_ended(run: Path) -> bool:
    return "finished" in (read_json(run / RUN_FILE) or {})
