"""``softpref train`` on a model of two layers: recipes, reruns, Ctrl-C and going on, and what a user gets wrong."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml
from safetensors.torch import load_file

from processes import started
from softpref.cli.main import main
from softpref.demo.small_model import save, small_llama
from softpref.errors import OptionError

STEPS = 100


@pytest.fixture(scope="module")
def place(tmp_path_factory, word_tokenizer):
    """A model folder, 16 pairs and a recipe."""
    root = tmp_path_factory.mktemp("train")
    save(small_llama(word_tokenizer, hidden=16, layers=2, heads=2, context=64), word_tokenizer, root / "model")
    rows = [
        {
            "prompt": "make tea" + " for two" * (i % 3) + " : ",
            "chosen": "boil the water" + " ." * (i % 4),
            "rejected": "wait" + " no" * (i % 5),
            "soft_label": round(0.5 + 0.03 * i, 2),
        }
        for i in range(16)
    ]
    (root / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (root / "recipe.yaml").write_text(
        f"model: {root / 'model'}\ndata: {root / 'pairs.jsonl'}\noutput_dir: {root / 'unused'}\nloss_type: gdpo\nbeta: 0.3\n"
        "train:\n  learning_rate: 1e-2\n  per_device_train_batch_size: 4\n  max_steps: 4\n  logging_steps: 1\n"
        "  disable_tqdm: true\n",
        encoding="utf-8",
    )
    return root


def train(place, *arguments, config=None):
    return main(["train", "--config", str(config or place / "recipe.yaml"), *map(str, arguments)])


def weights(folder):
    return load_file(folder / "model.safetensors")


def same(one, other):
    one, other = weights(one), weights(other)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def log(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"], line["margin"]) for line in lines if "loss" in line]


@pytest.fixture(scope="module")
def finished(place):
    """One run with overrides."""
    assert train(place, "--beta", "0.5", "--train.max_steps", "6", "--output_dir", place / "run") == 0
    return place / "run"


# -------------------------------------------------------------------------------------------------- a run


def test_a_run_leaves_what_makes_it_repeatable(finished, place):
    recipe = yaml.safe_load((finished / "recipe.yaml").read_text())
    assert (recipe["beta"], recipe["train"]["max_steps"], recipe["train"]["learning_rate"]) == (0.5, 6, 0.01)
    run = json.loads((finished / "run.json").read_text())
    assert run["method"] == {
        "loss_type": "gdpo",
        "base": "dpo",
        "label_treatment": "geometric",
        "reduction": "sum",
        "arguments": {"beta": 0.5},
    }
    assert run["finished"]["steps"] == 6
    assert run["step_0_difference"] == 0.0
    assert run["data"]["tokens"] == {"kept": 16, "cut": 0, "too_long": 0, "boundary": 0, "identical": 0, "common": 0}
    assert run["data"]["reading"]["ties"] == 1
    assert sum(run["data"]["labels"]["histogram"]) == 16
    assert len(run["reference"]) == len(run["data"]["fingerprint"]) == 64
    assert run["model"] == {"start": str(place / "model"), "identity": run["reference"], "is_reference": True}
    assert {"python", "torch", "transformers", "softpref"} <= set(run["versions"])
    assert [step for step, _, _ in log(finished)] == [1, 2, 3, 4, 5, 6]


def test_the_first_loss_is_log_2(finished):
    """At step 0 the policy is its reference: every margin is 0, and −log s(0) = log 2 whatever the labels."""
    step, loss, margin = log(finished)[0]
    assert (step, loss, margin) == (1, pytest.approx(0.693147, abs=1e-5), pytest.approx(0.0, abs=1e-5))
    assert log(finished)[-1][1] < 0.69


def test_the_saved_recipe_gives_the_same_weights(finished, place):
    again = place / "again"
    assert train(place, "--output_dir", again, config=finished / "recipe.yaml") == 0
    assert same(finished, again)
    assert log(finished) == log(again)


def test_an_override_changes_the_result(finished, place):
    """So that the equality above says something."""
    assert train(place, "--beta", "0.5", "--train.max_steps", "6", "--seed", "1", "--output_dir", place / "other") == 0
    assert not same(finished, place / "other")


def test_a_trained_run_has_a_report(finished, place, capsys):
    page = place / "report.html"
    assert main(["report", str(finished), "--output", str(page), "--title", "A <run>"]) == 0
    assert capsys.readouterr().out == f"report: {page}\n"
    text = page.read_text(encoding="utf-8")
    assert "A &lt;run&gt;" in text
    assert 'aria-label="Training loss"' in text


# -------------------------------------------------------------------------------------------------- stopped and gone on


@pytest.fixture(scope="module")
def interrupted(place):
    """The command in a process of its own, with SIGINT after some updates: folder, exit code, standard error."""
    folder = place / "interrupted"
    command = [
        sys.executable,
        "-m",
        "softpref.cli.main",
        "train",
        "--config",
        str(place / "recipe.yaml"),
        "--output_dir",
        str(folder),
        "--train.max_steps",
        str(STEPS),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        while not (folder / "metrics.jsonl").is_file() or len(log(folder)) < 5:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    return folder, process.returncode, err


def test_ctrl_c_says_how_to_go_on(interrupted):
    folder, code, err = interrupted
    assert code == 130
    assert "Traceback" not in err
    step = log(folder)[-1][0]
    assert 5 <= step < STEPS
    assert f"stopped at step {step}; go on with: softpref train --config {folder / 'recipe.yaml'} --resume" in err
    assert (folder / f"checkpoint-{step}").is_dir()
    assert json.loads((folder / "run.json").read_text())["finished"] is None


def test_a_resumed_run_ends_where_an_unbroken_one_does(interrupted, place, capsys):
    folder, _, _ = interrupted
    assert train(place, config=folder / "recipe.yaml") == 2
    assert "holds a run already: set resume to true" in capsys.readouterr().err
    assert train(place, "--resume", "true", config=folder / "recipe.yaml") == 0
    assert train(place, "--output_dir", place / "unbroken", "--train.max_steps", STEPS) == 0
    assert same(folder, place / "unbroken")
    assert log(folder) == log(place / "unbroken")
    assert [step for step, _, _ in log(folder)] == list(range(1, STEPS + 1))
    assert json.loads((folder / "run.json").read_text())["finished"]["steps"] == STEPS


# -------------------------------------------------------------------------------------------------- what a user gets wrong


def complaint(capsys, place, *arguments, code=2):
    capsys.readouterr()
    assert train(place, *arguments) == code
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return err


def test_a_finished_run_is_not_written_over(finished, place, capsys):
    assert f"{finished} holds a run already" in complaint(capsys, place, "--output_dir", finished)


@pytest.fixture
def without_checkpoints(place, tmp_path):
    """A recipe that saves the model alone: save_strategy "no", quoted, since YAML reads a bare no as false."""
    recipe = yaml.safe_load((place / "recipe.yaml").read_text())
    recipe.update(
        output_dir=str(tmp_path / "bare"),
        train={"learning_rate": 0.01, "save_strategy": "no", "max_steps": 1, "disable_tqdm": True},
    )
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    assert "save_strategy: 'no'" in path.read_text()
    return path


def test_text_under_train_stays_text(without_checkpoints, place, tmp_path):
    """And so does the recipe that is saved with the run: the demo's SFT run is one of these."""
    assert train(place, config=without_checkpoints) == 0
    assert not list((tmp_path / "bare").glob("checkpoint-*"))
    assert train(place, "--output_dir", tmp_path / "again", config=tmp_path / "bare" / "recipe.yaml") == 0
    assert same(tmp_path / "bare", tmp_path / "again")


def test_a_finished_run_without_checkpoints_is_not_written_over(without_checkpoints, place, capsys, tmp_path):
    """It would be lost in silence."""
    from softpref.training.recipe import TrainRecipe
    from softpref.training.run import train as train_recipe

    recipe = TrainRecipe(**{**yaml.safe_load(without_checkpoints.read_text()), "resume": False})
    train_recipe(recipe)
    before = (tmp_path / "bare" / "model.safetensors").read_bytes()
    recipe.beta = 0.9
    with pytest.raises(OptionError, match="holds a run already"):
        train_recipe(recipe)
    assert (tmp_path / "bare" / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "absent.jsonl"], "absent.jsonl: no such file"),
        (["--model", "/nowhere"], "'/nowhere': no such folder"),
        (["--loss_type", "gdop"], "did you mean 'gdpo'?"),
        (["--loss_type", "gdpo", "--label_treatment", "conservative"], "gdpo"),
        (["--loss_args.gamma", "1"], "dpo has no argument 'gamma'"),
        (["--beta", "-1"], "beta is -1"),
        (
            ["--train.learning_rat", "1"],
            "train.learning_rat is no field of transformers.TrainingArguments; did you mean",
        ),
        (["--train.seed", "1"], "train.seed belongs at the top of the recipe"),
        (["--train.lr_scheduler_type", "wavy"], "wavy"),
        (["--max_length", "1"], "max_length is 1"),
        (["--truncation", "cut"], "truncation is 'cut'"),
        (["--max_length", "4"], "no row is left to train on (16 longer than max_length=4"),
        (["--ties", "keep"], "ties has no effect with label_treatment 'geometric'"),
        (["--peft.rank", "4"], "peft.rank is no argument of LoraConfig"),
    ],
)
def test_one_message_before_anything_is_trained(place, capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    err = complaint(capsys, place, "--output_dir", "run", *arguments)
    assert message in err
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_faults_in_the_data_name_file_row_and_field(place, capsys, tmp_path):
    rows = [{"prompt": "q", "chosen": "a", "rejected": "b", "soft_label": p} for p in (0.7, 70)]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    err = complaint(capsys, place, "--data", path, "--output_dir", tmp_path / "run")
    assert f"softpref train: {path}: 1 fault\n  row 2, soft_label: 70 is not a number in [0, 1]" in err


def test_unlabelled_pairs_ask_for_a_label_or_for_hard(place, capsys, tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "a ", "chosen": "b", "rejected": "c"}\n')
    err = complaint(capsys, place, "--data", path, "--output_dir", tmp_path / "run")
    assert "row 1 has no soft_label" in err
    assert "label_treatment" in err


def test_numbers_that_blow_up_stop_the_run_and_name_rows(place, capsys, tmp_path):
    err = complaint(capsys, place, "--train.learning_rate", "1e20", "--output_dir", tmp_path / "run", code=1)
    assert "are not finite; lower the learning rate" in err
    assert "rows [" in err


def test_held_out_pairs_alone_are_evaluated_once_an_epoch(place, capsys):
    folder = place / "held_out"
    options = ["--config", str(place / "recipe.yaml"), "--output_dir", str(folder), "--train.max_steps", "2"]
    assert main(["train", *options, "--eval_data", str(place / "pairs.jsonl")]) == 0
    out = capsys.readouterr().out
    assert "step 2/2  held out:  loss" in out
    assert "{'" not in out
    assert any("eval_loss" in json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines())


@pytest.mark.parametrize(("init", "is_reference"), [("true", True), ("pissa", False)])
def test_a_run_records_whether_its_base_is_its_reference(place, init, is_reference):
    pytest.importorskip("peft")
    folder = place / f"peft_{init}"
    peft = f"{{r: 2, target_modules: [q_proj], init_lora_weights: {init}}}"
    options = ["--config", str(place / "recipe.yaml"), "--output_dir", str(folder), "--train.max_steps", "1", "--peft", peft]
    assert main(["train", *options]) == 0
    assert json.loads((folder / "run.json").read_text())["model"]["is_reference"] is is_reference
