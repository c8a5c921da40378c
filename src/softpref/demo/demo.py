"""The whole way once, on PlanWorld: imperfect plans, a faulty judge's soft labels, three losses, and what came of them.

Constants of the world are fixed from the SFT model and the labels alone; learning rate and number of updates were chosen
on seeds that the demo never uses. Both are written down in docs/demo.md with the commands.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from softpref.core import calibration, soft_labels
from softpref.core.statistics import Estimate, cluster_bootstrap, tie_aware_accuracy
from softpref.data.files import write_json
from softpref.data.formats import read_pairs, write_rows
from softpref.demo import plan_world
from softpref.demo.paper_betas import PLAN_BETAS, treatment_of
from softpref.demo.plan_world_judge import SCALE, gold, plan_world_judge
from softpref.demo.plan_world_model import MAX_NEW_TOKENS, preference_settings, sft_recipe
from softpref.errors import OptionError
from softpref.evaluation.best_of import best_of, best_of_kl_bound
from softpref.evaluation.classify import classify
from softpref.evaluation.comparison import Side, compare
from softpref.evaluation.evaluate import Reward, evaluate
from softpref.evaluation.frontier import at_equal_kl, frontier
from softpref.evaluation.head_to_head import RESPONSES_FOLDER, head_to_head
from softpref.evaluation.over_optimisation import over_optimisation
from softpref.evaluation.responses import generated
from softpref.generation.sampling import Sampling
from softpref.judges.labelling import label_pairs
from softpref.records.figures import WinRateFigures
from softpref.records.run import FrontierRecord
from softpref.report.collect import read_folders, read_run
from softpref.report.page import write_page
from softpref.report.run_report import run_report
from softpref.run_folder import CLASSIFICATIONS_FOLDER, EVALUATIONS_FOLDER, FRONTIER_FILE, OVER_OPTIMISATION_FILE, RUN_FILE
from softpref.training.recipe import TrainRecipe

METHODS: dict[str, float] = {name: PLAN_BETAS[name] for name in ("dpo", "cdpo", "gdpo")}


@dataclass(frozen=True)
class DemoSettings:
    """Sizes of the demo. The world, its judge and the model are the same at every size."""

    seed: int = 1
    sft_rows: int = 10_000
    pairs: int = 2400
    held_out_pairs: int = 384
    updates: int = 75
    learning_rate: float = 1e-4
    checkpoints: int = 5
    samples: int = 4
    best_of: int = 4
    held_out: float = 0.2


PAIRS_PER_UPDATE = 32

Say = Callable[[str], None]


def run_demo(output: str | Path, settings: DemoSettings | None = None, say: Say = print) -> tuple[Path, dict[str, Any]]:
    """Run everything; the path of the report and the table of results are returned.

    What is finished is not done again on a second call.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    demo = Demo(Path(output), settings or DemoSettings(), say)
    demo.make_data()
    demo.train_sft()
    demo.label()
    demo.label_held_out()
    for method in METHODS:
        demo.train_method(method)
    for name in ("sft", *METHODS):
        demo.evaluate_run(name)
    for method in METHODS:
        demo.look_inside(method)
    demo.head_to_head()
    table = demo.table()
    return demo.report(table), table


@dataclass
class Demo:
    """The stages, each of which leaves its result in the folder and is passed over when it is there."""

    folder: Path
    settings: DemoSettings
    say: Say = print

    def __post_init__(self) -> None:
        self.started = time.perf_counter()
        self.data = self.folder / "data"
        self.held_out = self.data / "held_out.jsonl"
        self.judge = plan_world_judge(self.settings.seed)
        rng = np.random.default_rng([self.settings.seed, 0])
        self.splits = plan_world.split(plan_world.tasks(), rng, self.settings.held_out)
        self.test = self.splits.test
        self.greedy = Sampling(max_new_tokens=MAX_NEW_TOKENS, batch_size=256)
        self.sampled = Sampling(temperature=1.0, samples=self.settings.samples, max_new_tokens=MAX_NEW_TOKENS, batch_size=512)
        self._check_same_settings()

    def _check_same_settings(self) -> None:
        file = self.folder / "settings.json"
        if file.is_file() and json.loads(file.read_text()) != asdict(self.settings):
            raise OptionError(f"{self.folder} holds a demo with other settings: give another output")
        write_json(file, asdict(self.settings))

    def stage(self, text: str) -> None:
        """Say what begins."""
        self.say(f"[{time.perf_counter() - self.started:5.0f} s] {text}")

    # --- data and labels --------------------------------------------------------------------------------------------

    def make_data(self) -> None:
        """Drafts to imitate, unlabelled pairs, and the prompts of held-out tasks with unlabelled pairs of their own."""
        s, train = self.settings, self.splits.train
        self.stage(f"writing {s.sft_rows} drafts and {s.pairs} pairs of plans for {len(train)} tasks")
        write_rows(self.data / "sft.jsonl", plan_world.sft_rows(train, np.random.default_rng([s.seed, 1]), s.sft_rows))
        write_rows(self.data / "unlabelled.jsonl", plan_world.pairs(train, np.random.default_rng([s.seed, 2]), s.pairs))
        write_rows(self.data / "test.jsonl", [{"prompt": task.prompt} for task in self.test])
        unseen = plan_world.pairs(self.test, np.random.default_rng([s.seed, 3]), s.held_out_pairs)
        write_rows(self.data / "unlabelled_held_out.jsonl", unseen)

    def label(self) -> None:
        """Soft labels from the simulated judge, both orders; and how they compare with the truth."""
        self.stage(f"asking the simulated judge about {self.settings.pairs} pairs, both orders")
        pairs = read_pairs(self.data / "unlabelled.jsonl")
        labelling = label_pairs(pairs, self.judge, self.data / "pairs.jsonl")
        labelled = read_pairs(self.data / "pairs.jsonl")
        gaps = np.array([gold(p.prompt, p.chosen) - gold(p.prompt, p.rejected) for p in labelled])
        p, truth = np.array([pair.soft_label for pair in labelled]), soft_labels.from_scores(gaps, 0.0, SCALE)
        log_odds = np.log(p) - np.log1p(-p)
        against_gold = {
            "accuracy against gold": tie_aware_accuracy(gaps, p),
            "Brier score against the true p": calibration.brier(p, truth),
            "temperature that would mend the labels": calibration.fit_temperature(log_odds, truth),
        }
        replace(labelling, gold=against_gold).write(self.data / "pairs.labels.json")
        self.say(
            f"          coverage {labelling.coverage:.1%}, position bias {labelling.position_bias:+.2f}, "
            + ", ".join(f"{name} {value:.3f}" for name, value in against_gold.items())
        )

    def label_held_out(self) -> None:
        """Soft labels from the same judge for pairs of held-out tasks."""
        self.stage(f"asking it about {self.settings.held_out_pairs} pairs of held-out tasks")
        label_pairs(read_pairs(self.data / "unlabelled_held_out.jsonl"), self.judge, self.held_out)

    # --- training ---------------------------------------------------------------------------------------------------

    def train_sft(self) -> None:
        """A small language model from scratch, on imperfect plans."""
        self.stage("SFT from scratch")
        drafts, init = self.data / "sft.jsonl", self.folder / "init"
        self._train("sft", sft_recipe(init, drafts, self.folder / "sft", self.settings.seed))

    def train_method(self, method: str) -> None:
        """One preference run from the SFT model, with checkpoints along the way."""
        s, beta = self.settings, METHODS[method]
        self.stage(f"{method}, beta {beta}")
        train = preference_settings(s.updates, PAIRS_PER_UPDATE, s.learning_rate, s.checkpoints)
        sft, data = str(self.folder / "sft"), str(self.data / "pairs.jsonl")
        treatment = treatment_of(method)
        self._train(method, TrainRecipe(sft, data, "", loss_type=method, label_treatment=treatment, beta=beta, train=train))

    def _train(self, name: str, recipe: TrainRecipe) -> None:
        from softpref.training.run import train

        recipe.output_dir, recipe.seed = str(self.folder / name), self.settings.seed
        if self._is_finished(name):
            self.say("          done already")
            return
        # a run of seconds that was stopped is done again, whole
        shutil.rmtree(self.folder / name, ignore_errors=True)
        train(recipe, on_log=self._log_line)

    def _is_finished(self, name: str) -> bool:
        file = self.folder / name / RUN_FILE
        return file.is_file() and "finished" in json.loads(file.read_text())

    def _log_line(self, line: Any) -> None:
        if "loss" in line and (line["step"] % 100 == 0 or (line["of"] < 200 and line["step"] % 25 == 0)):
            margin = f"   margin {line['margin']:+.2f} nats" if "margin" in line else ""
            self.say(f"          update {line['step']:>4} of {line['of']}   loss {line['loss']:.3f}{margin}")

    # --- evaluation -------------------------------------------------------------------------------------------------

    def evaluate_run(self, name: str) -> None:
        """Greedy and sampled, by the judge against the SFT model and by gold; and gold against KL along training."""
        self.stage(f"evaluating {name} on {len(self.test)} held-out tasks")
        self.evaluate_one(name, "greedy", self.greedy)
        self.evaluate_one(name, "sampled", self.sampled)
        if name != "sft":
            self._frontier(name)

    def evaluate_one(self, name: str, decoding: str, sampling: Sampling) -> None:
        """One way of decoding, against the SFT model decoded alike."""
        folder = self.folder / name / "evaluations" / decoding
        sft = str(self.folder / "sft")
        reward = Reward("gold", gold)
        evaluate(str(self.folder / name), sft, self.data / "test.jsonl", self.judge, folder, sampling, reward)

    def _gold(self, prompts: Sequence[str], responses: Sequence[str]) -> Estimate:
        each = len(responses) // len(prompts)
        repeated = [prompt for prompt in prompts for _ in range(each)]
        scores = [plan_world.gold(prompt, text) for prompt, text in zip(repeated, responses, strict=True)]
        return cluster_bootstrap(np.mean, scores, clusters=repeated)

    def _frontier(self, name: str) -> None:
        """Gold and KL of every checkpoint, sampled at temperature 1."""
        prompts = [task.prompt for task in self.test]
        frontier(self.folder / name, self.folder / "sft", prompts, self.sampled, Reward("gold", gold))

    def look_inside(self, name: str) -> None:
        """A run's implicit reward, and its log-ratios at every checkpoint, on the labelled pairs of held-out tasks."""
        run = self.folder / name
        classified = run / CLASSIFICATIONS_FOLDER / "held_out"
        if (run / OVER_OPTIMISATION_FILE).is_file():
            return
        self.stage(f"implicit reward and log-ratios of {name} on pairs of held-out tasks")
        classify(str(run), self.held_out, classified)
        over_optimisation(run, self.held_out, checkpoints=True)

    def head_to_head(self) -> None:
        """Every model against every other before the judge, by the greedy responses that the evaluations have left."""
        self.stage("every model against every other, head to head")
        folder = self.folder / "head_to_head"
        for name in ("sft", *METHODS):
            for suffix in (".jsonl", ".settings.json"):
                there = self.folder / name / EVALUATIONS_FOLDER / "greedy" / f"responses{suffix}"
                here = folder / RESPONSES_FOLDER / f"{name}{suffix}"
                here.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(there, here)
        models = [str(self.folder / name) for name in ("sft", *METHODS)]
        head_to_head(models, self.data / "test.jsonl", self.judge, folder, self.greedy)

    # --- what came of it --------------------------------------------------------------------------------------------

    def best_of_sft(self) -> tuple[Estimate, WinRateFigures]:
        """The plain baseline: of several samples of the SFT model, the one that the judge likes best."""
        self.stage(f"best of {self.settings.best_of} samples of the SFT model, chosen by the judge")
        folder = self.folder / "sft" / "best_of"
        sampling = Sampling(
            temperature=1.0,
            samples=self.settings.best_of,
            max_new_tokens=MAX_NEW_TOKENS,
            batch_size=512,
            seed=self.settings.seed + 1,
        )
        prompts = [task.prompt for task in self.test]
        best = best_of(str(self.folder / "sft"), prompts, self.judge, sampling, folder)
        greedy = self.folder / "sft" / "evaluations" / "greedy" / "responses.jsonl"
        sft = generated(str(self.folder / "sft"), prompts, self.greedy, greedy)
        sides = Side(f"best of {sampling.samples}", best), Side("sft", [r.text for r in sft])
        return self._gold(prompts, best), compare(*sides, prompts, self.judge, folder).win_rates

    def table(self) -> dict[str, Any]:
        """The result in rows: what the demo prints and the report repeats."""
        gold, rates = self.best_of_sft()
        kl, equal_kl = self._at_equal_kl()
        head = [
            "",
            "gold, greedy",
            "gold, sampled",
            "win rate, greedy",
            "win rate, sampled",
            "KL, nats",
            f"gold at KL {kl:.2f}",
        ]
        rows = []
        for name in ("sft", *METHODS):
            run = read_run(self.folder / name)
            figures = {e.name: e.record for e in run.evaluations}
            greedy, sampled = figures["greedy"], figures["sampled"]
            won = ["", ""] if name == "sft" else [str(f.win_rates.percentage) for f in (greedy, sampled)]
            moved = f"{sampled.kl.point:.2f}" if name != "sft" and sampled.kl else "0"
            equal = str(equal_kl[name]) if name in equal_kl else ""
            rows.append([name, str(greedy.reward), str(sampled.reward), *won, moved, equal])
        n = self.settings.best_of
        bound = f"≤ {best_of_kl_bound(n):.2f}"
        best = [f"best of {n}", str(gold), "", str(rates.percentage), "", bound, ""]
        return {"caption": "Result", "head": head, "rows": [*rows, best]}

    def _at_equal_kl(self) -> tuple[float, dict[str, Estimate]]:
        """Gold of every method where it is as far from the reference as the one that went least far."""
        runs = {name: FrontierRecord.read(self.folder / name / FRONTIER_FILE).points for name in METHODS}
        clusters = [i for i in range(len(self.test)) for _ in range(self.settings.samples)]
        return at_equal_kl(runs, clusters)

    def report(self, table: dict[str, Any]) -> Path:
        """The page."""
        folders = [self.folder / name for name in ("sft", *METHODS, "head_to_head")]
        summary = (
            "PlanWorld: a small language model, trained from scratch on imperfect plans, learns from the soft labels of a "
            "simulated judge with a position bias, a wrong temperature, noise and failures. Gold is the truth that it "
            "sees through those faults. Held-out tasks combine parts that training has seen apart. One seed: differences "
            "smaller than the intervals mean nothing."
        )
        document = run_report(read_folders(folders), "softpref demo", {"summary": summary, "table": table})
        file = write_page(document, self.folder / "report.html")
        self.stage("done")
        return file


def _figure(estimate: Any) -> str:
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"
