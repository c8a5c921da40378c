"""Who a model is: whatever changes what it computes, and nothing else."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import (
    AdaLoraConfig,
    IA3Config,
    LNTuningConfig,
    LoHaConfig,
    LoraConfig,
    OFTConfig,
    PromptTuningConfig,
    VeraConfig,
    get_peft_model,
)
from transformers import GPT2Config, GPT2LMHeadModel

from softpref.scoring.adapter_tensors import adapter_is_idle, base_is_frozen, split_state
from softpref.scoring.identity import model_identity
from softpref.scoring.randomness import disable_dropout

# what PEFT says of kinds of adapters, whatever is done with them
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{start}:UserWarning")
    for start in ("Model has `tie_word_embeddings", "Careful, disabling adapter layers", "Unsupported layer type")
]


def lora(**settings):
    return LoraConfig(**{"task_type": "CAUSAL_LM", "target_modules": ["q_proj", "v_proj"], "r": 2, **settings})


def trained(model, config, seed=0):
    """An adapter that has moved away from where it began."""
    torch.manual_seed(seed)
    wrapped = get_peft_model(copy.deepcopy(model), config)
    with torch.no_grad():
        for value in wrapped.parameters():
            if value.requires_grad:
                value.add_(0.1 * torch.randn(value.shape))
    return wrapped


def test_weights_dtype_and_configuration_count_and_nothing_else_does(tiny_llama):
    identity = model_identity(tiny_llama)
    twin = copy.deepcopy(tiny_llama).train()
    twin.config.use_cache = not twin.config.use_cache
    twin.config._name_or_path = "elsewhere"
    disable_dropout(twin)
    assert model_identity(twin) == identity
    assert model_identity(copy.deepcopy(twin).bfloat16()) != identity
    for change in (lambda: setattr(twin.config, "rms_norm_eps", 1e-3), lambda: next(twin.parameters())[0, 0].add_(1e-6)):
        before = model_identity(twin)
        with torch.no_grad():
            change()
        assert model_identity(twin) != before


def test_quantisation_counts(tiny_llama):
    identity = model_identity(tiny_llama)
    tiny_llama.config.quantization_config = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    assert model_identity(tiny_llama) != identity


FRESH = {
    "lora": lora(),
    "lora on embeddings and head": lora(target_modules=["embed_tokens", "lm_head", "q_proj"]),
    "rslora": lora(use_rslora=True),
    "bias": lora(bias="all"),
    "modules_to_save": lora(modules_to_save=["lm_head", "embed_tokens"]),
    "trainable tokens": lora(trainable_token_indices=[3, 4]),
    "gaussian": lora(init_lora_weights="gaussian"),
    "ia3": IA3Config(task_type="CAUSAL_LM", target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]),
    "loha": LoHaConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], r=2),
    "oft": OFTConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], oft_block_size=4),
    "vera": VeraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "o_proj"], r=2),
    "adalora": AdaLoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], init_r=2, total_step=10),
    "layer norms": LNTuningConfig(task_type="CAUSAL_LM", target_modules=["input_layernorm"]),
}


@pytest.mark.parametrize("config", FRESH.values(), ids=FRESH.keys())
def test_an_adapter_that_changes_nothing_is_its_base_until_it_is_trained(tiny_llama, config):
    config = copy.deepcopy(config)
    identity = model_identity(tiny_llama)
    fresh = get_peft_model(copy.deepcopy(tiny_llama), config)
    base, _ = split_state(fresh)
    assert base.keys() == tiny_llama.state_dict().keys()
    assert all(torch.equal(base[name], value) for name, value in tiny_llama.state_dict().items())
    assert adapter_is_idle(fresh)
    assert model_identity(fresh) == identity
    moved = trained(tiny_llama, config)
    assert not adapter_is_idle(moved)
    assert model_identity(moved) != identity
    with moved.disable_adapter():
        assert adapter_is_idle(moved)
        if base_is_frozen(moved):
            assert model_identity(moved) == identity


def test_one_changed_id_of_an_embedding_is_seen(tiny_llama):
    """The other ids compute what the base computes."""
    wrapped = get_peft_model(tiny_llama, lora(trainable_token_indices=[3, 4]))
    with torch.no_grad():
        next(value for name, value in wrapped.named_parameters() if "trainable_tokens_delta" in name)[1, 0] += 1e-3
    assert not adapter_is_idle(wrapped)


@pytest.mark.parametrize("init", ["pissa", "olora", False])
def test_a_start_away_from_the_base_is_another_model(tiny_llama, init):
    identity = model_identity(tiny_llama)
    torch.manual_seed(0)
    wrapped = get_peft_model(tiny_llama, lora(init_lora_weights=init))
    assert not adapter_is_idle(wrapped)
    assert model_identity(wrapped) != identity


def test_a_learned_prompt_is_another_model(tiny_llama):
    identity = model_identity(tiny_llama)
    wrapped = get_peft_model(tiny_llama, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))
    assert model_identity(wrapped) != identity


def test_scaling_is_part_of_what_an_adapter_computes(tiny_llama):
    """The same adapter weights with another alpha, or rsLoRA, or a scaling that was set by hand."""
    identities = [model_identity(trained(tiny_llama, lora(**one))) for one in ({}, {"lora_alpha": 16}, {"use_rslora": True})]
    by_hand = trained(tiny_llama, lora())
    next(module for module in by_hand.modules() if hasattr(module, "set_scale")).set_scale("default", 0.5)
    assert len({*identities, model_identity(by_hand)}) == 4


def test_what_an_adapter_does_not_compute_is_no_part_of_it(tiny_llama):
    first = model_identity(trained(tiny_llama, lora()))
    again = trained(tiny_llama, lora(lora_dropout=0.5))
    again.peft_config["default"].base_model_name_or_path = "elsewhere"
    assert model_identity(again) == first


def test_an_adapter_that_is_not_active_does_not_count(tiny_llama):
    wrapped = trained(tiny_llama, lora())
    identity = model_identity(wrapped)
    wrapped.add_adapter("other", lora(init_lora_weights=False))
    assert model_identity(wrapped) == identity
    wrapped.set_adapter("other")
    assert model_identity(wrapped) != identity


def test_a_trained_bias_of_the_base_is_seen():
    """With the adapter switched off it would still be there."""
    model = GPT2LMHeadModel(GPT2Config(vocab_size=16, n_embd=8, n_layer=1, n_head=2, n_positions=16))
    settings = {"task_type": "CAUSAL_LM", "target_modules": ["c_attn"], "r": 2, "fan_in_fan_out": True}
    for bias, frozen in (("none", True), ("all", False)):
        wrapped = get_peft_model(copy.deepcopy(model), LoraConfig(**settings, bias=bias))
        assert adapter_is_idle(wrapped)
        assert base_is_frozen(wrapped) is frozen
