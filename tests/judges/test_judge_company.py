"""What a judge on this machine says of a row does not depend on the rows that it is computed with, or came before."""

from __future__ import annotations

import copy
import random

import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    Phi3Config,
    Phi3ForCausalLM,
    Phi3ForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from softpref.judges.checkpoints import position_limit
from softpref.judges.next_token import NextToken
from softpref.judges.reward_model import RewardModelJudge
from tiny_models import SHAPE, randomised

LIMIT = 16
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 100.0, "factor": 4.0}
LONG = {
    "rope_type": "longrope",
    "rope_theta": 100.0,
    "short_factor": [1.0, 1.1],
    "long_factor": [2.0, 5.0],
    "original_max_position_embeddings": LIMIT,
}
PHI3 = {**SHAPE, "max_position_embeddings": 64, "original_max_position_embeddings": LIMIT, "rope_parameters": LONG}
LLAMA = {**SHAPE, "max_position_embeddings": LIMIT, "rope_parameters": DYNAMIC}
LANGUAGE = {
    "long rope": lambda: Phi3ForCausalLM(Phi3Config(**PHI3)),
    "dynamic rope": lambda: LlamaForCausalLM(LlamaConfig(**LLAMA)),
}
REWARD = {
    "long rope": lambda: Phi3ForSequenceClassification(Phi3Config(**PHI3, num_labels=1)),
    "dynamic rope": lambda: LlamaForSequenceClassification(LlamaConfig(**LLAMA, num_labels=1)),
}
# below the limit, at it, beyond it
LENGTHS = [5, 30, 16, 17, 9, 30, 40, 16]


def rows(lengths=LENGTHS):
    rng = random.Random(0)
    return [rng.choices(range(2, 29), k=length) for length in lengths]


@torch.no_grad()
def alone(model, row):
    return copy.deepcopy(model)(input_ids=torch.tensor([row])).logits[0]


@pytest.mark.parametrize("kind", LANGUAGE)
def test_the_next_token_after_rows_of_all_lengths(kind):
    model = randomised(LANGUAGE[kind]().double())
    right = torch.stack([alone(model, row)[-1].log_softmax(-1) for row in rows()])
    forwards = NextToken(model, list(range(29)))
    for _ in range(2):
        torch.testing.assert_close(forwards.of_rows(rows()), right, rtol=0, atol=1e-5)
    assert forwards.pads


@pytest.mark.parametrize("kind", LANGUAGE)
def test_the_next_token_of_pairs_that_begin_alike(kind):
    """Short pairs share what they begin with; a batch with a long row takes the plain way, and short ones share again."""
    model = randomised(LANGUAGE[kind]().double())
    forwards, (head, *rest) = NextToken(model, list(range(29))), rows([4, 3, 3, 30, 20, 4, 5])
    pairs = [(head + rest[i] + rest[i + 1], head + rest[i + 1] + rest[i]) for i in (0, 2, 4)]
    for batch in (pairs[:1], pairs, pairs[2:], pairs[:1]):
        right = torch.stack([alone(model, row)[-1].log_softmax(-1) for pair in batch for row in pair])
        torch.testing.assert_close(forwards.of_pairs(batch), right, rtol=0, atol=1e-5)
    assert forwards.shares


@pytest.mark.parametrize("kind", REWARD)
def test_a_reward_model_s_scores(kind, word_tokenizer, monkeypatch):
    model = randomised(REWARD[kind]().double())
    judge = RewardModelJudge(model, word_tokenizer, "tiny", scale=1.0)
    texts = {str(i): row for i, row in enumerate(rows())}
    monkeypatch.setattr(RewardModelJudge, "encoded", lambda _self, _prompt, response: {"input_ids": texts[response]})
    right, scores = [alone(model, row).item() for row in texts.values()], {}
    judge._score((("", name) for name in texts), scores)
    assert [scores[f'["", "{name}"]'] for name in texts] == pytest.approx(right, abs=1e-5)


def test_a_reward_model_is_trained_on_the_scores_that_rows_have_alone(word_tokenizer, tmp_path):
    from transformers import TrainingArguments

    from softpref.training.reward_model import RewardModelTrainer

    config = LlamaConfig(**{**LLAMA, "max_position_embeddings": 64}, num_labels=1)
    model = randomised(LlamaForSequenceClassification(config).double())
    pairs = [{"prompt": "make tea", "chosen": "boil the water", "rejected": "wait", "soft_label": 0.9}]
    arguments = TrainingArguments(output_dir=str(tmp_path), report_to="none", use_cpu=True)
    trainer = RewardModelTrainer(model, arguments, pairs, word_tokenizer)
    model.model.rotary_emb.original_max_seq_len = model.model.rotary_emb.max_seq_len_cached = LIMIT
    model.config.max_position_embeddings = LIMIT
    # first, as a dynamic rope remembers, and copies do too
    right = [alone(model, row).item() for row in rows()]
    found = trainer._rewards(model, [{"input_ids": row} for row in rows()])
    assert found.tolist() == pytest.approx(right, abs=1e-4)
    assert found.requires_grad


def test_a_judge_reads_no_more_than_its_table_has_positions_for():
    """RoBERTa's positions begin behind those of its padding: two of 24 are taken."""
    model = RobertaForSequenceClassification(RobertaConfig(**{**SHAPE, "pad_token_id": 1, "eos_token_id": 2}, num_labels=1))
    assert position_limit(model) == SHAPE["max_position_embeddings"] - 2
    assert position_limit(LANGUAGE["dynamic rope"]()) == LIMIT
