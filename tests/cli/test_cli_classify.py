"""``softpref classify`` and ``softpref over-optimisation``: what a person types and reads."""

from __future__ import annotations

import json

import pytest

from run_folders import run_record
from softpref.cli.classify import lines as classify_lines
from softpref.cli.main import main
from softpref.cli.over_optimisation import lines as over_optimisation_lines
from softpref.data.formats import write_rows
from softpref.demo.small_model import save, small_llama
from softpref.records.evaluation import (
    AccuracyBin,
    ClassificationRecord,
    OverOptimisationRecord,
    RatioBin,
    RatioCheckpoint,
    RatioStep,
    SampledKL,
)
from softpref.records.figures import Interval

ROWS = [
    {"prompt": "make tea :", "response_1": " boil the water , pour", "response_2": " wait", "soft_label": 0.9},
    {"prompt": "for two ?", "response_1": " yes", "response_2": " no", "soft_label": 0.3},
    {"prompt": "for a ?", "response_1": " yes", "response_2": " yes", "soft_label": 0.5},
]


@pytest.fixture(scope="module")
def place(word_tokenizer, tmp_path_factory):
    root = tmp_path_factory.mktemp("classify")
    for seed, name in enumerate(("run", "sft")):
        save(
            small_llama(word_tokenizer, hidden=16, layers=1, heads=2, context=64, seed=seed),
            word_tokenizer,
            root / name,
        )
    write_rows(root / "pairs.jsonl", ROWS)
    record = run_record(reference="abc", model={"start": str(root / "sft")}, data={"file": str(root / "pairs.jsonl")})
    record.write(root / "run" / "run.json")
    return root


def test_classify_a_run(place, capsys, tmp_path):
    argv = ["classify", "--model", place / "run", "--data", place / "pairs.jsonl", "--output", tmp_path]
    assert main([str(word) for word in argv]) == 0
    out = capsys.readouterr().out
    result = json.loads((tmp_path / "classification.json").read_text())
    assert (result["pairs"], result["beta"]) == (2, 0.3)
    assert f"against {place / 'sft'}" in out
    assert "2 pairs of 2 prompts, 0 ties; margin: difference of log π/π_ref" in out
    for name in ("accuracy", "auc", "brier", "log_score", "ece", "longer_wins"):
        assert f"{name:<12} {result[name]['value']:.3f} [" in out
    assert f"figures: {tmp_path}/classification.json" in out


def test_what_is_not_known_is_a_dash_and_said():
    nothing = Interval(None)
    result = ClassificationRecord(
        model="m",
        data="d",
        pairs=1,
        prompts=1,
        ties=0,
        margin="h",
        accuracy=nothing,
        auc=nothing,
        longer_wins=nothing,
        by_bin=[AccuracyBin(0.5, 0.6, 0)],
    )
    out = "\n".join(classify_lines(result))
    assert "accuracy     – [–, –]" in out
    assert "no beta is known" in out
    assert "nan" not in out
    assert "brier" not in out.split("no beta")[0]


def test_over_optimisation_of_a_run(place, capsys, tmp_path):
    assert main(["over-optimisation", "--run", str(place / "run"), "--output", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    result = json.loads((tmp_path / "over_optimisation.json").read_text())
    assert "on 2 pairs of" in out
    for row in result["by_bin"]:
        if row["count"]:
            assert f"{row['chosen_logratio']:+.2f}" in out
            assert f"{row['margin']:+.2f}" in out
    assert ("WARNING" in out) == (result["warning"] is not None)


def test_a_warning_and_the_training_log_are_shown():
    full = RatioBin(0.9, 1.0, 7, -30.0, -50.0, 20.0, -1.0)
    result = OverOptimisationRecord(
        run="r",
        reference="s",
        data="d",
        pairs=7,
        by_bin=[RatioBin(0.5, 0.6, 0), full],
        over_training=[RatioStep(9, -29.0, -45.0, 16.0)],
        checkpoints=[RatioCheckpoint(5, [full])],
        kl=SampledKL(12.0, 11.0, 13.0, evaluation="sampled"),
        warning="the chosen responses have collapsed",
    )
    out = "\n".join(over_optimisation_lines(result))
    assert "WARNING: the chosen responses have collapsed" in out
    assert "step 9: chosen -29.00, rejected -45.00, margin +16.00" in out
    assert "12.000 [11.000, 13.000] nats per response" in out
    assert out.count("-30.00") == 2


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["classify", "--model", "sft"], "is no run folder, so its reference is not known"),
        (["classify", "--model", "run", "--beta", "0.1"], "leave beta out"),
        (["over-optimisation", "--run", "sft"], "holds no run"),
        (["over-optimisation", "--run", "run", "--data", "absent.jsonl"], "absent.jsonl: no such file"),
    ],
)
def test_one_message(place, capsys, tmp_path, argv, message):
    command, option, name, *rest = argv
    data = [] if "--data" in rest or command == "over-optimisation" else ["--data", str(place / "pairs.jsonl")]
    assert main([command, option, str(place / name), *rest, *data, "--output", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
