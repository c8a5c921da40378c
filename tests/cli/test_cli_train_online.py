"""``softpref train`` with ``online``: from a recipe, stopped and gone on with, and what a user gets wrong."""

from __future__ import annotations

import json

import pytest
import torch
import yaml
from safetensors.torch import load_file

from softpref.cli.main import main
from softpref.demo import plan_world
from softpref.demo.plan_world_judge import plan_world_judge
from softpref.demo.small_model import save, small_llama, word_tokenizer
from softpref.run_folder import read_lines


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A random model of the world's words, six prompts, and a recipe."""
    root = tmp_path_factory.mktemp("online")
    tokenizer = word_tokenizer(plan_world.vocabulary())
    save(small_llama(tokenizer, hidden=16, layers=1, heads=2, context=64), tokenizer, root / "model")
    prompts = [{"prompt": task.prompt} for task in plan_world.tasks()[:6]]
    (root / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts), encoding="utf-8")
    recipe = {
        "model": str(root / "model"),
        "data": str(root / "prompts.jsonl"),
        "output_dir": "unused",
        "loss_type": "gdpo",
        "beta": 0.3,
        "online": {"labels": "judge", "max_new_tokens": 8},
        "judge": {"judge": "plan_world", "seed": 3},
        "train": {
            "learning_rate": 1e-3,
            "per_device_train_batch_size": 3,
            "max_steps": 4,
            "logging_steps": 1,
            "save_steps": 2,
            "disable_tqdm": True,
        },
    }
    (root / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return root


def train(place, *arguments, config=None):
    return main(["train", "--config", str(config or place / "recipe.yaml"), *map(str, arguments)])


@pytest.fixture(scope="module")
def finished(place):
    assert train(place, "--output_dir", place / "run") == 0
    return place / "run"


def test_a_run_says_how_it_was_labelled(finished):
    run = json.loads((finished / "run.json").read_text())
    assert run["online"] == {
        "labels": "judge",
        "self_beta": None,
        "temperature": 1.0,
        "top_p": 1.0,
        "max_new_tokens": 8,
        "generation_batch_size": 32,
        "chat_template_kwargs": None,
        "judge": plan_world_judge(3).identity,
    }
    assert run["data"]["tokens"]["kept"] == 6
    assert run["finished"]["steps"] == 4
    assert len(read_lines(finished / "online" / "responses-0.jsonl")) == 12
    assert {"kl", "soft_label", "failed_share", "response_length"} <= read_lines(finished / "metrics.jsonl")[0].keys()


def test_the_saved_recipe_gives_the_same_weights(finished, place):
    again = place / "again"
    assert train(place, "--output_dir", again, config=finished / "recipe.yaml") == 0
    one, other = load_file(finished / "model.safetensors"), load_file(again / "model.safetensors")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_stopped_run_ends_like_an_unbroken_one(finished, place):
    """Stopped after its checkpoint at update 2, with lines of update 3 on disk."""
    broken = place / "broken"
    assert train(place, "--output_dir", broken) == 0
    run = json.loads((broken / "run.json").read_text())
    del run["finished"]
    (broken / "run.json").write_text(json.dumps(run))
    for file in (broken / "checkpoint-4").iterdir():
        file.unlink()
    assert train(place, "--output_dir", broken, "--resume", "true") == 0
    one, other = load_file(finished / "model.safetensors"), load_file(broken / "model.safetensors")
    assert all(torch.equal(one[name], other[name]) for name in one)
    for name in ("responses-0.jsonl", "labels-0.jsonl"):
        assert read_lines(finished / "online" / name) == read_lines(broken / "online" / name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--online.labels", "null", "--online.max_new_tokens", "256"], "judge has no effect without online.labels"),
        (["--online.labels", "self"], "a judge has no effect with online.labels 'self'"),
        (["--judge", "{}"], "online.labels is 'judge': give the judge"),
        (["--judge.sed", "1"], "judge: unknown option 'sed'; did you mean 'seed'?"),
        (["--online.max_new_token", "9"], "did you mean"),
        (["--reading.identical", "drop"], "reading.identical has no effect online"),
        (["--truncation", "keep"], "truncation has no effect online"),
        (["--online.temperature", "0"], "temperature is 0"),
    ],
)
def test_mistakes_are_one_line(arguments, message, place, capsys, tmp_path):
    assert train(place, "--output_dir", tmp_path / "run", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_another_judge_is_another_run(finished, place, capsys):
    run = json.loads((finished / "run.json").read_text())
    (finished / "run.json").write_text(json.dumps({k: v for k, v in run.items() if k != "finished"}))
    code = train(place, "--output_dir", finished, "--resume", "true", "--judge.seed", "4")
    (finished / "run.json").write_text(json.dumps(run))
    assert code == 2
    assert "the run there has another online" in capsys.readouterr().err
