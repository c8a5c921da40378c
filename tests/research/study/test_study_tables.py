"""What a reader of the tables sees: ties beside binary win rates, how to read a matrix, a dash for what was not measured."""

import math
from itertools import takewhile

from softpref.research.study.tables import as_markdown

NAN = math.nan


def estimate(value, low=0.0, high=1.0, **more):
    return {"value": value, "low": low, "high": high, **more}


def method(binary, ties):
    rates = {kind: estimate(binary) for kind in ("binary", "percentage", "tie_aware", "by_truth")} | {"tie_rate": ties}
    both = {"greedy": rates, "sampled": rates}
    gold = {"greedy": estimate(0.5), "sampled": estimate(0.5)}
    return {"seeds": [1, 2, 3], "win_rates": both, "gold": gold, "kl": estimate(0.25), "words": 4.0}


def figures(accuracy):
    return {"accuracy": estimate(accuracy, accuracy, accuracy), "auc": estimate(0.75), "brier": estimate(0.125)}


MATCH = {
    "methods": ["sft", "dpo", "gdpo"],
    "pairs": [
        {"model": "sft", "against": "dpo", "percentage": estimate(0.25), "p_holm": 0.0099},
        {"model": "sft", "against": "gdpo", "percentage": estimate(0.375), "p_holm": 0.01},
        {"model": "dpo", "against": "gdpo", "percentage": estimate(0.5), "p_holm": 1.0},
    ],
}
NOISE = {
    "methods": {"dpo": method(0.5, 0.0), "gdpo": method(0.5, 0.0)},
    "differences": {"gdpo − dpo": {way: estimate(0.0625, -0.125, 0.25, seeds=3, seeds_above=2) for way in ("greedy", "sampled")}},
}
SUMMARY = {
    "training": {"updates": 75, "per_update": 32, "prompts": 96},
    "betas": {"dpo": {"beta": 0.1, "at_edge": False, "scores": {}}},
    "labels": {"plain": {"pairs": 2249.5, "confidence": 0.6}},
    "comparison": {
        "plain": {
            "sft": {"greedy": estimate(0.25), "sampled": estimate(0.25)},
            "methods": {"dpo": method(0.875, 0.3125), "gdpo": method(0.75, 0.0)},
            "differences": {},
            "at_kl": {"1": {"gdpo": estimate(0.625)}},
            "head_to_head": {"truth": MATCH},
            "classification": {"own samples": {"dpo": figures(NAN), "gdpo": figures(0.625)}},
        }
    },
    "noise": {"binary_flip_0.1": NOISE},
}


def rows_under(caption):
    """The table that follows the line that begins so: the cells of its rows by the first of each, and its head."""
    lines = as_markdown(SUMMARY, "softpref study").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(caption)) + 2
    head, _, *rows = (line.strip("| ").split(" | ") for line in takewhile(bool, lines[start:]))
    return {name: cells for name, *cells in rows}, head


def test_ties_stand_beside_the_binary_win_rate():
    rows, head = rows_under("**plain labels: against the SFT model, by the faulty judge, 3 seeds.**")
    assert head[:2] == ["greedy: binary", "greedy: ties"]
    assert rows["dpo"][:2] == ["0.875 [0.000, 1.000]", "0.312"]
    assert rows["gdpo"][1] == "0.000"


def test_a_matrix_is_row_against_column_and_says_what_its_marks_mean():
    rows, head = rows_under("**plain labels: head to head, greedy, by the true p.** Percentage win rate of row against")
    assert head == ["sft", "dpo", "gdpo"]
    # 0.0099 is below 0.01, 0.01 is not
    assert rows["sft"] == ["–", "0.250**", "0.375"]
    assert rows["dpo"] == ["0.750**", "–", "0.500"]
    assert r"\*\*: p < 0.01" in as_markdown(SUMMARY, "softpref study")


def test_what_was_not_measured_is_a_dash():
    classified, _ = rows_under("**plain labels: classification")
    assert classified["dpo"] == ["–", "0.750 [0.000, 1.000]", "0.125 [0.000, 1.000]"]
    assert classified["gdpo"][0] == "0.625 [0.625, 0.625]"
    at_kl, _ = rows_under("**plain labels: gold of samples at equal KL")
    assert at_kl["dpo"] == ["–"]


def test_noise_says_that_a_binary_flip_compares_betas():
    rows, _ = rows_under("**Label noise**, gold; 3 seeds. After a binary flip every p is 0 or 1")
    assert rows["binary_flip_0.1"][:3] == ["0.500", "0.500", "+0.062 [-0.125, +0.250] 2/3"]


def test_the_paper_s_betas_have_no_grid():
    assert "| dpo | 0.1 |" in as_markdown(SUMMARY, "softpref study")
