"""Every command that loads a model refuses a damaged one: exit 2, one message that names it, and nothing spent before."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from run_folders import run_record
from softpref.cli.main import main
from softpref.demo.small_model import save, small_llama

WEIGHT = "model.layers.0.mlp.up_proj.weight"


@pytest.fixture(scope="module")
def place(word_tokenizer, tmp_path_factory):
    """A model, a run that started from it, and one damaged copy of each kind."""
    root = tmp_path_factory.mktemp("damaged")
    model = save(small_llama(word_tokenizer, hidden=16, layers=1, heads=2, context=64), word_tokenizer, root / "model")
    for kind in ("nan", "missing", "tokenizer"):
        shutil.copytree(model, root / kind)
    tensors = load_file(model / "model.safetensors")
    damaged = {**tensors, WEIGHT: torch.full_like(tensors[WEIGHT], float("nan"))}
    save_file(damaged, root / "nan" / "model.safetensors", metadata={"format": "pt"})
    del damaged[WEIGHT]
    save_file(damaged, root / "missing" / "model.safetensors", metadata={"format": "pt"})
    word_tokenizer.save_pretrained(root / "tokenizer")
    beyond = type(word_tokenizer).from_pretrained(root / "tokenizer")
    beyond.add_tokens(["kettle"])
    beyond.save_pretrained(root / "tokenizer")
    rows = [{"prompt": f"make tea {i} :", "chosen": " boil the water", "rejected": " wait", "soft_label": 0.9} for i in range(2)]
    (root / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("model", "nan", "missing", "tokenizer"):
        changes = {"reference": "abc", "model": {"start": str(model)}, "data": {"file": str(root / "pairs.jsonl")}}
        run_record(**changes).write(root / name / "run.json")
    return root


TRAIN = "--data {pairs} --output_dir {out}/run --loss_type gdpo --beta 0.3 --train.max_steps 1 --train.use_cpu true"
JUDGED = "--data {pairs} --judge plan_world --max_new_tokens 2 --output {out}/e"
COMMANDS = {
    "train": f"train --model {{bad}} {TRAIN}",
    "train against": f"train --model {{good}} --ref_model {{bad}} {TRAIN}",
    "train online": f"train --model {{good}} {TRAIN} --online.labels judge --judge.judge local --judge.judge_model {{bad}} "
    "--judge.judge_prompt general",
    "reference": f"reference --model {{bad}} {TRAIN}",
    "label, local": "label --data {pairs} --judge local --judge_model {bad} --judge_prompt general --output {out}/l.jsonl",
    "evaluate": f"evaluate --model {{bad}} --against {{good}} {JUDGED}",
    "evaluate against": f"evaluate --model {{good}} --against {{bad}} {JUDGED}",
    "head-to-head": f"head-to-head {{good}} {{bad}} {JUDGED}",
    "classify": "classify --model {bad} --data {pairs} --output {out}",
    "classify against": "classify --model {good} --reference {bad} --data {pairs} --output {out}",
    "over-optimisation": "over-optimisation --run {bad} --output {out}",
    "over-optimisation against": "over-optimisation --run {good} --reference {bad} --output {out}",
}
MESSAGES = {
    "nan": f"nan: NaN or infinite numbers in 1 weight ({WEIGHT})",
    "missing": f"missing: lacks 1 of the 12 weights of a LlamaForCausalLM ({WEIGHT})",
    "tokenizer": "rows, none for 'kettle'",
}


# a reference's own tokenizer is not read
CASES = [(command, kind) for command in COMMANDS for kind in MESSAGES if (command, kind) != ("train against", "tokenizer")]


@pytest.mark.parametrize(("command", "kind"), CASES)
def test_a_damaged_model_is_refused_before_anything_is_spent(command, kind, place, tmp_path, capsys):
    names = {"bad": place / kind, "good": place / "model", "pairs": place / "pairs.jsonl", "out": tmp_path}
    assert main(COMMANDS[command].format(**names).split()) == 2
    assert MESSAGES[kind] in capsys.readouterr().err
    written = {path.name for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size}
    assert not written & {"responses.jsonl", "run.json", "l.jsonl", "metrics.jsonl", "classification.json"}
    assert not any(path.suffix == ".sqlite" for path in tmp_path.rglob("*"))


def test_a_reward_model_without_a_head_is_refused(place, tmp_path, capsys):
    judge = f"--judge reward_model --judge_model {place}/model --scale 1"
    assert main(f"label --data {place}/pairs.jsonl {judge} --output {tmp_path}/l.jsonl".split()) == 2
    message = capsys.readouterr().err
    assert f"judge: {place}/model: " in message
    assert "lacks 1 of the 12 weights of a LlamaForSequenceClassification (score.weight)" in message
