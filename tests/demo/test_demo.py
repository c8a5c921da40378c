"""The demo at its smallest size: every stage, its figures against each other, and going on after a stop."""

from __future__ import annotations

import json
import re

import pytest

from softpref.demo.demo import METHODS, DemoSettings, run_demo
from softpref.demo.plan_world_judge import gold, plan_world_judge
from softpref.errors import OptionError
from softpref.report.collect import read_folders
from softpref.report.run_report import run_report
from softpref.run_folder import read_json, read_lines

SMALL = DemoSettings(sft_rows=320, pairs=64, held_out_pairs=24, updates=10, checkpoints=2, samples=2, best_of=2, held_out=0.02)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    said = []
    report, table = run_demo(folder, SMALL, said.append)
    return folder, report, table, said


def test_the_table_has_every_method_and_the_baselines(demo):
    _, _, table, _ = demo
    assert [row[0] for row in table["rows"]] == ["sft", *METHODS, "best of 2"]
    assert all(len(row) == len(table["head"]) for row in table["rows"])


def test_the_report_stands_by_itself(demo):
    _, report, _, _ = demo
    page = report.read_text(encoding="utf-8")
    assert "PlanWorld" in page
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:)""", page), "something is fetched"
    for name in METHODS:
        assert name in page


def test_labels_come_from_the_judge_and_failures_are_left_out(demo):
    folder, *_ = demo
    rows = read_lines(folder / "data" / "pairs.jsonl")
    failed = read_lines(folder / "data" / "pairs.failed.jsonl")
    assert len(rows) + len(failed) == 64
    assert all(row["label_source"]["judge"] == plan_world_judge(1).identity for row in rows)
    summary = read_json(folder / "data" / "pairs.labels.json")
    assert summary["coverage"] == pytest.approx(len(rows) / 64)
    assert 0.5 < summary["gold"]["accuracy against gold"] <= 1


def test_gold_in_the_figures_is_that_of_the_responses(demo):
    folder, *_ = demo
    evaluation = folder / "gdpo" / "evaluations" / "greedy"
    rows = read_lines(evaluation / "comparisons.jsonl")
    mean = sum(gold(row["prompt"], row["response"]) for row in rows) / len(rows)
    assert read_json(evaluation / "evaluation.json")["reward"]["value"] == pytest.approx(mean)


def test_the_frontier_starts_at_the_reference_and_ends_at_the_model(demo):
    folder, *_ = demo
    points = read_json(folder / "dpo" / "frontier.json")["points"]
    assert [point["step"] for point in points] == [0, 5, 10]
    assert points[0]["kl"] == 0
    sampled = read_json(folder / "dpo" / "evaluations" / "sampled" / "evaluation.json")
    assert points[-1]["kl"] == sampled["kl"]["value"]
    assert points[-1]["reward"] == pytest.approx(sampled["reward"]["value"])


def test_the_report_shows_everything_that_a_report_can(demo):
    """Every part is there."""
    folder, *_ = demo
    document = run_report(read_folders([folder / name for name in ("sft", *METHODS, "head_to_head")]), "demo")
    sections = {section.name for section in document.sections}
    assert sections >= {"labels", "head-to-head-head-to-head", "over-optimisation", "implicit-reward", "training"}
    # its 20 updates are fewer than lie between two lines of the log
    assert document.missing == ["a training log of sft"]
    assert document.detail.startswith("Head to head on ")


def test_held_out_pairs_are_of_tasks_that_training_never_saw(demo):
    folder, *_ = demo
    held_out, seen = read_lines(folder / "data" / "held_out.jsonl"), read_lines(folder / "data" / "pairs.jsonl")
    prompts = {row["prompt"] for row in held_out}
    assert prompts <= {row["prompt"] for row in read_lines(folder / "data" / "test.jsonl")}
    assert not prompts & {row["prompt"] for row in seen}
    assert all(row["label_source"]["judge"] == plan_world_judge(1).identity for row in held_out)
    for name in METHODS:
        found = read_json(folder / name / "classifications" / "held_out" / "classification.json")
        assert found["pairs"] == len(held_out)
        inside = read_json(folder / name / "over_optimisation.json")
        assert [point["step"] for point in inside["checkpoints"]] == [5, 10]
        assert inside["checkpoints"][-1]["by_bin"] == inside["by_bin"]


def test_the_head_to_head_is_by_the_responses_of_the_evaluations(demo):
    folder, *_ = demo
    found = read_json(folder / "head_to_head" / "head_to_head.json")
    assert found["models"] == ["sft", *METHODS]
    [pair] = [one for one in found["pairs"] if (one["model"], one["against"]) == ("sft", "gdpo")]
    evaluated = read_json(folder / "gdpo" / "evaluations" / "greedy" / "evaluation.json")
    rates = [one["win_rates"]["percentage"]["value"] for one in (pair, evaluated)]
    assert sum(rates) == pytest.approx(1)
    generated = (folder / "head_to_head" / "responses" / "gdpo.jsonl").read_text()
    assert generated == (folder / "gdpo" / "evaluations" / "greedy" / "responses.jsonl").read_text()


def test_all_methods_start_from_the_same_model_with_the_papers_betas(demo):
    folder, *_ = demo
    records = {name: json.loads((folder / name / "run.json").read_text()) for name in METHODS}
    assert len({record["reference"] for record in records.values()}) == 1
    betas = {name: record["method"]["arguments"]["beta"] for name, record in records.items()}
    assert betas == {"dpo": 0.1, "cdpo": 0.1, "gdpo": 0.3}


def test_a_second_call_trains_nothing_again(demo):
    folder, _, table, _ = demo
    before = {name: (folder / name / "run.json").read_bytes() for name in ("sft", *METHODS)}
    said = []
    _, again = run_demo(folder, SMALL, said.append)
    assert sum("done already" in line for line in said) == 4
    assert again == table
    assert before == {name: (folder / name / "run.json").read_bytes() for name in before}


def test_a_folder_with_other_settings_is_refused(demo):
    folder, *_ = demo
    with pytest.raises(OptionError, match="holds a demo with other settings"):
        run_demo(folder, DemoSettings(seed=2), lambda _: None)
