"""Run folders as training and evaluation leave them, written through the records: a renamed key breaks here."""

import json

from softpref.records.evaluation import ClassificationRecord, EvaluationRecord, HeadToHeadRecord, OverOptimisationRecord
from softpref.records.run import FrontierRecord, RunRecord

RUN = {
    "method": {
        "loss_type": "gdpo",
        "base": "dpo",
        "label_treatment": "geometric",
        "reduction": "sum",
        "arguments": {"beta": 0.3},
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
    "finished": {"steps": 20, "seconds_of_last_leg": 3.0},
}


def labelling(**changes):
    figures = {
        "judge": "j",
        "orders": "both",
        "asked": 10,
        "labelled": 9,
        "coverage": 0.9,
        "position_bias": 0.25,
        "order_disagreement": 0.5,
    }
    return figures | changes


def run_record(**changes):
    """``RUN`` as a record; a change to a part is a mapping over it."""
    merged = {
        key: {**value, **changes.pop(key)} if isinstance(value, dict) and isinstance(changes.get(key), dict) else value
        for key, value in RUN.items()
    }
    return RunRecord.from_dict({**merged, **changes}, "a run")


def estimate(value, half=0.1):
    return {"value": value, "low": value - half, "high": value + half, "n": 10, "clusters": 5}


def evaluation(percentage=0.62, **changes):
    return {
        "model": "gdpo",
        "against": "sft",
        "judge": "simulated:test",
        "prompts": 5,
        "win_rates": {
            "binary": estimate(0.7),
            "percentage": estimate(percentage),
            "tie_aware": estimate(0.65),
            "tie_rate": 0.125,
            "coverage": 0.875,
            "position_bias": 0.1,
            "failed": 1,
        },
        "lengths": {
            "model": {"mean_words": 12.5, "median_words": 12.0, "unfinished": 3},
            "against": {"mean_words": 9.25, "median_words": 9.0, "unfinished": 0},
        },
        "longer_wins": estimate(0.55),
        **changes,
    }


def comparison(p=0.9, prompt="make tea", response="boil the water", against="wait"):
    failed = p is None
    return {
        "prompt": prompt,
        "response": response,
        "against": against,
        "p": p,
        "first_shown": p,
        "second_shown": None if failed else 1 - p,
        "failures": ["timeout"] if failed else [],
    }


def training(steps=4, start=0.69):
    metrics = ("margin", "chosen_logratio", "rejected_logratio")
    lines = [{"step": 5 * i, "loss": start - 0.05 * i, **dict.fromkeys(metrics, 0.1 * i)} for i in range(1, steps + 1)]
    return [*lines, {"step": 5 * steps, "train_runtime": 3.0}]


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def classification(accuracy=0.8, **changes):
    return {
        "model": "runs/gdpo",
        "reference": "runs/sft",
        "data": "data/votes.jsonl",
        "method": "gdpo",
        "pairs": 400,
        "prompts": 90,
        "accuracy": estimate(accuracy),
        "auc": estimate(0.85),
        "brier": estimate(0.05),
        "log_score": estimate(0.6),
        "ece": estimate(0.04),
        "longer_wins": estimate(0.7),
        "reliability": [
            {"low": 0.0, "high": 0.5, "count": 40, "mean_predicted": 0.25, "mean_label": 0.375},
            {"low": 0.5, "high": 1.0, "count": 60, "mean_predicted": 0.75, "mean_label": 0.625},
        ],
        "by_bin": [
            {"low": 0.5, "high": 0.75, "count": 30, "accuracy": estimate(0.55), "mean_margin": 0.25},
            {"low": 0.75, "high": 1.0, "count": 0, "accuracy": None, "mean_margin": None},
        ],
        "command": "softpref classify",
        "margin": "difference of log π/π_ref",
        "beta": 0.25,
        **changes,
    }


def over_optimisation(warning=None):
    names = ("chosen_logratio", "rejected_logratio", "margin")
    return {
        "by_bin": [
            {"low": 0.5, "high": 0.75, "count": 5, **dict(zip(names, (-0.25, -0.5, 0.25), strict=True))},
            {"low": 0.75, "high": 1.0, "count": 3, **dict(zip(names, (-1.25, -3.5, 2.25), strict=True))},
        ],
        "over_training": [{"step": 10 * i, **dict(zip(names, (-0.5 * i, -1.5 * i, 1.0 * i), strict=True))} for i in range(4)],
        "warning": warning,
        "command": "softpref over-optimisation",
    }


def duel(model, against, percentage, p_holm, half=0.05):
    rates = evaluation()["win_rates"] | {"percentage": estimate(percentage, half)}
    tests = {name: {"p_value": p_holm / 3, "p_holm": p_holm} for name in ("wilcoxon", "permutation")}
    return {
        "model": model,
        "against": against,
        "prompts": 50,
        "win_rates": rates,
        "length_controlled": estimate(percentage - 0.01),
        "tests": tests,
    }


def write_head_to_head(folder, pairs, models=("dpo", "cdpo", "gdpo"), **changes):
    folder.mkdir(parents=True)
    figures = {
        "models": list(models),
        "folders": [[f"runs/{name}"] for name in models],
        "judge": "simulated:test:noise=1",
        "prompts": 50,
        "sampling": {"temperature": 0.0},
        "command": "softpref head-to-head",
        "pairs": pairs,
        "lengths": [evaluation()["lengths"]["model"]] * len(models),
        **changes,
    }
    HeadToHeadRecord.from_dict(figures, "a head-to-head").write(folder / "head_to_head.json")
    return folder


def repetition():
    return {"distinct_1": 0.5, "distinct_2": 0.75, "distinct_3": None, "longest_repeat": 2.5}


def write_full(root, comparisons=None):
    """Three runs with everything, and a head-to-head that gdpo wins: the folders."""
    names = ("dpo", "cdpo", "gdpo")
    for place, name in enumerate(names):
        controlled = {
            "length_controlled": estimate(0.55),
            "repetition": {side: repetition() for side in ("model", "against")},
            "tests": {"wilcoxon": {"p_value": 0.0001}, "permutation": {"p_value": 0.25}},
        }
        found = [comparison(0.2 + 0.3 * place), comparison(0.5, prompt="wait")] if comparisons is None else comparisons(place)
        write_run(
            root / name,
            metrics=training(),
            evaluations={"greedy": evaluation(0.6 + 0.05 * place, **controlled)},
            comparisons=found,
            classifications={"votes": classification(0.7 + 0.05 * place)},
            drift=over_optimisation("the chosen log-ratio fell" if name == "cdpo" else None),
        )
    pairs = [duel("dpo", "cdpo", 0.52, 0.9), duel("dpo", "gdpo", 0.4, 0.01), duel("cdpo", "gdpo", 0.35, 0.0003)]
    return [*(root / name for name in names), write_head_to_head(root / "duels", pairs)]


def write_run(folder, run=RUN, metrics=None, evaluations=None, comparisons=(), frontier=None, classifications=None, drift=None):
    """``evaluations`` by name; each gets the same comparisons. What is None or empty is not written."""
    folder.mkdir(parents=True, exist_ok=True)
    RunRecord.from_dict(run, "a run").write(folder / "run.json")
    if metrics is not None:
        write_lines(folder / "metrics.jsonl", metrics)
    for name, figures in (evaluations or {}).items():
        place = folder / "evaluations" / name
        place.mkdir(parents=True)
        EvaluationRecord.from_dict(figures, name).write(place / "evaluation.json")
        if comparisons:
            write_lines(place / "comparisons.jsonl", comparisons)
    for name, figures in (classifications or {}).items():
        place = folder / "classifications" / name
        place.mkdir(parents=True)
        ClassificationRecord.from_dict(figures, name).write(place / "classification.json")
    if drift is not None:
        OverOptimisationRecord.from_dict(drift, "drift").write(folder / "over_optimisation.json")
    if frontier is not None:
        FrontierRecord.from_dict(frontier, "a frontier").write(folder / "frontier.json")
    return folder
