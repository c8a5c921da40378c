"""Folders that are damaged, or not what they say: every one is refused by the loaders, naming file or weights and the fix."""

from __future__ import annotations

import ast
import copy
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import softpref
from helpers.tiny_models import FAMILIES, tiny
from softpref.demo.small_model import save, small_llama
from softpref.errors import InputError, ModelError
from softpref.loading.models import (
    check_model,
    load_classifier,
    load_generation_config,
    load_model,
    load_tokenizer,
    whole_model,
)
from softpref.loading.weights import refuse_not_finite

LAYER = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture
def folder(word_tokenizer, tmp_path):
    return save(small_llama(word_tokenizer, hidden=16, layers=2, heads=2, context=64), word_tokenizer, tmp_path / "model")


def config(**values):
    def change(folder):
        file = folder / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **values}))

    return change


def weights(change):
    def rewrite(folder):
        file = folder / "model.safetensors"
        tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
        change(tensors)
        save_file(tensors, file, metadata={"format": "pt"})

    return rewrite


def holding(value):
    return weights(lambda tensors: tensors[LAYER].view(-1)[3:4].fill_(value))


def extra(name):
    return weights(lambda tensors: tensors.update({name: torch.ones(3)}))


def text(name, content):
    return lambda folder: (folder / name).write_text(content)


def cut(name, size):
    return lambda folder: os.truncate(folder / name, size)


def sharded(name):
    """The weights as one shard, which the index calls ``name``."""

    def change(folder):
        (folder / "model.safetensors").rename(folder / "shard.safetensors")
        index = {"metadata": {"total_size": 1}, "weight_map": {LAYER: name}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    return change


DAMAGED = {
    "layers that no file holds": (config(num_hidden_layers=4), r"lacks 18 of the 39 weights .*layers\.2\.input_layernorm"),
    "one weight gone": (weights(lambda t: t.pop(LAYER)), rf"lacks 1 of the 21 weights .*\({LAYER}\)"),
    "tied weights gone": (weights(lambda t: t.pop("model.embed_tokens.weight")), r"lacks 2 of .*model\.embed_tokens\.weight"),
    "a head that is not tied": (config(tie_word_embeddings=False), r"lacks 1 of .*\(lm_head\.weight\)"),
    "fewer layers than the files": (config(num_hidden_layers=1), r"no place for 9 weights \(model\.layers\.1\."),
    "another shape": (config(intermediate_size=8), r"another shape .*mlp\.down_proj\.weight: \[16, \d+\], not \[16, 8\]"),
    "another family": (config(model_type="bert"), "lacks .* weights of a BertLMHeadModel"),
    "a family with norms of its own": (config(model_type="qwen3"), r"lacks 4 of .*self_attn\.k_norm\.weight"),
    "biases that the config has not": (extra("model.layers.0.self_attn.q_proj.bias"), r"no place for 1 weight .*q_proj\.bias"),
    "nan": (holding(float("nan")), rf"NaN or infinite numbers in 1 weight \({LAYER}\)"),
    "inf": (holding(float("-inf")), rf"NaN or infinite numbers in 1 weight \({LAYER}\)"),
    "an encoder-decoder": (config(model_type="t5"), "neither a causal language model"),
    "an unknown model_type": (config(model_type="lama"), "model_type that the installed transformers does not know"),
    "no model_type": (config(model_type=None), r"config\.json: names no model_type"),
    "remote code": (
        config(model_type="own", auto_map={"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"}),
        "needs code from its own folder, which softpref never runs",
    ),
    "a reward model": (config(architectures=["LlamaForSequenceClassification"]), "is a sequence classifier"),
    "a value of the wrong type": (config(num_attention_heads="x"), "cannot be loaded .*num_attention_heads"),
    "an impossible value": (config(num_attention_heads=0), "cannot be loaded .*; a value in its files is wrong"),
    "weights cut short": (cut("model.safetensors", 9000), r"model\.safetensors: is damaged or cut short"),
    "empty weights": (cut("model.safetensors", 0), r"model\.safetensors: is damaged or cut short"),
    "weights gone": (lambda folder: (folder / "model.safetensors").unlink(), r"has no model\.safetensors"),
    "a pickle": (
        lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
        r"as a pickle \(pytorch_model\.bin\)",
    ),
    "config cut short": (cut("config.json", 30), r"config\.json: is not JSON"),
    "config of another kind": (text("config.json", "[1]"), r"config\.json: is no JSON object"),
    "config without an end": (text("config.json", "[" * 100_000), r"config\.json: is not JSON \(nested too deeply\)"),
    "config gone": (lambda folder: (folder / "config.json").unlink(), r"has no config\.json"),
    "generation config cut short": (cut("generation_config.json", 9), r"generation_config\.json: is not JSON"),
    "an end that is no id": (text("generation_config.json", '{"eos_token_id": "end"}'), "eos_token_id is 'end'"),
    "a shard above the folder": (sharded("../shard.safetensors"), r"names '\.\./shard\.safetensors', .* inside the folder"),
    "a shard elsewhere": (sharded("/shard.safetensors"), r"names '/shard\.safetensors', .* inside the folder"),
    "a shard that is a pickle": (sharded("shard.bin"), r"names 'shard\.bin', which is no safetensors file"),
    "a shard that is gone": (sharded("other.safetensors"), r"names other\.safetensors, which is not there"),
}


@pytest.mark.parametrize("load", [load_model, check_model])
@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_model_is_refused(folder, damage, load):
    change, message = DAMAGED[damage]
    change(folder)
    with pytest.raises(ModelError, match=message) as raised:
        load(str(folder))
    assert str(folder) in str(raised.value)


TOKENIZERS = {
    "cut short": (cut("tokenizer.json", 100), r"tokenizer\.json: is not JSON"),
    "empty": (text("tokenizer.json", "{}"), "tokenizer .* cannot be loaded"),
    "its config cut short": (cut("tokenizer_config.json", 9), r"tokenizer_config\.json: is not JSON"),
    "gone": (lambda f: [(f / name).unlink() for name in ("tokenizer.json", "tokenizer_config.json")], "has no tokenizer"),
    "without vocabulary": (lambda folder: (folder / "tokenizer.json").unlink(), r"lacks tokenizer\.json"),
    "remote code": (
        text("tokenizer_config.json", '{"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.T", null]}}'),
        "needs code from its own folder",
    ),
}


@pytest.mark.parametrize("load", [load_tokenizer, check_model])
@pytest.mark.parametrize("damage", TOKENIZERS)
def test_a_damaged_tokenizer_is_refused(folder, damage, load):
    change, message = TOKENIZERS[damage]
    change(folder)
    with pytest.raises(ModelError, match=message) as raised:
        load(str(folder))
    assert str(folder) in str(raised.value)


def test_no_code_of_the_folder_runs(folder, tmp_path):
    """The config of a family that transformers has may name code too: it is left alone."""
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    config(auto_map={"AutoModelForCausalLM": "own.M", "AutoConfig": "own.C"})(folder)
    load_model(str(folder))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sound_model_of_every_family_is_loaded(family, word_tokenizer, tmp_path, caplog):
    """Every weight is the one that was saved, tied ones too; nothing is said about them."""
    model = copy.deepcopy(tiny(family)).float()
    model.save_pretrained(tmp_path)
    loaded = load_model(str(tmp_path)).state_dict()
    assert loaded.keys() == model.state_dict().keys()
    assert all(torch.equal(loaded[name], value) for name, value in model.state_dict().items())
    assert not caplog.records


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float8_e4m3fn])
def test_large_weights_are_finite_all_the_same(dtype):
    """Their sum is not."""
    large = torch.full((8,), torch.finfo(dtype).max, dtype=torch.float32).to(dtype)
    refuse_not_finite("m", [("large", large), ("ids", torch.arange(3)), ("none", torch.zeros(0))])
    bad = torch.cat([large.float(), torch.tensor([float("nan")])]).to(dtype)
    with pytest.raises(ModelError, match=r"m: NaN or infinite numbers in 1 weight \(bad\)"):
        refuse_not_finite("m", [("large", large), ("bad", bad)])


@pytest.mark.parametrize("name", ["model.layers.0.self_attn.rotary_emb.inv_freq", "model.layers.1.self_attn.attn.masked_bias"])
def test_buffers_of_older_versions_are_no_fault(folder, name, caplog):
    extra(name)(folder)
    load_model(str(folder))
    assert not caplog.records


def test_a_part_that_the_model_does_not_have_is_mentioned(folder, caplog):
    """TRL's value head, say."""
    extra("v_head.summary.weight")(folder)
    load_model(str(folder))
    assert "does not use 1 weight (v_head.summary.weight)" in caplog.text


def test_an_encoder_reads_both_directions(tmp_path):
    settings = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 9}
    transformers.BertLMHeadModel(transformers.BertConfig(**settings, is_decoder=True)).save_pretrained(tmp_path)
    load_model(str(tmp_path))
    config(is_decoder=False)(tmp_path)
    with pytest.raises(ModelError, match="is a bert, which reads texts in both directions"):
        load_model(str(tmp_path))


def test_what_vllm_reads_is_checked(folder):
    with whole_model(str(folder)) as name:
        assert name == str(folder)
    holding(float("nan"))(folder)
    with pytest.raises(ModelError, match="NaN or infinite"), whole_model(str(folder)):
        pass


def test_shards_are_read(folder):
    """The index names what is there."""
    shutil.copy(folder / "model.safetensors", folder / "whole.safetensors")
    names = dict.fromkeys(load_file(folder / "whole.safetensors"), "whole.safetensors")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": names}))
    load_model(str(folder))
    os.truncate(folder / "whole.safetensors", 5000)
    with pytest.raises(ModelError, match=r"whole\.safetensors: is damaged or cut short"):
        load_model(str(folder))


def test_names(tmp_path):
    for name, message in ((tmp_path / "none", "no such folder"), ("./none", "no such folder")):
        with pytest.raises(InputError, match=message):
            load_model(str(name))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file; give the folder"):
        load_tokenizer(str(tmp_path / "file"))


def test_a_new_head_must_be_asked_for(folder):
    with pytest.raises(ModelError, match=r"lacks 1 of .* a LlamaForSequenceClassification \(score\.weight\)"):
        load_classifier(str(folder))
    model = load_classifier(str(folder), new_head=True)
    assert model.score.weight.shape == (1, 16)
    weights(lambda tensors: tensors.pop(LAYER))(folder)
    with pytest.raises(ModelError, match=rf"\({LAYER}\)"):
        load_classifier(str(folder), new_head=True)


def test_a_generation_config_is_the_folder_s_or_the_model_s(folder):
    (folder / "generation_config.json").write_text('{"eos_token_id": [3, 5]}')
    assert load_generation_config(str(folder)).eos_token_id == [3, 5]
    (folder / "generation_config.json").unlink()
    assert load_generation_config(str(folder)).eos_token_id == load_model(str(folder)).config.eos_token_id


def test_nothing_is_loaded_past_these_loaders():
    """A call of ``from_pretrained`` elsewhere would miss every check above."""
    source = Path(softpref.__file__).parent
    called = [
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("from_pretrained", "load_adapter")
    ]
    assert set(called) == {"loading/models.py", "loading/adapters.py"}
