"""The router's loss of a mixture of experts: TRL's number for a batch, a mean over batches, and its gradient in the update."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM

from softpref.errors import OptionError
from softpref.scoring.plain import padded
from softpref.scoring.shared_prefix import PackedScorer
from tiny_models import SHAPE, alone, pairs_of, randomised

COEFFICIENT = 10.0


def experts(vocabulary=SHAPE["vocab_size"], **settings):
    config = Qwen3MoeConfig(
        **{**SHAPE, "vocab_size": vocabulary, "max_position_embeddings": 64, "eos_token_id": 1},
        head_dim=4,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=8,
        **{"output_router_logits": True, "router_aux_loss_coef": COEFFICIENT, **settings},
    )
    return randomised(Qwen3MoeForCausalLM(config))


@pytest.fixture
def model(word_tokenizer):
    return experts(len(word_tokenizer))


def by_hand(model, pairs):
    """E · Σ f·P over the tokens of all rows, prompts twice, from the routers' own logits of unpadded rows."""
    shares, probabilities, tokens = 0.0, 0.0, 0
    for pair in pairs:
        for side in (pair.chosen, pair.rejected):
            ids = padded([(pair.prompt, side)])[0]
            for logits in model.model(input_ids=ids, output_router_logits=True).router_logits:
                routed = logits.double().softmax(-1)
                shares = shares + torch.zeros_like(routed).scatter(1, routed.topk(2).indices, 1.0).sum(0)
                probabilities = probabilities + routed.sum(0)
                tokens += len(routed)
    return 4 * (shares / tokens * probabilities / tokens).sum()


def first_step(make_trainer, model, **settings):
    trainer = make_trainer(model=copy.deepcopy(model), loss_type="dpo", label_treatment="hard", ties="keep", **settings)
    trainer.train()
    return trainer, trainer.state.log_history[0]


def test_a_step_has_the_loss_by_hand_and_its_gradient(make_trainer, model):
    """At step 0 the pairs' loss is log 2, so that all else is the router's; the step of SGD is the gradient of both."""
    quiet = copy.deepcopy(model)
    quiet.config.output_router_logits = False
    steps = {}
    for name, start in (("with", model), ("without", quiet)):
        trainer, log = first_step(make_trainer, start, optim="sgd", learning_rate=1e-2, max_grad_norm=0.0, weight_decay=0.0)
        after = dict(trainer.model.named_parameters())
        steps[name] = {key: after[key].detach() - value.detach() for key, value in start.named_parameters()}
        if name == "without":
            assert "aux_loss" not in log
            assert trainer.checked.packed
            continue
        assert not trainer.checked.packed
        rows = list(trainer.train_dataset)
        right = by_hand(model, rows)
        assert log["aux_loss"] == pytest.approx(right.item(), rel=1e-5)
        assert log["loss"] == pytest.approx(math.log(2) + COEFFICIENT * right.item(), rel=1e-5)
    slopes = torch.autograd.grad(COEFFICIENT * right, list(model.parameters()), allow_unused=True)
    assert max(slope.abs().max() for slope in slopes if slope is not None) > 1e-3
    for (key, _), slope in zip(model.named_parameters(), slopes, strict=True):
        expected = steps["without"][key] - 1e-2 * (0 if slope is None else slope)
        torch.testing.assert_close(steps["with"][key], expected, rtol=1e-4, atol=1e-6, msg=key)


def test_over_an_update_it_is_the_mean_of_its_batches(make_trainer, model):
    trainer, log = first_step(make_trainer, model, per_device_train_batch_size=2, gradient_accumulation_steps=4)
    seen = [list(batch) for batch in trainer.get_train_dataloader()]
    assert sorted(map(len, seen)) == [2, 2, 2, 2]
    whole = by_hand(model, list(trainer.train_dataset))
    assert log["loss"] == pytest.approx(math.log(2) + COEFFICIENT * log["aux_loss"], rel=1e-5)
    assert abs(log["aux_loss"] - whole.item()) > 1e-6


# TRL 1.16 itself uses transformers' old names for activation checkpointing
@pytest.mark.filterwarnings("ignore:`\\w*gradient_checkpointing\\w*` is deprecated:FutureWarning")
def test_it_is_trl_s(make_trainer, model, rows, word_tokenizer, tmp_path):
    trl = pytest.importorskip("trl")
    from datasets import Dataset

    arguments = trl.DPOConfig(
        output_dir=str(tmp_path / "trl"),
        use_cpu=True,
        bf16=False,
        report_to="none",
        max_steps=1,
        logging_steps=1,
        per_device_train_batch_size=8,
        beta=0.3,
        router_aux_loss_coef=COEFFICIENT,
        save_strategy="no",
        disable_tqdm=True,
        gradient_checkpointing=False,
    )
    bare = [{key: row[key] + (" " if key == "prompt" else "") for key in ("prompt", "chosen", "rejected")} for row in rows]
    theirs = trl.DPOTrainer(
        copy.deepcopy(model),
        ref_model=copy.deepcopy(model),
        args=arguments,
        train_dataset=Dataset.from_list(bare),
        processing_class=word_tokenizer,
    )
    theirs.train()
    trainer, log = first_step(make_trainer, model, data=[{**row, "soft_label": 0.9} for row in bare])
    assert len(trainer.train_dataset) == 8
    for name in ("loss", "aux_loss"):
        assert log[name] == pytest.approx(theirs.state.log_history[0][name], rel=1e-5)


def test_packed_rows_score_alike_while_the_configuration_asks_for_the_loss():
    """Outside training the prompt is shared, and the router's loss, of a mask that is not the row's, is not computed."""
    model, pairs = experts(), pairs_of([(5, 4, 3), (2, 1, 6)])
    ours, right = PackedScorer()(model, pairs), alone(model, pairs)
    torch.testing.assert_close(ours.chosen, right.chosen.float(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("setting", [{"max_tokens_per_batch": 64}, {"prefix_sharing": "on"}])
def test_what_would_have_no_effect_is_refused(make_trainer, model, setting):
    with pytest.raises(OptionError, match=f"router's loss.*leave {next(iter(setting))}"):
        make_trainer(model=model, **setting)


def test_a_model_without_such_a_loss_is_refused(make_trainer, word_tokenizer):
    config = LlamaConfig(**{**SHAPE, "vocab_size": len(word_tokenizer), "max_position_embeddings": 64})
    config.output_router_logits, config.router_aux_loss_coef = True, 0.1
    with pytest.raises(OptionError, match="LlamaForCausalLM computes none: set output_router_logits to False"):
        make_trainer(model=LlamaForCausalLM(config)).train()
