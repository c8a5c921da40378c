"""The reference: what its identity depends on, and that nothing random is left on."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from softpref.data.tokenization import TokenizedPair
from softpref.scoring.identity import model_identity
from softpref.scoring.plain import pair_logps, response_logps
from softpref.scoring.randomness import disable_dropout
from softpref.scoring.reference import frozen_copy, start_of_adapter, starts_at_its_base


def test_a_frozen_copy_stays_when_the_policy_moves(tiny_llama):
    reference = frozen_copy(tiny_llama)
    before = model_identity(tiny_llama)
    with torch.no_grad():
        next(tiny_llama.parameters()).add_(1.0)
    assert reference.identity == before == model_identity(reference.model)
    assert not any(p.requires_grad for p in reference.model.parameters())


def test_the_start_of_an_adapter_is_the_reference(tiny_llama):
    """A fresh one is its base, switched off; a trained one, a bias or a random start is kept as a copy. Both stay."""
    peft = pytest.importorskip("peft")
    pairs = [TokenizedPair([5], [6, 7], [8], 0.7, 1.0, 1)]
    for settings, moved in (({}, False), ({"init_lora_weights": False}, True), ({"init_lora_weights": "pissa"}, True)):
        config = peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], **settings)
        policy = peft.get_peft_model(copy.deepcopy(tiny_llama), config)
        start = pair_logps(policy, pairs)
        reference = start_of_adapter(policy)
        assert starts_at_its_base(policy) is not moved
        trained = [value for value in policy.parameters() if value.requires_grad]
        with torch.no_grad():
            for value in trained:
                value.add_(0.5)
        after = pair_logps(policy, pairs)
        assert abs(float((after.chosen - start.chosen).detach())) > 1e-4
        scores = reference.score(pair_logps, pairs)
        torch.testing.assert_close(scores.chosen, start.chosen.detach())
        torch.testing.assert_close(scores.rejected, start.rejected.detach())
        assert [value for value in policy.parameters() if value.requires_grad] == trained
        torch.testing.assert_close(pair_logps(policy, pairs).chosen, after.chosen)


def test_a_policy_that_is_the_reference_for_a_while_keeps_its_gradients(tiny_llama):
    """Scored between the policy's forward and its backward pass, as a training step does."""
    peft = pytest.importorskip("peft")
    pairs = [TokenizedPair([5], [6, 7], [8], 0.7, 1.0, 1)]
    config = peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    policy = peft.get_peft_model(tiny_llama, config)
    reference = start_of_adapter(policy)
    trained = [value for value in policy.parameters() if value.requires_grad]
    with torch.no_grad():
        for value in trained:
            value.mul_(1.5)
    alone = torch.autograd.grad(pair_logps(policy, pairs).chosen.sum(), trained)
    scores = pair_logps(policy, pairs)
    reference.score(pair_logps, pairs)
    for ours, expected in zip(torch.autograd.grad(scores.chosen.sum(), trained), alone, strict=True):
        assert torch.equal(ours, expected)


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
