"""Online training with responses through vLLM: they are the present policy's. ``make test-vllm`` runs this."""

from __future__ import annotations

import copy
import random
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from peft import LoraConfig
from transformers import LlamaConfig, LlamaForCausalLM

from online_doubles import CountingJudge
from softpref import OnlineOptions, OnlineSoftPreferenceTrainer, SoftPreferenceConfig
from softpref.errors import InputError
from softpref.generation.sampling import Sampling
from softpref.generation.vllm_engine import VllmEngine
from softpref.training.vllm_sampler import VllmSampler

if find_spec("vllm") is None:
    pytest.skip("no vLLM to generate with: make test-vllm installs one", allow_module_level=True)
# vLLM and what it imports warn of one another
pytestmark = pytest.mark.filterwarnings("ignore")

PROMPTS = ["make tea :", "boil the water for two :", "wait", "a b"]
OPTIONS = {"enforce_eager": True, "max_model_len": 64}


@pytest.fixture(autouse=True)
def little_memory(monkeypatch):
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "nobind")


def policy(tokenizer, tied=False):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,
        tie_word_embeddings=tied,
        eos_token_id=1,
        bos_token_id=None,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config)


@pytest.fixture
def make(word_tokenizer, tmp_path):
    def make(model=None, peft_config=None, sampler=None, name="run", **settings):
        args = SoftPreferenceConfig(
            output_dir=str(tmp_path / name),
            loss_type="gdpo",
            beta=0.3,
            learning_rate=3e-2,
            max_steps=3,
            per_device_train_batch_size=4,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            logging_steps=1,
            lr_scheduler_type="constant",
            **settings,
        )
        engine = {} if sampler else {"engine": "vllm", "engine_options": OPTIONS}
        return OnlineSoftPreferenceTrainer(
            model or policy(word_tokenizer),
            args,
            online=OnlineOptions(labels="judge", max_new_tokens=8, **engine),
            judge=CountingJudge(),
            train_dataset=PROMPTS,
            processing_class=word_tokenizer,
            peft_config=peft_config,
            sampler=sampler,
        )

    return make


class Apart:
    """vLLM's sampler, noting by how much its log-probs and the policy's differ, response by response, at every call."""

    def __init__(self):
        self.inner = VllmSampler(OPTIONS, 64)
        self.apart, self.weights = [], []

    def __call__(self, model, tokenizer, prompts, sampling):
        self.weights.append(copy.deepcopy({name: value.detach() for name, value in model.named_parameters()}))
        worst = 0.0
        for batch in self.inner(model, tokenizer, prompts, sampling):
            worst = max(worst, *(abs(one.logp - own(model, tokenizer, prompts[one.prompt], one.tokens)) for one in batch))
            yield batch
        self.apart.append(worst)

    def close(self):
        self.inner.close()


@torch.no_grad()
def own(model, tokenizer, prompt, tokens):
    ids = tokenizer(prompt)["input_ids"]
    model.eval()
    logits = model(input_ids=torch.tensor([ids + tokens])).logits[0, len(ids) - 1 : -1]
    model.train()
    return float(torch.log_softmax(logits, -1).gather(1, torch.tensor(tokens)[:, None]).sum())


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("adapted", [None, ["q_proj", "down_proj"], ["v_proj", "lm_head"]])
def test_every_update_draws_from_the_policy_as_it_is(make, word_tokenizer, adapted, tied):
    """Three updates at a large step: weights move by far more than the difference that is left. An adapter on a head that
    shares its memory with the embeddings is in the head alone."""
    sampler = Apart()
    peft_config = None if adapted is None else LoraConfig(r=4, target_modules=adapted)
    trainer = make(model=policy(word_tokenizer, tied), peft_config=peft_config, sampler=sampler)
    trainer.train()
    assert len(sampler.apart) == 3
    assert max(sampler.apart) < 1e-3
    first, last = sampler.weights[0], sampler.weights[-1]
    assert max(float((first[name] - last[name]).abs().max()) for name in first) > 1e-2


def test_the_engine_of_the_options_draws_and_is_the_same_again(make):
    """kl is 0 at the first update, where policy and reference are one; the same run again draws the same."""
    trainer = make()
    trainer.train()
    assert isinstance(trainer.sampler, VllmSampler)
    log = trainer.state.log_history
    assert log[0]["kl"] == pytest.approx(0, abs=1e-5)
    assert log[2]["kl"] != pytest.approx(0, abs=1e-3)
    assert max(line["engine_apart"] for line in log[:3]) < 1e-4
    again = make(name="again")
    again.train()
    texts = [path.read_text() for path in (trainer.record.responses_file, again.record.responses_file)]
    assert texts[0] == texts[1]
    assert torch.equal(trainer.model.lm_head.weight, again.model.lm_head.weight)


def test_the_engine_leaves_the_random_state_alone(word_tokenizer):
    """Dropout hangs on it; vLLM seeds every generator that it finds, and draws from them."""
    sampling = Sampling(temperature=1.0, samples=2, max_new_tokens=4)
    model = policy(word_tokenizer)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    list(VllmSampler(OPTIONS, 64)(model, word_tokenizer, PROMPTS, sampling))
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_an_engine_that_keeps_other_weights_is_refused(make, monkeypatch):
    """Weights that it started with, and that nobody put in."""
    monkeypatch.setattr("softpref.generation.vllm_engine.VllmEngine.put", lambda *_: None)
    with pytest.raises(InputError, match=r"what generates is not the policy: .* leave online\.engine out"):
        make().train()


def test_an_engine_that_keeps_old_weights_shows_in_the_metric(make, monkeypatch):
    """Put in once, it falls behind with every update."""
    put, calls = VllmEngine.put, []

    def once(self, weights):
        calls.append(self)
        if len(calls) == 1:
            put(self, weights)

    monkeypatch.setattr("softpref.generation.vllm_engine.VllmEngine.put", once)
    monkeypatch.setattr("softpref.training.on_policy.ENGINE_TOLERANCE", 100)
    trainer = make()
    trainer.train()
    first, second, third = (line["engine_apart"] for line in trainer.state.log_history[:3])
    assert first < 1e-4
    assert min(second, third) > 0.05


def test_weights_of_another_model_are_one_message(word_tokenizer):
    """As a name in memory that no file has."""
    model = policy(word_tokenizer)
    model.register_parameter("unheard_of", torch.nn.Parameter(torch.zeros(3)))
    with pytest.raises(InputError, match=r"vLLM does not take this model's weights: .*unheard_of"):
        list(VllmSampler(OPTIONS, 64)(model, word_tokenizer, PROMPTS, Sampling(1.0, samples=2, max_new_tokens=4)))
