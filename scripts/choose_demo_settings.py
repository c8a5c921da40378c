"""Learning rate of the demo's preference runs, chosen on seeds that the demo never uses.

    python scripts/choose_demo_settings.py --output /tmp/choice

One learning rate for all three losses: the one with the highest gold of sampled responses, averaged over losses and seeds.
Prints a table (docs/demo.md holds it).
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from softpref.demo.demo import METHODS, Demo, DemoSettings
from softpref.generation.sampling import Sampling

SEEDS = (101, 102)
LEARNING_RATES = (1e-5, 3e-5, 1e-4, 3e-4)
SHARED = ("data", "init", "sft")


def gold(demo: Demo, method: str, decoding: str, sampling: Sampling) -> float:
    """Mean gold of one run on the validation tasks' prompts."""
    demo.evaluate_one(method, decoding, sampling)
    figures = json.loads((demo.folder / method / "evaluations" / decoding / "evaluation.json").read_text())
    return float(figures["reward"]["value"])


def one(folder: Path, seed: int, learning_rate: float, base: Path | None) -> dict[str, tuple[float, float]]:
    """Greedy and sampled gold of every loss at one learning rate."""
    if base is not None and not folder.exists():
        for name in SHARED:
            shutil.copytree(base / name, folder / name, ignore=shutil.ignore_patterns("evaluations"))
    demo = Demo(folder, DemoSettings(seed=seed, learning_rate=learning_rate))
    # the report's tasks stay unseen while this is chosen
    demo.test = demo.splits.validation
    demo.make_data()
    demo.train_sft()
    demo.label()
    found = {}
    for method in ("sft", *METHODS):
        if method != "sft":
            demo.train_method(method)
        greedy = gold(demo, method, "greedy", demo.greedy)
        found[method] = (greedy, gold(demo, method, "sampled", demo.sampled))
    return found


def main() -> None:
    """Run the grid and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    output = parser.parse_args().output
    print("| seed | learning rate | " + " | ".join(("sft", *METHODS)) + " | mean sampled |")
    print("|---|---|" + "---|" * (len(METHODS) + 2))
    for seed in SEEDS:
        base = None
        for rate in LEARNING_RATES:
            folder = output / f"{seed}-{rate:g}"
            found = one(folder, seed, rate, base)
            base = base or folder
            cells = " | ".join(f"{greedy:.3f} / {sampled:.3f}" for greedy, sampled in found.values())
            mean = sum(found[method][1] for method in METHODS) / len(METHODS)
            print(f"| {seed} | {rate:g} | {cells} | {mean:.3f} |", flush=True)


if __name__ == "__main__":
    main()
