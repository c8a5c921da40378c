"""Real votes: which loss learns most from five people's opinions of two arguments (UKPConvArg1, Habernal and Gurevych 2016).

Two questions, each with its own split. *Held-out arguments*: a test pair has two arguments that training never saw, in
debates that it did see. *Held-out debates*: each of the 11 debates is left out in turn, both of its sides together. In
either, part of the training debates' arguments is held back to fit one temperature per run. Pairs with one argument on
either side of a split are in no part of it.

Every run of a fold starts from the same SFT model and sees the same pairs in the same order; only the loss differs.
Learning rate and number of updates were chosen on the validation part of the held-out-arguments split (docs/results.md).
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from softpref.core.calibration import fit_temperature
from softpref.core.statistics import cluster_bootstrap
from softpref.data.files import atomic_write, write_json
from softpref.data.formats import read_pairs, write_rows
from softpref.data.pairs import PreferencePair, fingerprint, text_of
from softpref.data.read_options import ReadOptions
from softpref.errors import InputError, InterruptedRunError, OptionError
from softpref.evaluation.classification import (
    Bootstrap,
    Floats,
    as_dicts,
    as_written,
    calibration_figures,
    majority_auc,
    margins,
    node_bootstrap,
    ranking_figures,
    side_logps,
)
from softpref.experiments.small_model import bpe_tokenizer, save, small_llama
from softpref.run_folder import RUN_FILE, read_json
from softpref.training.recipe import TrainRecipe

DATA_FILE, DATA_VARIABLE = "ukpconvarg1.jsonl", "SOFTPREF_DATA"
BESIDE_THE_CHECKOUT = Path("../shared/data")

# The paper's betas for Plasma Plan (arXiv 2409.06691, §5).
METHODS: dict[str, float] = {
    "dpo": 0.1, "cdpo": 0.1, "gdpo": 0.3,
    "ipo": 0.1, "cipo": 0.1, "gipo": 0.05,
    "ropo": 0.1, "gropo": 0.3,
}  # fmt: skip
HARD_TWIN = {"cdpo": "dpo", "gdpo": "dpo", "cipo": "ipo", "gipo": "ipo", "gropo": "ropo"}
SEEN = "held-out arguments"

Say = Callable[[str], None]


@dataclass(frozen=True)
class RealSettings:
    """Sizes of the study.

    ``model`` is a folder or Hub name to start from; None makes a tokenizer and a small Llama from scratch in every fold.
    ``debates`` is how many of the debates are left out in turn, by name; None is all. Shares are of *arguments*, inside
    each side of a debate. ``micro_batch``: pairs in memory at once; an update has ``batch`` of them all the same.
    """

    seed: int = 1
    model: str | None = None
    methods: tuple[str, ...] = tuple(METHODS)
    debates: int | None = None
    test_share: float = 0.3
    validation_share: float = 0.2
    sft_updates: int = 20
    sft_learning_rate: float = 3e-3
    updates: int = 48
    learning_rate: float = 3e-4
    batch: int = 32
    micro_batch: int = 32
    vocabulary: int = 500
    hidden: int = 32
    layers: int = 1
    heads: int = 2
    resamples: int = 1000

    def __post_init__(self) -> None:
        for method in self.methods:
            if method not in METHODS:
                raise OptionError(f"methods holds {method!r}; this study runs {', '.join(METHODS)}")
        if self.batch % self.micro_batch:
            raise OptionError(f"micro_batch {self.micro_batch} does not divide an update of {self.batch} pairs")


QUICK = RealSettings(
    methods=("dpo", "gdpo"), debates=0, sft_updates=2, updates=2, vocabulary=300, hidden=16, layers=1, resamples=50
)  # fmt: skip


# --- the data and its folds ---------------------------------------------------------------------------------------------


def find_data(folder: str | None = None) -> Path:
    """The votes' file: in ``folder``, else in $SOFTPREF_DATA, else beside the checkout. Raises InputError without it."""
    named = folder or os.environ.get(DATA_VARIABLE)
    file = (Path(named) if named else BESIDE_THE_CHECKOUT) / DATA_FILE
    if not file.is_file():
        raise InputError(
            f"{file}: no such file; set {DATA_VARIABLE} (or --data) to the folder that holds {DATA_FILE}, or fetch it "
            f"where there is a network: python scripts/fetch_ukp.py FOLDER"
        )
    return file


def read_votes(file: Path) -> list[PreferencePair]:
    """Pairs in the file's own order of sides, ``soft_label`` the raw share of votes. Identical sides are dropped.

    The prompt gets a line break at its end: arguments follow it without white space, and tokens must not merge.
    """
    pairs = as_written(read_pairs(file, ReadOptions(identical="drop")))
    for pair in pairs:
        if len(pair.meta.get("votes", ())) != 3 or "group" not in pair.meta:
            raise InputError(
                f"{file}: row {pair.row} has no meta.votes (three counts) or no meta.group; fetch it again"
            )
    return [replace(pair, prompt=f"{text_of(pair.prompt)}\n") for pair in pairs]


def side_of(pair: PreferencePair) -> str:
    """The side of a debate that a pair belongs to: its prompt."""
    return str(pair.meta["group"])


def debate_of(pair: PreferencePair) -> str:
    """The debate that a pair belongs to: both of its sides."""
    return side_of(pair).partition("_")[0]


def arguments_of(pair: PreferencePair) -> tuple[tuple[str, str], tuple[str, str]]:
    """Both arguments, each as (side, text). Not by id: five texts stand in the file under two, and texts are what leaks."""
    return (side_of(pair), text_of(pair.chosen)), (side_of(pair), text_of(pair.rejected))


@dataclass(frozen=True)
class Fold:
    """One division of the pairs. No argument of one part stands in another."""

    name: str
    train: tuple[PreferencePair, ...]
    validation: tuple[PreferencePair, ...]
    test: tuple[PreferencePair, ...]


def split_by_argument(
    pairs: Sequence[PreferencePair], shares: Mapping[str, float], rng: np.random.Generator
) -> dict[str, tuple[PreferencePair, ...]]:
    """Pairs whose two arguments are both in one part, by part; ``"train"`` takes what the shares leave.

    Inside each side of a debate the arguments are shuffled and dealt out. A pair with arguments of two parts is in none.
    """
    part_of: dict[tuple[str, str], str] = {}
    by_side: dict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        for side, text in arguments_of(pair):
            by_side[side].add(text)
    for side, texts in sorted(by_side.items()):
        order = [str(text) for text in rng.permutation(sorted(texts))]
        for part, share in shares.items():
            taken, order = order[: round(share * len(texts))], order[round(share * len(texts)) :]
            part_of.update({(side, text): part for text in taken})
    found: dict[str, list[PreferencePair]] = {part: [] for part in (*shares, "train")}
    for pair in pairs:
        parts = {part_of.get(argument, "train") for argument in arguments_of(pair)}
        if len(parts) == 1:
            found[parts.pop()].append(pair)
    return {part: tuple(chosen) for part, chosen in found.items()}


def make_folds(pairs: Sequence[PreferencePair], settings: RealSettings) -> list[Fold]:
    """Held-out arguments first, then the debates that are left out, by name."""
    shares = {"test": settings.test_share, "validation": settings.validation_share}
    folds = [Fold(SEEN, **split_by_argument(pairs, shares, np.random.default_rng([settings.seed, 0])))]
    debates = sorted({debate_of(pair) for pair in pairs})
    for number, debate in enumerate(debates[: settings.debates], start=1):
        others = [pair for pair in pairs if debate_of(pair) != debate]
        rng = np.random.default_rng([settings.seed, number])
        parts = split_by_argument(others, {"validation": settings.validation_share}, rng)
        folds.append(Fold(debate, **parts, test=tuple(pair for pair in pairs if debate_of(pair) == debate)))
    return folds


def vote_row(pair: PreferencePair) -> dict[str, Any]:
    """A pair as the row that training reads: its votes, and no label beside them."""
    first, equal, second = pair.meta["votes"]
    return {
        "prompt": pair.prompt, "response_1": pair.chosen, "response_2": pair.rejected,
        "votes_1": first, "votes_tie": equal, "votes_2": second, "meta": {"group": side_of(pair)},
    }  # fmt: skip


# --- the study ------------------------------------------------------------------------------------------------------------


def run_real(data: Path, output: str | Path, settings: RealSettings | None = None, say: Say = print) -> dict[str, Any]:
    """Train and score every fold and method; write ``results.json`` and ``results.md``, and return what the JSON holds.

    A (fold, method) that is finished is not done again on a second call. The weights of a scored run are removed:
    its margins stay, and its ``recipe.yaml`` makes it again.
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
        if not wanted:
            return
        self.prepare(fold)
        held_out = [*fold.validation, *fold.test]
        reference = side_logps(str(self.path(fold) / "sft"), held_out)
        for method in wanted:
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
                str(path / "sft"), str(path / "train.jsonl"), str(run), loss_type=method, beta=METHODS[method],
                train=self.arguments(s.updates, s.learning_rate),
            )  # fmt: skip
            self._train(recipe)
        h = margins(side_logps(str(run), held_out), reference)
        split = len(fold.validation)
        found = {"beta": METHODS[method], "validation": h[:split].tolist(), "test": h[split:].tolist()}
        write_json(self._result_file(fold, method), {**found, "seconds": time.perf_counter() - began})
        self.trained += 1
        for weights in run.glob("*.safetensors"):
            weights.unlink()

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
            "max_steps": updates, "learning_rate": learning_rate, "warmup_steps": min(5, updates // 2),
            "lr_scheduler_type": "constant_with_warmup", "adam_beta2": 0.98, "weight_decay": 0.01,
            "per_device_train_batch_size": s.micro_batch, "gradient_accumulation_steps": s.batch // s.micro_batch,
            "save_strategy": "no", "logging_steps": 5,
        }  # fmt: skip

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
        settings = {"held-out arguments of seen debates": Setting([seen], self._scores, self._argument_bootstrap(seen))}
        if left_out:
            settings["debates left out in turn"] = Setting(left_out, self._scores, self._debate_bootstrap(left_out))
        found = {
            "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "seconds": sum(self._result(fold, m)["seconds"] for fold in self.folds for m in self.settings.methods),
            "settings": asdict(self.settings),
            "figures": {name: setting.figures(self.settings.methods) for name, setting in settings.items()},
        }
        write_json(self.folder / "results.json", found)
        with atomic_write(self.folder / "results.md") as file:
            file.write(as_markdown(found))
        return found

    def _argument_bootstrap(self, fold: Fold) -> Bootstrap:
        first, second = zip(*(arguments_of(pair) for pair in fold.test), strict=True)
        return partial(
            node_bootstrap, first=["\t".join(a) for a in first], second=["\t".join(a) for a in second],
            strata=[side_of(pair) for pair in fold.test], resamples=self.settings.resamples,
        )  # fmt: skip

    def _debate_bootstrap(self, folds: Sequence[Fold]) -> Bootstrap:
        clusters = [debate_of(pair) for fold in folds for pair in fold.test]
        return partial(cluster_bootstrap, clusters=clusters, resamples=self.settings.resamples)

    def _result(self, fold: Fold, method: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._result_file(fold, method).read_text(encoding="utf-8"))
        return found

    def _scores(self, fold: Fold, name: str) -> Scores:
        """Log-odds of the fold's test pairs under a method or a baseline, and the temperature from its validation pairs."""
        if name == CONSTANT:
            return Scores(np.zeros(len(fold.test)), 1.0)
        if name == LONGER:
            validation, test = _word_difference(fold.validation), _word_difference(fold.test)
        else:
            found = self._result(fold, name)
            validation, test = (found["beta"] * np.array(found[part]) for part in ("validation", "test"))
        return Scores(test, fit_temperature(validation, _shares(fold.validation)))


LONGER, CONSTANT = "the longer one wins", "always ½"


def _is_finished(run: Path) -> bool:
    """Whether the run went to its end and its weights are still there."""
    return _has_ended(run) and any(run.glob("*.safetensors"))


def _has_ended(run: Path) -> bool:
    return "finished" in (read_json(run / RUN_FILE) or {})


def _shares(pairs: Sequence[PreferencePair]) -> Floats:
    return np.array([pair.soft_label for pair in pairs], dtype=np.float64)


def _word_difference(pairs: Sequence[PreferencePair]) -> Floats:
    """Words of the first argument less words of the second, (N,)."""
    lengths = [(len(text_of(pair.chosen).split()), len(text_of(pair.rejected).split())) for pair in pairs]
    return np.array([first - second for first, second in lengths], dtype=np.float64)


# --- figures and tables ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scores:
    """Log-odds (N,) as they are, and the temperature that the validation pairs ask for."""

    raw: Floats
    temperature: float


@dataclass
class Setting:
    """The pooled test pairs of some folds: every pair scored by the run that never saw it."""

    folds: Sequence[Fold]
    scores: Callable[[Fold, str], Scores]
    bootstrap: Bootstrap

    def __post_init__(self) -> None:
        self.share = np.concatenate([_shares(fold.test) for fold in self.folds])

    def figures(self, methods: Sequence[str]) -> dict[str, Any]:
        """Sizes, a row per method and baseline, and each soft treatment less its hard twin on the same pairs."""
        return {
            "pairs": {part: sum(len(getattr(f, part)) for f in self.folds) for part in ("train", "validation", "test")},
            "ties": int((self.share == 0.5).sum()),
            "rows": {name: self._row(name) for name in (*methods, LONGER, CONSTANT)},
            "differences": {
                f"{soft} − {hard}": self._difference(soft, hard)
                for soft, hard in HARD_TWIN.items()
                if soft in methods and hard in methods
            },
        }

    def _pooled(self, name: str) -> tuple[Floats, Floats, list[float]]:
        """Raw and mended log-odds of all test pairs, (N,) each, and the folds' temperatures."""
        scores = [self.scores(fold, name) for fold in self.folds]
        raw = np.concatenate([s.raw for s in scores])
        mended = np.concatenate([s.raw / s.temperature for s in scores])
        return raw, mended, [s.temperature for s in scores]

    def _row(self, name: str) -> dict[str, Any]:
        raw, mended, temperatures = self._pooled(name)
        # words are no log-odds: the length baseline has nothing to show before it has a temperature
        as_trained = {} if name == LONGER else as_dicts(calibration_figures(raw, self.share, self.bootstrap))
        return {
            **as_dicts(ranking_figures(raw, self.share, self.bootstrap)),
            "raw": as_trained,
            "mended": as_dicts(calibration_figures(mended, self.share, self.bootstrap)),
            "temperature": float(np.median(temperatures)),
        }

    def _difference(self, soft: str, hard: str) -> dict[str, Any]:
        """Paired on the same draws: methods that share pairs differ by less than their own intervals suggest."""
        (a, mended_a, _), (b, mended_b, _) = self._pooled(soft), self._pooled(hard)
        auc = self.bootstrap(lambda x, y, p: majority_auc(x, p) - majority_auc(y, p), a, b, self.share)
        brier = self.bootstrap(_brier_difference, mended_a, mended_b, self.share)
        return as_dicts({"auc": auc, "brier": brier})


def _brier_difference(a: Floats, b: Floats, share: Floats) -> float:
    from scipy.special import expit

    return float(np.mean((expit(a) - share) ** 2 - (expit(b) - share) ** 2))


def as_markdown(found: Mapping[str, Any]) -> str:
    """The tables of ``results.json``, with the command that made them."""
    parts = [f"`{found['command']}`: {found['seconds'] / 60:.0f} min of preference training and scoring.\n"]
    for name, figures in found["figures"].items():
        n = figures["pairs"]["test"]
        some = next(iter(figures["rows"].values()))["auc"]
        parts.append(
            f"### {name}\n\n{n} test pairs, {figures['ties']} ties; intervals over {some['clusters']} clusters.\n"
        )
        parts.append(table([HEAD, *(_cells(row, figures["rows"][row]) for row in figures["rows"])]))
        if figures["differences"]:
            rows = [[pair, *(_figure(d[key], sign="+") for key in ("auc", "brier"))]
                    for pair, d in figures["differences"].items()]  # fmt: skip
            parts.append(table([["same pairs", "AUC", "Brier after T"], *rows]))
    return "\n".join(parts)


HEAD = ["", "AUC", "accuracy", "Brier raw", "Brier after T", "ECE raw", "ECE after T", "T"]


def _cells(name: str, row: Mapping[str, Any]) -> list[str]:
    calibrated = [
        _figure(row[when][key]) if row[when] else "–" for key in ("brier", "ece") for when in ("raw", "mended")
    ]
    return [name, _figure(row["auc"]), _figure(row["accuracy"]), *calibrated, f"{row['temperature']:.3g}"]


def _figure(estimate: Mapping[str, float], sign: str = "") -> str:
    return f"{estimate['value']:{sign}.3f} [{estimate['low']:{sign}.3f}, {estimate['high']:{sign}.3f}]"


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first row is its head."""
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body]) + "\n"
