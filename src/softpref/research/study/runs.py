"""One cell of the study: train one method on one label set of one seed, and measure it on prompts it has not seen.

STUDY/runs/LABELS/seed_1/gdpo_beta_0.3/   the run folder, without weights once the cell is done; its responses
STUDY/responses/LABELS/seed_1/gdpo.jsonl  greedy responses to the test prompts, as ``softpref head-to-head`` reads them
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from softpref.data.formats import read_pairs, write_rows
from softpref.demo.paper_betas import treatment_of
from softpref.demo.plan_world_judge import CRITERIA, FAULTS, criterion_judge
from softpref.demo.plan_world_model import preference_settings
from softpref.evaluation.classification import implicit_margins
from softpref.evaluation.comparison import Side, judge_sides
from softpref.evaluation.over_optimisation import sample_log_ratios
from softpref.evaluation.responses import generated
from softpref.generation.sampling import Response
from softpref.judges.store import JudgementStore
from softpref.research.study.labels import described, label_set
from softpref.research.study.settings import VERSION, Training
from softpref.research.study.world import CLASSIFIED, WorldFolder, decodings, prompts_of, world_folder
from softpref.run_folder import JUDGEMENTS_FILE, checkpoints_of, read_lines
from softpref.training.recipe import TrainRecipe

DECIMALS = 5


@dataclass(frozen=True)
class Run:
    """What is trained and on what it is measured. ``along`` measures the checkpoints too; test only."""

    labels: str
    method: str
    beta: float
    seed: int
    split: str = "test"
    along: bool = False


def cell_of(run: Run, training: Training) -> dict[str, Any]:
    """Everything that decides the result, as plain values."""
    labels = described(run.labels)
    return {"version": VERSION, "training": asdict(training), **asdict(run), "labels": labels}


def run_of(cell: Mapping[str, Any]) -> Run:
    """The run that a cell stands for."""
    values = {name: cell[name] for name in ("method", "beta", "seed", "split", "along")}
    return Run(labels=cell["labels"]["name"], **values)


def run_folder(study: Path, run: Run) -> Path:
    """Where a run lies."""
    return study / "runs" / run.labels / f"seed_{run.seed}" / f"{run.method}_beta_{run.beta:g}"


def response_file(study: Path, labels: str, seed: int, method: str) -> Path:
    """Greedy responses to the test prompts; ``sft`` is a method here."""
    return study / "responses" / labels / f"seed_{seed}" / f"{method}.jsonl"


def train_and_measure(cell: Mapping[str, Any], study: Path) -> dict[str, Any]:
    """Train the cell's run and measure it. Its weights are deleted: what was measured is in the result."""
    run, training = run_of(cell), Training(**cell["training"])
    folder = run_folder(study, run)
    world = world_folder(study, run.seed)
    # a run of seconds that was stopped is done again, whole
    shutil.rmtree(folder, ignore_errors=True)
    _train(run, training, world, folder, study)
    result: dict[str, Any] = {"judged": _against_sft(run, training, world, folder)}
    if run.split == "test":
        result["margins"] = _margins(world, folder)
        publish_responses(run, training, study)
    if run.along:
        result["frontier"] = _frontier(training, world, folder)
    _delete_weights(folder)
    return result


def _train(run: Run, training: Training, world: WorldFolder, folder: Path, study: Path) -> None:
    from softpref.training.run import train

    checkpoints = training.checkpoints if run.along else 0
    settings = preference_settings(training.updates, training.per_update, training.learning_rate, checkpoints)
    recipe = TrainRecipe(
        str(world.sft),
        str(world.labels(run.labels)),
        str(folder),
        loss_type=run.method,
        label_treatment=treatment_of(run.method),
        beta=run.beta,
        seed=run.seed,
        reference_cache=str(study / "reference"),
        train=settings,
    )
    train(recipe, on_log=lambda _: None)


def _delete_weights(folder: Path) -> None:
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    for weights in folder.glob("*.safetensors"):
        weights.unlink()


# --- against the SFT model ----------------------------------------------------------------------------------------------


def _against_sft(run: Run, training: Training, world: WorldFolder, folder: Path) -> dict[str, Any]:
    """Per decoding: words, log-ratios of samples, and per criterion the judge's p and both sides' scores."""
    prompts, criteria = prompts_of(run.split, training), label_set(run.labels).criteria
    found: dict[str, Any] = {}
    for name, sampling in decodings(training).items():
        ours = generated(str(folder), prompts, sampling, folder / f"{name}.jsonl")
        theirs = generated(str(world.sft), prompts, sampling, world.responses(run.split, name))
        figures: dict[str, Any] = {"words": [len(response.text.split()) for response in ours]}
        for criterion in criteria:
            figures[criterion] = _judged(prompts, ours, theirs, criterion, run.seed, folder)
        if name == "sampled":
            figures["log_ratios"] = _rounded(sample_log_ratios(str(folder), str(world.sft), prompts, ours))
        found[name] = figures
    return found


def _judged(
    prompts: Sequence[str],
    ours: Sequence[Response],
    theirs: Sequence[Response],
    criterion: str,
    seed: int,
    folder: Path,
) -> dict[str, Any]:
    """The faulty judge's p for our side, None where it failed; and what each side is worth by the criterion."""
    asked, score = [prompts[response.prompt] for response in ours], CRITERIA[criterion]
    judge = criterion_judge(criterion, seed, FAULTS)
    run_side, sft_side = (Side(name, [r.text for r in said]) for name, said in (("run", ours), ("sft", theirs)))
    with JudgementStore(folder / JUDGEMENTS_FILE) as store:
        judged = judge_sides(run_side, sft_side, asked, judge, store)
    worth = {
        name: _rounded(score(prompt, text) for prompt, text in zip(asked, side.responses, strict=True))
        for name, side in (("score", run_side), ("sft_score", sft_side))
    }
    return {"p": [None if one.p is None else round(one.p, DECIMALS) for one in judged.judgements], **worth}


def _rounded(values: Any) -> list[float]:
    return [round(float(value), DECIMALS) for value in values]


# --- pairs to classify, responses to compare, the way from the reference -------------------------------------------------


def _margins(world: WorldFolder, folder: Path) -> dict[str, Any]:
    """h in nats and the true p of every pair to classify, the truly better side first."""
    found = {}
    for name in CLASSIFIED:
        pairs = list(read_pairs(world.classified(name)))
        h = implicit_margins(str(folder), str(world.sft), pairs)
        found[name] = {"h": _rounded(h), "p": _rounded(pair.soft_label for pair in pairs)}
    return found


def publish_responses(run: Run, training: Training, study: Path) -> None:
    """Write the run's greedy responses, and the SFT model's, where ``softpref head-to-head`` finds method and seed."""
    prompts, world = prompts_of("test", training), world_folder(study, run.seed)
    files = {run.method: run_folder(study, run) / "greedy.jsonl", "sft": world.responses("test", "greedy")}
    for name, file in files.items():
        said = sorted(read_lines(file), key=lambda row: row["prompt"])
        rows = [{"prompt": prompts[row["prompt"]], "response": row["text"]} for row in said]
        write_rows(response_file(study, run.labels, run.seed, name), rows)


def _frontier(training: Training, world: WorldFolder, folder: Path) -> list[dict[str, Any]]:
    """Update, KL and gold of samples at every checkpoint before the last; the last is the run itself."""
    prompts, sampling, points = prompts_of("test", training), decodings(training)["sampled"], []
    steps = list(checkpoints_of(folder))
    for step in steps[:-1]:
        model = str(folder / f"checkpoint-{step}")
        said = generated(model, prompts, sampling, folder / "frontier" / f"{step}.jsonl")
        ratios = sample_log_ratios(model, str(world.sft), prompts, said)
        scores = _rounded(CRITERIA["gold"](prompts[r.prompt], r.text) for r in said)
        points.append({"step": step, "log_ratios": _rounded(ratios), "score": scores})
    return points
