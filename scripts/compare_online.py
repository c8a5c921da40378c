"""Online dpo, cdpo and gdpo in PlanWorld, from one SFT model per seed, with labels of the simulated judge.

    python scripts/compare_online.py --output /tmp/online [--seeds 1 2 3] [--updates 40]

Every update draws two plans for each of 16 training tasks. Gold of held-out tasks at the end, greedy and sampled, and the KL
that training estimated last. A finished run is not done again. Prints a table (docs/training.md holds it).
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np

from softpref.core.statistics import cluster_bootstrap
from softpref.data.formats import write_rows
from softpref.demo import plan_world
from softpref.demo.demo import METHODS, Demo, DemoSettings
from softpref.demo.plan_world_judge import plan_world_judge
from softpref.demo.plan_world_model import MAX_NEW_TOKENS
from softpref.evaluation.responses import generated
from softpref.generation.sampling import Sampling
from softpref.run_folder import METRICS_FILE, RUN_FILE, read_json, read_lines
from softpref.training.online_options import OnlineOptions
from softpref.training.recipe import TrainRecipe
from softpref.training.run import train

PROMPTS = 16
LEARNING_RATE = 1e-4
LAST_LINES = 5


def start(folder: Path, seed: int) -> Demo:
    """The demo's world and SFT model of this seed."""
    demo = Demo(folder, DemoSettings(seed=seed))
    demo.make_data()
    demo.train_sft()
    write_rows(demo.data / "prompts.jsonl", [{"prompt": task.prompt} for task in demo.splits.train])
    return demo


def run_online(demo: Demo, method: str, updates: int) -> Path:
    """One online run, unless it is done."""
    folder = demo.folder / f"online-{method}"
    record = read_json(folder / RUN_FILE) or {}
    if record.get("finished", {}).get("steps") == updates:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    options = {
        "per_device_train_batch_size": PROMPTS,
        "max_steps": updates,
        "learning_rate": LEARNING_RATE,
        "warmup_steps": 5,
        "lr_scheduler_type": "constant_with_warmup",
        "save_strategy": "no",
        "logging_steps": 1,
    }
    recipe = TrainRecipe(
        str(demo.folder / "sft"),
        str(demo.data / "prompts.jsonl"),
        str(folder),
        loss_type=method,
        beta=METHODS[method],
        seed=demo.settings.seed,
        train=options,
        online=OnlineOptions(labels="judge", max_new_tokens=MAX_NEW_TOKENS, generation_batch_size=64),
        judge={"judge": "plan_world", "seed": demo.settings.seed},
    )
    return train(recipe, on_log=lambda _: None, judge=plan_world_judge(demo.settings.seed))


def gold(demo: Demo, folder: Path, sampling: Sampling, name: str) -> dict[str, float]:
    """Mean gold of each held-out task."""
    prompts = [task.prompt for task in demo.test]
    responses = generated(str(folder), prompts, sampling, folder / f"{name}.jsonl")
    scores: dict[str, list[float]] = {}
    for response in responses:
        prompt = prompts[response.prompt]
        scores.setdefault(prompt, []).append(plan_world.gold(prompt, response.text))
    return {prompt: float(np.mean(found)) for prompt, found in scores.items()}


def kl(folder: Path) -> float:
    """Mean of the last lines' estimates."""
    return float(np.mean([line["kl"] for line in read_lines(folder / METRICS_FILE) if "kl" in line][-LAST_LINES:]))


def cell(per_seed: list[dict[str, float]]) -> str:
    """Mean over seeds and tasks, with a 95% bootstrap interval over the tasks of all seeds, and the seeds' own means."""
    values = [score for found in per_seed for score in found.values()]
    clusters = [f"{seed} {prompt}" for seed, found in enumerate(per_seed) for prompt in found]
    e = cluster_bootstrap(np.mean, values, clusters=clusters)
    means = " ".join(f"{np.mean(list(found.values())):.3f}" for found in per_seed)
    return f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}] ({means})"


def main() -> None:
    """Run the comparison and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--updates", type=int, default=40)
    options = parser.parse_args()
    from transformers.utils import logging

    logging.disable_progress_bar()
    names = ("sft", *METHODS)
    greedy: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    sampled: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    distance: dict[str, list[float]] = {name: [] for name in names}
    for seed in options.seeds:
        demo = start(options.output / str(seed), seed)
        for name in names:
            folder = demo.folder / "sft" if name == "sft" else run_online(demo, name, options.updates)
            greedy[name].append(gold(demo, folder, demo.greedy, "greedy"))
            sampled[name].append(gold(demo, folder, demo.sampled, "sampled"))
            distance[name].append(0.0 if name == "sft" else kl(folder))
            print(
                f"seed {seed}, {name}: {json.dumps([round(np.mean(list(x[name][-1].values())), 3) for x in (greedy, sampled)])}",
                flush=True,
            )
    print("| | gold, greedy | gold, sampled | KL, nats |\n|---|---|---|---|")
    for name in names:
        print(f"| {name} | {cell(greedy[name])} | {cell(sampled[name])} | {' '.join(f'{x:.2f}' for x in distance[name])} |")


if __name__ == "__main__":
    main()
