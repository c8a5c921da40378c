"""What models and tokenizers rest on in transformers is as it was when it was read. A failure names what changed."""

from __future__ import annotations

import pytest
import torch
import transformers
from packaging.version import Version
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from signatures import assert_takes, named
from softpref.data.model_lengths import reset_ropes
from softpref.loading.transformers_seam import (
    CONTROL_TOKENS,
    DYNAMIC_ROPE,
    LOADING_INFO,
    PASSED,
    PASSED_SINCE_5_23,
    READ,
    attention_of,
    exchanges_attention,
)

SINCE_5_23 = pytest.mark.skipif(Version(transformers.__version__) < Version("5.23"), reason="transformers is older than 5.23")


@pytest.mark.parametrize(("owner", "attribute"), [(owner, name) for owner, names in READ.items() for name in names])
def test_an_attribute_is_there(owner, attribute):
    kind = named(f"transformers.{owner}")
    assert hasattr(kind if owner == "PreTrainedModel" else kind(), attribute), f"{owner} has no {attribute} any more"


@pytest.mark.parametrize("name", PASSED)
def test_a_method_takes_what_it_is_passed(name):
    assert_takes(f"transformers.{name}", PASSED[name])


@SINCE_5_23
@pytest.mark.parametrize("name", PASSED_SINCE_5_23)
def test_a_method_takes_what_it_is_passed_since_5_23(name, word_tokenizer):
    assert_takes(f"transformers.{name}", PASSED_SINCE_5_23[name])
    assert hasattr(word_tokenizer, CONTROL_TOKENS)


def test_loading_says_what_was_missing(tiny_llama, tmp_path):
    tiny_llama.save_pretrained(tmp_path)
    _, loading = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert set(LOADING_INFO) <= set(loading)


def test_a_dynamic_rope_keeps_its_beginning():
    """After a row of 40 tokens, of which 16 are the model's own, the rope is another; put back, it is the first again."""
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    shape = {"vocab_size": 20, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(**shape, max_position_embeddings=16, rope_parameters=rope))
    module = model.model.rotary_emb
    assert not [name for name in DYNAMIC_ROPE if not hasattr(module, name)]
    first = module.inv_freq.clone()
    with torch.no_grad():
        model(input_ids=torch.ones(1, 40, dtype=torch.long))
    assert not torch.equal(module.inv_freq, first)
    reset_ropes(model)
    assert torch.equal(module.inv_freq, first)


def test_attention_is_read_as_it_was_set(tiny_llama):
    for name in ("eager", "sdpa"):
        tiny_llama.set_attn_implementation(name)
        assert attention_of(tiny_llama) == name
    assert exchanges_attention(tiny_llama)
    assert not exchanges_attention(torch.nn.Linear(1, 1))
