"""A folder that holds a PEFT adapter alone: its base is found, its tokenizer too, and its responses are its own."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model

from softpref.demo.small_model import save, small_llama
from softpref.errors import InputError, OptionError
from softpref.evaluation.classification import side_logps
from softpref.evaluation.responses import generated
from softpref.generation.sampling import Sampling
from softpref.loading.adapters import base_of
from softpref.loading.models import load_model, load_policy, load_tokenizer

PROMPTS = ["make tea for two :", "wait"]
GREEDY = Sampling(max_new_tokens=6)


@pytest.fixture
def folders(word_tokenizer, tmp_path):
    """A base, an adapter with random weights on it and without a tokenizer, and the two merged."""
    base = small_llama(word_tokenizer, hidden=16, layers=2, heads=2, context=64)
    save(base, word_tokenizer, tmp_path / "base")
    torch.manual_seed(0)
    config = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=64, target_modules="all-linear", init_lora_weights=False)
    adapted = get_peft_model(load_model(str(tmp_path / "base")), config)
    adapted.save_pretrained(tmp_path / "adapter")
    save(adapted.merge_and_unload(), word_tokenizer, tmp_path / "merged")
    return tmp_path


def test_an_adapter_says_what_the_merged_model_says(folders):
    said = {
        name: [r.text for r in generated(str(folders / name), PROMPTS, GREEDY, folders / f"{name}.jsonl")]
        for name in ("base", "adapter", "merged")
    }
    assert said["adapter"] == said["merged"]
    assert said["adapter"] != said["base"]


def test_its_margins_are_those_of_the_merged_model(folders):
    from softpref.data.pairs import PreferencePair

    pairs = [PreferencePair("make tea :", " boil the water", " wait", 0.9)]
    logps = {name: side_logps(str(folders / name), pairs) for name in ("base", "adapter", "merged")}
    assert logps["adapter"] == pytest.approx(logps["merged"], abs=1e-4)
    assert abs(logps["adapter"] - logps["base"]).max() > 0.01


def test_the_base_is_named_by_the_adapter_alone(folders):
    assert base_of(str(folders / "adapter")) == str(folders / "base")
    assert base_of(str(folders / "base")) is None
    assert load_tokenizer(str(folders / "adapter")).get_vocab() == load_tokenizer(str(folders / "base")).get_vocab()


def test_a_base_that_is_gone_is_named(folders):
    shutil.move(folders / "base", folders / "elsewhere")
    with pytest.raises(InputError, match=r"adapter: is an adapter of .*base, which is not there"):
        load_policy(str(folders / "adapter"))


@pytest.mark.parametrize("changed", ["adapter", "base"])
def test_responses_belong_to_the_adapter_and_its_base(folders, changed):
    """Trained again in its folder, or put on another base, it is another model."""
    generated(str(folders / "adapter"), PROMPTS, GREEDY, folders / "r.jsonl")
    if changed == "adapter":
        file = folders / "adapter" / "adapter_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "lora_alpha": 1}))
    else:
        file = folders / "base" / "config.json"
        file.write_text(file.read_text() + "\n")
    with pytest.raises(OptionError, match="give another output folder"):
        generated(str(folders / "adapter"), PROMPTS, GREEDY, folders / "r.jsonl")
