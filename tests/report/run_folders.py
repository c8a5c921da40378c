"""Run folders by hand, as training and evaluation leave them."""

import json

RUN = {
    "method": {
        "loss_type": "gdpo", "base": "dpo", "label_treatment": "geometric", "reduction": "sum", "arguments": {"beta": 0.3},
    },
    "data": {
        "file": "data/pairs.jsonl",
        "fingerprint": "f" * 64,
        "reading": {"rows": 9, "swapped": 4, "ties": 1, "identical_dropped": 0, "label_method": "given", "vote_prior": None},
        "tokens": {"kept": 8, "cut": 0, "too_long": 1, "boundary": 0},
        "labelling": None,
        "labels": {"histogram": [0] * 10 + [3, 0, 0, 0, 2, 0, 0, 0, 0, 3], "effective_weight": 0.4375, "ties": 1},
    },
    "model": {"start": "models/sft", "identity": "a" * 64},
    "reference": "b" * 64,
    "seed": 42,
    "command": "softpref train --config recipe.yaml",
    "versions": {"python": "3.11.7", "torch": "2.13.0"},
    "step_0_difference": 0.0,
    "finished": {"steps": 20, "seconds": 3.0},
}  # fmt: skip


def estimate(value, half=0.1):
    return {"value": value, "low": value - half, "high": value + half, "n": 10, "clusters": 5}


def evaluation(percentage=0.62, **changes):
    return {
        "model": "gdpo",
        "against": "sft",
        "judge": "simulated:test",
        "prompts": 5,
        "win_rates": {
            "binary": estimate(0.7), "percentage": estimate(percentage), "tie_aware": estimate(0.65),
            "tie_rate": 0.125, "coverage": 0.875, "position_bias": 0.1, "failed": 1,
        },
        "lengths": {
            "model": {"mean_words": 12.5, "median_words": 12.0, "unfinished": 3},
            "against": {"mean_words": 9.25, "median_words": 9.0, "unfinished": 0},
        },
        "longer_wins": estimate(0.55),
        **changes,
    }  # fmt: skip


def comparison(p=0.9, prompt="make tea", response="boil the water", against="wait"):
    failed = p is None
    return {
        "prompt": prompt, "response": response, "against": against, "p": p, "first_shown": p,
        "second_shown": None if failed else 1 - p, "failures": ["timeout"] if failed else [],
    }  # fmt: skip


def training(steps=4, start=0.69):
    metrics = ("margin", "chosen_logratio", "rejected_logratio")
    lines = [{"step": 5 * i, "loss": start - 0.05 * i, **dict.fromkeys(metrics, 0.1 * i)} for i in range(1, steps + 1)]
    return [*lines, {"step": 5 * steps, "train_runtime": 3.0}]


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def write_run(folder, run=RUN, metrics=None, evaluations=None, comparisons=(), frontier=None):
    """``evaluations`` by name; each gets the same comparisons. What is None or empty is not written."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    if metrics is not None:
        write_lines(folder / "metrics.jsonl", metrics)
    for name, figures in (evaluations or {}).items():
        place = folder / "evaluations" / name
        place.mkdir(parents=True)
        (place / "evaluation.json").write_text(json.dumps(figures), encoding="utf-8")
        if comparisons:
            write_lines(place / "comparisons.jsonl", comparisons)
    if frontier is not None:
        (folder / "frontier.json").write_text(json.dumps(frontier), encoding="utf-8")
    return folder
