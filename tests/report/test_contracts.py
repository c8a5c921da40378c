"""Every arrow on disk, walked through the real stages: what one writes, the next reads and the page shows."""

import json

import pytest

from judge_doubles import TableJudge
from softpref.data.formats import read_pairs, write_rows
from softpref.demo.small_model import save, small_llama
from softpref.evaluation.classify import classify
from softpref.evaluation.evaluate import evaluate
from softpref.evaluation.over_optimisation import over_optimisation
from softpref.generation.sampling import Sampling
from softpref.judges.labelling import LabelOptions, label_pairs
from softpref.report.collect import read_folders
from softpref.report.document import Facts, Table
from softpref.report.run_report import run_report
from softpref.training.recipe import TrainRecipe
from softpref.training.run import train

PAIRS = [("make tea", " boil the water", " wait"), ("for two ?", " yes", " no"), ("serve tea", " no", " yes yes")]
GOLD = [1.0, 1.0, 0.0]


class Always(TableJudge):
    """Prefers the response that the table names first, in both orders."""


@pytest.fixture(scope="module")
def run(tmp_path_factory, word_tokenizer):
    """label → train → evaluate, classify, over-optimisation: the run's folder."""
    root = tmp_path_factory.mktemp("contract")
    model = save(small_llama(word_tokenizer, hidden=16, layers=1, heads=2, context=64), word_tokenizer, root / "sft")
    write_rows(root / "pairs.jsonl", [{"prompt": p, "response_1": a, "response_2": b} for p, a, b in PAIRS])
    table = {}
    for _, first, second in PAIRS:
        table[first, second], table[second, first] = 0.8, 0.3
    judge = Always(table)
    label_pairs(read_pairs(root / "pairs.jsonl"), judge, root / "labelled.jsonl", options=LabelOptions(gold=GOLD))
    settings = {"per_device_train_batch_size": 3, "max_steps": 2, "save_strategy": "no", "logging_steps": 1, "use_cpu": True}
    recipe = TrainRecipe(str(model), str(root / "labelled.jsonl"), str(root / "gdpo"), beta=0.3, train=settings)
    folder = train(recipe, on_log=lambda _: None)
    write_rows(root / "theirs.jsonl", [{"prompt": p, "response": b} for p, _, b in PAIRS])
    write_rows(root / "ours.jsonl", [{"prompt": p, "response": a} for p, a, _ in PAIRS])
    evaluation = folder / "evaluations" / "given"
    evaluate(str(root / "ours.jsonl"), str(root / "theirs.jsonl"), None, judge, evaluation, Sampling())
    classify(str(folder), root / "labelled.jsonl", folder / "classifications" / "train")
    over_optimisation(folder)
    return folder


@pytest.fixture(scope="module")
def document(run):
    return run_report(read_folders([run]), "contract")


def tables(document):
    return {block.caption: block for section in document.sections for block in section.blocks if isinstance(block, Table)}


def test_accuracy_against_gold_reaches_the_page(document):
    """The judge says 0.75 for the first of every pair; gold says first, first, second: right on two of three."""
    [row] = tables(document)["The labels of labelled.jsonl against others"].rows
    assert (row["what"], row["pairs"], row["accuracy"]) == ("gold", 3, pytest.approx(2 / 3))


def test_the_judge_and_its_coverage_reach_the_page(document):
    facts = dict(
        row for section in document.sections for block in section.blocks if isinstance(block, Facts) for row in block.rows
    )
    assert facts["coverage"] == "3 of 3 (100.0%)"
    assert facts["position bias"].startswith("+0.100")  # (0.8 + 0.3 … − 1)


def test_evaluation_classification_and_log_ratios_reach_the_page(document):
    assert document.verdict.startswith("gdpo beats theirs: the judge prefers it in 75.0%")
    captions = tables(document)
    assert any(caption.startswith("Results, given") for caption in captions)
    assert any("Classification of labelled.jsonl" in caption for caption in captions)
    names = {block.name for section in document.sections for block in section.blocks if hasattr(block, "name")}
    assert "log-ratio-of-the-chosen-side-by-soft-label-at-the-end" in names


def test_nothing_on_the_way_is_json_that_a_strict_reader_refuses(run):
    files = [*run.parent.rglob("*.json"), *run.parent.rglob("*.labels.json")]
    assert len(files) > 5
    for file in files:
        json.loads(file.read_text(encoding="utf-8"), parse_constant=pytest.fail)
