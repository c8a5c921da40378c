"""Policy and reference are scored alike: margins at a learning rate of 0 are 0, and those of two models are those by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, Phi3Config, Phi3ForCausalLM

from softpref.errors import InputError
from softpref.scoring.plain import lone_logps, pair_logps
from tiny_models import SHAPE, randomised

LIMIT = 24
FACTORS = {"short_factor": [1.0, 1.1], "long_factor": [2.0, 5.0], "original_max_position_embeddings": LIMIT}


def phi3(vocabulary):
    shape = {**SHAPE, "vocab_size": vocabulary, "max_position_embeddings": 64, "original_max_position_embeddings": LIMIT}
    rope = {"rope_type": "longrope", "rope_theta": 100.0, **FACTORS}
    return randomised(Phi3ForCausalLM(Phi3Config(**shape, rope_parameters=rope)))


def windowed(vocabulary):
    from transformers import PhimoeConfig, PhimoeForCausalLM

    shape = {**SHAPE, "vocab_size": vocabulary, "max_position_embeddings": 64, "sliding_window": LIMIT}
    return randomised(PhimoeForCausalLM(PhimoeConfig(**shape, num_local_experts=4, num_experts_per_tok=2)))


@pytest.fixture
def mixed(rows):
    """The eight rows, and among them one of which a side passes the limit, and one of which both do."""
    long = [{**rows[0], "chosen": "boil the water . " * 7}, {**rows[1], "prompt": "make tea " + "for two " * 12 + ": "}]
    return [*rows[:4], long[0], *rows[4:], long[1]]


@pytest.mark.parametrize("once", [True, False])
def test_a_rope_that_long_rows_change_leaves_margins_at_zero(make_trainer, word_tokenizer, mixed, once):
    trainer = make_trainer(
        data=mixed,
        model=phi3(len(word_tokenizer)),
        learning_rate=0.0,
        per_device_train_batch_size=2,
        max_steps=5,
        precompute_ref_log_probs=once,
    )
    trainer.train()
    margins = [line["margin"] for line in trainer.state.log_history if "margin" in line]
    assert len(margins) == 5
    assert margins == pytest.approx([0.0] * 5, abs=1e-4)
    assert trainer.step_zero_difference < 1e-4
    assert trainer.checked.packed


@pytest.mark.parametrize("make", [phi3, windowed], ids=["long rope", "window"])
@pytest.mark.parametrize("long_first", [False, True])
def test_an_evaluation_is_that_of_every_row_alone(make_trainer, word_tokenizer, mixed, make, long_first):
    policy = make(len(word_tokenizer))
    reference = copy.deepcopy(policy)
    with torch.no_grad():
        for value in policy.parameters():
            value.add_(0.1 * torch.randn_like(value, dtype=torch.float32))
    trainer = make_trainer(
        data=sorted(mixed, key=lambda row: len(row["prompt"] + row["chosen"]), reverse=long_first),
        model=policy,
        ref_model=reference,
        eval_dataset=mixed,
        per_device_eval_batch_size=2,
    )
    rows = list(trainer.eval_dataset)
    with torch.no_grad():
        ours, theirs = (lone_logps(model.eval(), rows) for model in (policy, reference))
    margin = (ours.chosen - theirs.chosen) - (ours.rejected - theirs.rejected)
    weights = torch.tensor([row.weight for row in rows])
    assert trainer.evaluate()["eval_margin"] == pytest.approx(((margin * weights).sum() / weights.sum()).item(), abs=1e-4)
    assert margin.abs().max() > 0.1


def test_rows_beyond_learned_positions_are_dropped_and_counted(make_trainer, word_tokenizer, rows):
    shape = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 12, "eos_token_id": 0, "bos_token_id": None}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(word_tokenizer), **shape))
    trainer = make_trainer(model=model, data=[*rows, {**rows[0], "chosen": "boil the water . " * 3}])
    assert max(len(row.prompt) + len(row.chosen) for row in trainer.train_dataset) <= 12
    assert len(trainer.train_dataset) < 9
    trainer.train()


@pytest.mark.parametrize("kind", ["PromptTuningConfig", "PrefixTuningConfig", "PromptEncoderConfig"])
def test_learned_prompts_are_trained_on_the_plain_path(make_trainer, word_tokenizer, rows, kind):
    """The context is shorter by the learned tokens, and a row's score is that of the adapter's own forward, row by row."""
    peft = pytest.importorskip("peft")
    config = getattr(peft, kind)(num_virtual_tokens=3, task_type="CAUSAL_LM")
    base = randomised(LlamaForCausalLM(LlamaConfig(**{**SHAPE, "vocab_size": len(word_tokenizer)})))
    trainer = make_trainer(model=base, peft_config=config, max_steps=2)
    assert max(len(row.prompt) + len(row.chosen) for row in trainer.train_dataset) <= SHAPE["max_position_embeddings"] - 3
    trainer.train()
    assert trainer.checked.scorer is pair_logps
    assert "puts learned tokens before every row" in trainer.checked.notice
    row = trainer.train_dataset[0]
    with torch.no_grad():
        ids = torch.tensor([row.prompt + row.chosen])
        logits = trainer.model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, -ids.shape[1] :]
        right = logits.log_softmax(-1)[:-1].gather(1, ids[0, 1:, None])[len(row.prompt) - 1 :].sum()
        found = trainer.checked.scorer(trainer.model, list(trainer.train_dataset)[:3]).chosen[0]
    assert found.item() == pytest.approx(right.item(), abs=1e-4)


def test_no_row_left_is_an_error_and_no_traceback(make_trainer, word_tokenizer, rows):
    shape = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 4, "eos_token_id": 0, "bos_token_id": None}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(word_tokenizer), **shape))
    with pytest.raises(InputError):
        make_trainer(model=model)
