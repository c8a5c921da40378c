"""A folder that holds a PEFT adapter alone: its base is found, its tokenizer too, and its responses are its own."""

from __future__ import annotations

import json
import os
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from softpref.demo.small_model import save, small_llama
from softpref.errors import InputError, ModelError, OptionError
from softpref.evaluation.classification import side_logps
from softpref.evaluation.responses import generated
from softpref.generation.sampling import Sampling
from softpref.loading.adapters import base_of
from softpref.loading.models import check_model, load_model, load_policy, load_tokenizer, whole_model

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


def adapter_config(folder, **values):
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def rewrite(folder, change):
    file = folder / "adapter_model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


QUERY = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
MOVED = QUERY.replace("layers.0", "layers.7")
DAMAGED = {
    "itself": (lambda a, _: adapter_config(a, base_model_name_or_path=str(a)), "names itself as its base"),
    "no base": (lambda a, _: adapter_config(a, base_model_name_or_path=None), "names no base_model_name_or_path"),
    "no such folder": (lambda a, _: adapter_config(a, base_model_name_or_path="./nowhere"), "nowhere, which is not there"),
    "a model as well": (lambda a, base: shutil.copy(base / "model.safetensors", a), "a whole model and an adapter"),
    "no kind": (lambda a, _: adapter_config(a, peft_type="OWN"), "adapter .* cannot be loaded"),
    "config cut short": (lambda a, _: (a / "adapter_config.json").write_text("{"), r"adapter_config\.json: is not JSON"),
    "weights gone": (lambda a, _: (a / "adapter_model.safetensors").unlink(), r"has no adapter_model\.safetensors"),
    "a pickle": (lambda a, _: (a / "adapter_model.safetensors").rename(a / "adapter_model.bin"), "as a pickle"),
    "cut short": (lambda a, _: os.truncate(a / "adapter_model.safetensors", 2000), "is damaged or cut short"),
    "one gone": (lambda a, _: rewrite(a, lambda t: t.pop(QUERY)), r"lacks 1 of the adapter's weights .*q_proj\.lora_A"),
    "of more layers": (
        lambda a, _: rewrite(a, lambda t: t.update({MOVED: t[QUERY] + 1})),
        r"no place for 1 weight .*layers\.7",
    ),
    "another rank": (lambda a, _: adapter_config(a, r=2), r"another shape|size mismatch"),
    "nan": (lambda a, _: rewrite(a, lambda t: t[QUERY].fill_(float("nan"))), "NaN or infinite numbers in 1 weight"),
    "a damaged base": (lambda _, base: os.truncate(base / "model.safetensors", 9000), r"base/model\.safetensors: is damaged"),
}


@pytest.mark.parametrize("load", [load_model, check_model, lambda name: whole_model(name).__enter__()])
@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_adapter_is_refused(folders, damage, load):
    change, message = DAMAGED[damage]
    change(folders / "adapter", folders / "base")
    with pytest.raises(ModelError, match=message):
        load(str(folders / "adapter"))


def test_a_base_without_some_weights_is_refused_under_its_adapter(folders):
    """transformers reports on the adapter alone."""
    file = folders / "base" / "model.safetensors"
    tensors = load_file(file)
    save_file({name: tensor for name, tensor in tensors.items() if "up_proj" not in name}, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"base: lacks 2 of the 21 weights .*up_proj"):
        load_model(str(folders / "adapter"))


def test_an_adapter_of_an_adapter_is_refused(folders):
    """Two that name one another, too."""
    shutil.copytree(folders / "adapter", folders / "second")
    adapter_config(folders / "second", base_model_name_or_path=str(folders / "adapter"))
    with pytest.raises(ModelError, match="which is an adapter too; merge that one"):
        load_model(str(folders / "second"))
    adapter_config(folders / "adapter", base_model_name_or_path=str(folders / "second"))
    with pytest.raises(ModelError, match="which is an adapter too"):
        generated(str(folders / "adapter"), PROMPTS, GREEDY, folders / "r.jsonl")


@pytest.mark.parametrize("dtype", ["auto", "float32", "bfloat16"])
def test_an_adapter_is_loaded_as_transformers_loads_it(folders, dtype):
    ours, theirs = (load(str(folders / "adapter"), dtype=dtype) for load in (load_model, AutoModelForCausalLM.from_pretrained))
    ours, theirs = dict(ours.named_parameters()), dict(theirs.named_parameters())
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert (ours[name].dtype, ours[name].requires_grad) == (value.dtype, value.requires_grad)
        assert torch.equal(ours[name], value)


def test_the_merged_model_is_the_adapter_s(folders):
    with whole_model(str(folders / "adapter")) as merged:
        ours, theirs = load_model(merged).state_dict(), load_model(str(folders / "merged")).state_dict()
    assert all(torch.allclose(ours[name], value, atol=1e-6) for name, value in theirs.items())
