"""The reward model as judge: scores as one forward each gives them, Bradley–Terry by hand, and each response scored once."""

from __future__ import annotations

import json
import math
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from tokenizers.processors import TemplateProcessing

from softpref.core.soft_labels import from_scores
from softpref.demo.small_model import save, small_llama, word_tokenizer
from softpref.errors import InputError, OptionError
from softpref.judges.base import Comparison, Question
from softpref.judges.both_orders import judge_comparisons, orders
from softpref.judges.reward_model import RewardModelJudge, fit_scale, load_reward_model_judge
from softpref.judges.store import JudgementStore

WORDS = [f"w{i}" for i in range(30)]
TOKENIZER = word_tokenizer([*WORDS, "user", "assistant", ":", "[SEP]"])
PAD, END = TOKENIZER.pad_token_id, TOKENIZER.eos_token_id
TEMPLATE = "{% for m in messages %}{{ m.role }} : {{ m.content }} {% endfor %}"


def classifier(seed=0, **changes):
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        **{
            "vocab_size": len(TOKENIZER),
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": 64,
            "pad_token_id": PAD,
            "bos_token_id": None,
            "eos_token_id": END,
            "num_labels": 1,
            "initializer_range": 0.3,
            **changes,
        }
    )
    return transformers.LlamaForSequenceClassification(config)


def judge_of(model, tokenizer=TOKENIZER, scale=2.0, batch_size=4):
    return RewardModelJudge(model, tokenizer, "test", scale, batch_size)


def words(rng, most):
    return " ".join(rng.choices(WORDS, k=rng.randint(1, most)))


def questions(n=10, seed=0):
    rng = random.Random(seed)
    compared = [Comparison(str(i), words(rng, 20), " " + words(rng, 9), " " + words(rng, 9)) for i in range(n)]
    return [question for one in compared for question in orders(one)]


@torch.no_grad()
def naive(model, ids):
    return float(model.eval()(input_ids=torch.tensor([ids])).logits[0, 0])


class Table(torch.nn.Module):
    """Scores by the response's first word (a row is ``prompt word, response word, <end>``); counts the rows it is asked for."""

    def __init__(self, scores, limit=64):
        super().__init__()
        text = SimpleNamespace(pad_token_id=PAD, max_position_embeddings=limit)
        self.config = SimpleNamespace(num_labels=1, get_text_config=lambda: text)
        self.device, self.dtype = torch.device("cpu"), torch.float32
        self.scores = {TOKENIZER.convert_tokens_to_ids(word): score for word, score in scores.items()}
        self.rows = []

    def forward(self, input_ids, attention_mask):
        self.rows += [row[mask.bool()].tolist() for row, mask in zip(input_ids, attention_mask, strict=True)]
        return SimpleNamespace(logits=torch.tensor([[self.scores[int(row[1])]] for row in input_ids]))


# ------------------------------------------------------------------------------------------------------ values


@pytest.mark.parametrize("batch_size", [1, 4])
def test_scores_equal_one_forward_per_response(batch_size):
    """Text without a template: prompt and response one after the other, then eos. p = s(2·(r1 − r2)), mass 1."""
    model, asked = classifier(), questions()
    answers = {answer.question.key: answer for answer in judge_of(model, batch_size=batch_size).answer(asked)}
    assert len(answers) == len(asked)
    for question in asked:
        scores = [
            naive(model, [*TOKENIZER(question.prompt + side)["input_ids"], END]) for side in (question.first, question.second)
        ]
        answer = answers[question.key]
        assert answer.p_first == pytest.approx(float(from_scores(*scores, scale=2.0)), abs=1e-6)
        assert json.loads(answer.raw)["scores"] == pytest.approx(scores, abs=1e-5)
        assert answer.mass == 1.0


def test_through_the_chat_template():
    """Strings become a user's and an assistant's message, message lists are taken as they are."""
    tokenizer, model = word_tokenizer([*WORDS, "user", "assistant", ":"]), classifier()
    tokenizer.chat_template = TEMPLATE
    expected = [naive(model, tokenizer(f"user : w1 w2 assistant : {side} ")["input_ids"]) for side in ("w3", "w4 w5")]
    asked = [
        Question("w1 w2", "w3", "w4 w5"),
        Question(
            [{"role": "user", "content": "w1 w2"}],
            [{"role": "assistant", "content": "w3"}],
            [{"role": "assistant", "content": "w4 w5"}],
        ),
    ]
    for answer in judge_of(model, tokenizer).answer(asked):
        assert json.loads(answer.raw)["scores"] == pytest.approx(expected, abs=1e-5)


def test_two_segments_where_the_tokenizer_has_a_separator():
    """As BERT reads them: w1 w2 [SEP] w3 w4 [SEP], the response's tokens of type 1."""
    tokenizer = word_tokenizer([*WORDS, "user", "assistant", ":", "[SEP]"])
    tokenizer.add_special_tokens({"sep_token": "[SEP]"})
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="$A [SEP]", pair="$A [SEP] $B:1 [SEP]:1", special_tokens=[("[SEP]", tokenizer.sep_token_id)]
    )
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_labels=1,
            initializer_range=0.3,
        )
    ).eval()
    [answer] = judge_of(model, tokenizer).answer([Question("w1 w2", "w3 w4", "w5")])
    with torch.no_grad():
        expected = [
            float(
                model(torch.tensor([TOKENIZER.convert_tokens_to_ids(text.split())]), token_type_ids=torch.tensor([types])).logits
            )
            for text, types in (
                ("w1 w2 [SEP] w3 w4 [SEP]", [0, 0, 0, 1, 1, 1]),
                ("w1 w2 [SEP] w5 [SEP]", [0, 0, 0, 1, 1]),
            )
        ]
    assert json.loads(answer.raw)["scores"] == pytest.approx(expected, abs=1e-5)


def test_bradley_terry_by_hand(tmp_path):
    """Scores 1.5 and 1 at scale 2: s(1) = 0.7311 in one order, 1 − s(1) in the other; no position effect at all."""
    model = Table({"w2": 1.5, "w3": 1.0})
    with JudgementStore(tmp_path / "store.sqlite") as store:
        [found] = judge_comparisons(judge_of(model), [Comparison("0", "w1 ", "w2", "w3")], store)
    assert found.p == pytest.approx(0.7310585786)
    assert (found.first_shown, found.second_shown) == (pytest.approx(0.7310585786), pytest.approx(1 - 0.7310585786))
    assert found.position_bias == pytest.approx(0, abs=1e-15)


def test_far_apart_scores_stay_finite():
    """s(2000) rounds to 1; the log-probs are 0 and −2000."""
    [answer] = judge_of(Table({"w2": 1000.0, "w3": 0.0})).answer([Question("w1 ", "w2", "w3")])
    assert (answer.first_logp, answer.second_logp, answer.p_first) == (0.0, -2000.0, 1.0)


def test_each_response_is_scored_once():
    """Three responses of one prompt in three comparisons, both orders: 12 mentions, 3 scores. Another prompt is another."""
    model = Table({"w2": 1.0, "w3": 2.0, "w4": 3.0})
    sides = [("w2", "w3"), ("w3", "w4"), ("w2", "w4")]
    asked = [q for one, other in sides for q in orders(Comparison("", "w1 ", one, other))]
    assert len(list(judge_of(model).answer(asked))) == 6
    w1, end, *responses = TOKENIZER.convert_tokens_to_ids(["w1", "<end>", "w2", "w3", "w4"])
    assert sorted(model.rows) == [[w1, response, end] for response in sorted(responses)]
    model.rows.clear()
    list(judge_of(model).answer([*orders(Comparison("", "w1 ", "w2", "w3")), *orders(Comparison("", "w5 ", "w2", "w3"))]))
    assert len(model.rows) == 4


def test_another_scale_costs_no_forward():
    model = Table({"w2": 1.0, "w3": 0.0})
    one, other = judge_of(model, scale=1.0), judge_of(model, scale=3.0)
    [answer] = one.answer([Question("w1 ", "w2", "w3")])
    model.rows.clear()
    assert other.reread(answer.question, answer.raw).p_first == pytest.approx(1 / (1 + math.exp(-3)))
    assert model.rows == []
    assert one.identity == other.identity
    assert other.method == {"answers": "scores", "scale": 3.0}


# ------------------------------------------------------------------------------------------------------ no answer


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_score_that_is_no_number_has_failed(bad):
    [answer] = judge_of(Table({"w2": bad, "w3": 1.0})).answer([Question("w1 ", "w2", "w3")])
    assert answer.failure == f"the scores are {bad} and 1.0"
    assert answer.first_logp is None


def test_what_the_model_cannot_read_has_failed():
    """Four positions: w1 w2 <end> fits; one word more fits; two more do not, and that response is in one question only."""
    model = Table({"w2": 1.0, "w3": 0.0}, limit=4)
    fits, too_long = Question("w1 ", "w2 w2", "w3"), Question("w1 ", "w2 w2 w2", "w3")
    found = {answer.question.key: answer.failure for answer in judge_of(model).answer([fits, too_long])}
    assert found == {fits.key: None, too_long.key: "5 tokens, and the model reads at most 4"}


def test_a_response_cannot_end_its_own_turn():
    [answer] = judge_of(Table({})).answer([Question("w1 ", "w2 <end>", "w3 <end>")])
    assert answer.failure == "the text holds '<end>', which this model's tokenizer cannot read as text"


def test_messages_without_a_template_are_refused():
    with pytest.raises(InputError, match="no chat template"):
        list(judge_of(Table({})).answer([Question([{"role": "user", "content": "w1"}], "w2", "w3")]))


def test_a_model_with_more_outputs_is_refused():
    with pytest.raises(InputError, match="test has 3 outputs; a reward model has one"):
        judge_of(classifier(num_labels=3))


@pytest.mark.parametrize(("settings", "message"), [({"scale": 0.0}, "scale is 0.0"), ({"batch_size": 0}, "batch_size is 0")])
def test_options_that_make_no_sense(settings, message):
    with pytest.raises(OptionError, match=message):
        judge_of(Table({}), **settings)


def test_without_a_pad_id_responses_go_one_by_one(caplog):
    """transformers would not know where a padded row ends."""
    model, asked = classifier(pad_token_id=None), questions(2)
    judge = judge_of(model)
    assert "one by one" in caplog.text
    for answer in judge.answer(asked):
        q = answer.question
        scores = [naive(model, [*TOKENIZER(q.prompt + side)["input_ids"], END]) for side in (q.first, q.second)]
        assert json.loads(answer.raw)["scores"] == pytest.approx(scores, abs=1e-6)


# ------------------------------------------------------------------------------------------------------ the scale


def test_the_scale_behind_exact_labels_is_found():
    """Labels s(2.5·(r1 − r2)) have their best log score at a = 2.5, and nowhere else."""
    rng = np.random.default_rng(0)
    score_1, score_2 = rng.normal(size=(2, 200))
    found = fit_scale(score_1, score_2, from_scores(score_1, score_2, scale=2.5))
    assert found == pytest.approx(2.5, rel=1e-3)


def test_the_scale_of_votes_by_hand():
    """The higher by 2 wins three of four: s(2a) = ¾, so a = log(3)/2."""
    assert fit_scale([2, 2, 2, 2], [0, 0, 0, 0], [1, 1, 1, 0]) == pytest.approx(math.log(3) / 2, rel=1e-3)


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 0, 1], "does not go with"), ([0.5, 0.5, 0.5], "does not go with"), ([1, 1, 1], "any scale fits")],
)
def test_labels_that_no_scale_fits_best(labels, message):
    with pytest.raises(InputError, match=message):
        fit_scale([1.0, 2.0, 1.5], [0.0, 0.0, 0.0], labels)


# ------------------------------------------------------------------------------------------------------ from a folder


def test_loaded_from_a_folder(tmp_path):
    model = classifier()
    folder = save(model, TOKENIZER, tmp_path / "reward")
    judge, asked = load_reward_model_judge(str(folder), scale=2.0), questions(2)
    for answer, same in zip(judge.answer(asked), judge_of(model, batch_size=16).answer(asked), strict=True):
        assert (answer.question.key, answer.p_first) == (same.question.key, pytest.approx(same.p_first, abs=1e-6))
    before = judge.identity
    save(classifier(seed=1), TOKENIZER, folder)
    assert before.startswith(f"reward_model:{folder}@")
    assert load_reward_model_judge(str(folder), scale=2.0).identity != before


def test_a_language_model_is_no_reward_model(tmp_path):
    """transformers would give it a random head and go on."""
    model = small_llama(TOKENIZER, hidden=16, layers=1, heads=2, context=32)
    model.config.num_labels = 1
    folder = save(model, TOKENIZER, tmp_path / "language")
    with pytest.raises(InputError, match=r"lacks 1 of the 12 weights of a LlamaForSequenceClassification \(score.weight"):
        load_reward_model_judge(str(folder), scale=1.0)
