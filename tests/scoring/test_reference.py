"""The reference: what its identity depends on, and that nothing random is left on."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from softpref.scoring.plain import pair_logps, response_logps
from softpref.scoring.reference import disable_dropout, frozen_copy, model_identity, without_adapter


def test_identity_is_of_the_weights_and_of_nothing_else(tiny_llama):
    twin = copy.deepcopy(tiny_llama).train()
    assert model_identity(twin) == model_identity(tiny_llama)
    with torch.no_grad():
        next(twin.parameters())[0, 0] += 1e-6
    assert model_identity(twin) != model_identity(tiny_llama)


def test_identity_knows_the_dtype(tiny_llama):
    assert model_identity(copy.deepcopy(tiny_llama).bfloat16()) != model_identity(tiny_llama)


def test_a_frozen_copy_stays_when_the_policy_moves(tiny_llama):
    reference = frozen_copy(tiny_llama)
    before = model_identity(tiny_llama)
    with torch.no_grad():
        next(tiny_llama.parameters()).add_(1.0)
    assert reference.identity == before == model_identity(reference.model)
    assert not any(p.requires_grad for p in reference.model.parameters())


def test_an_adapter_is_not_part_of_the_identity(tiny_llama):
    peft = pytest.importorskip("peft")
    bare = model_identity(tiny_llama)
    wrapped = peft.get_peft_model(tiny_llama, peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"]))
    assert model_identity(wrapped) == bare
    with torch.no_grad():
        for name, value in wrapped.named_parameters():
            if ".lora_B." in name:
                value.add_(1.0)
    assert model_identity(wrapped) == bare


def test_the_reference_of_an_adapter_is_its_base(tiny_llama):
    peft = pytest.importorskip("peft")
    from softpref.data.tokenization import TokenizedPair

    pairs = [TokenizedPair([5], [6, 7], [8], 0.7, 1.0, 1)]
    base = frozen_copy(tiny_llama).score(pair_logps, pairs)
    wrapped = peft.get_peft_model(tiny_llama, peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"]))
    with torch.no_grad():
        for name, value in wrapped.named_parameters():
            if ".lora_B." in name:
                value.add_(0.5)
    moved = response_logps(wrapped, [([5], [6, 7])])[0].item()
    assert abs(moved - base.chosen.item()) > 1e-4
    without = without_adapter(wrapped).score(pair_logps, pairs)
    torch.testing.assert_close(without.chosen, base.chosen)
    torch.testing.assert_close(without.rejected, base.rejected)


MODELS = {
    "gpt2, module and functional dropout": lambda: GPT2LMHeadModel(
        GPT2Config(
            vocab_size=16,
            n_embd=8,
            n_layer=1,
            n_head=2,
            n_positions=16,
            attn_pdrop=0.5,
            resid_pdrop=0.5,
            embd_pdrop=0.5,
        )
    ),
    "llama, functional attention dropout": lambda: LlamaForCausalLM(
        LlamaConfig(
            vocab_size=16,
            hidden_size=8,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            attention_dropout=0.5,
        )
    ),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
def test_dropout_is_off_in_training_mode(make):
    """Two forwards in training mode differ with dropout, and are equal without."""
    torch.manual_seed(0)
    model = make().train()
    rows = [([1, 2, 3], [4, 5, 6, 7])]
    assert response_logps(model, rows)[0] != response_logps(model, rows)[0]
    disable_dropout(model)
    assert response_logps(model, rows)[0] == response_logps(model, rows)[0]
