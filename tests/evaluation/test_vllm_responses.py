"""Responses through vLLM are the model's own: ``make test-vllm`` runs this where vLLM is installed."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from softpref.errors import InputError, OptionError
from softpref.evaluation.responses import generated
from softpref.generation.sampling import Sampling

if find_spec("vllm") is None:
    pytest.skip("no vLLM to generate with: make test-vllm installs one", allow_module_level=True)
# vLLM and what it imports warn of one another
pytestmark = pytest.mark.filterwarnings("ignore")

PROMPTS = [
    "make tea for two :",
    "wait",
    "boil the water . pour the water . add tea leaves :",
    "a b",
    "serve tea , yes ?",
]
ENGINE = {"enforce_eager": True, "max_model_len": 64}
GREEDY = Sampling(max_new_tokens=12, engine="vllm", engine_options=ENGINE)


@pytest.fixture(scope="module", autouse=True)
def little_memory():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setenv("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        yield


@pytest.fixture(scope="module")
def folder(word_tokenizer, tmp_path_factory):
    """Wide weights, so that what is likeliest depends on what was said; a second terminator in the generation config."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(word_tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,
        tie_word_embeddings=False,
        eos_token_id=1,
        bos_token_id=None,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config)
    model.generation_config.eos_token_id = [1, 9]
    folder = tmp_path_factory.mktemp("model")
    model.save_pretrained(folder)
    word_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapter(folder, tmp_path_factory):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    settings = LoraConfig(r=4, target_modules=["q_proj", "up_proj"], init_lora_weights=False)
    tuned = get_peft_model(LlamaForCausalLM.from_pretrained(folder), settings)
    made = tmp_path_factory.mktemp("adapter")
    tuned.save_pretrained(made)
    return made


def tokens(responses):
    return [one.tokens for one in responses]


def test_greedy_is_what_transformers_says(folder, adapter, tmp_path):
    """Of a model and of an adapter on it; both terminators end a response."""
    said = {}
    for name, model in (("model", folder), ("adapter", adapter)):
        ours = generated(str(model), PROMPTS, GREEDY, tmp_path / f"{name}.jsonl")
        plain = generated(str(model), PROMPTS, Sampling(max_new_tokens=12), tmp_path / f"{name}_plain.jsonl")
        assert [replace(one, logp=None) for one in ours] == plain
        said[name] = tokens(ours)
    assert said["model"] != said["adapter"]
    assert any(one[-1] == 9 for one in said["model"] + said["adapter"])


def test_a_sample_is_the_same_again_and_whatever_was_there_already(folder, tmp_path):
    sampling = replace(GREEDY, temperature=1.0, samples=3, seed=5, batch_size=6)
    whole = generated(str(folder), PROMPTS, sampling, tmp_path / "whole.jsonl")
    assert len({tuple(one) for one in tokens(whole)}) > len(PROMPTS)
    lines = (tmp_path / "whole.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "part.jsonl").write_text("".join(line for line in lines if json.loads(line)["prompt"] in (0, 3)))
    (tmp_path / "part.settings.json").write_text((tmp_path / "whole.settings.json").read_text())
    assert generated(str(folder), PROMPTS, sampling, tmp_path / "part.jsonl") == whole


def test_logp_is_the_models_own(folder, word_tokenizer, tmp_path):
    """Over whole forwards by transformers, at another temperature too: it is the model's, not that of what was drawn from."""
    model = LlamaForCausalLM.from_pretrained(folder).eval()
    sampling = replace(GREEDY, temperature=0.7, top_p=0.9, samples=2)
    for one in generated(str(folder), PROMPTS, sampling, tmp_path / "r.jsonl"):
        prompt = word_tokenizer(PROMPTS[one.prompt])["input_ids"]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + one.tokens])).logits[0, len(prompt) - 1 : -1]
        expected = torch.log_softmax(logits, -1).gather(1, torch.tensor(one.tokens)[:, None]).sum()
        assert one.logp == pytest.approx(float(expected), abs=1e-4)


def test_what_vllm_refuses_is_one_message(folder, tmp_path):
    with pytest.raises(InputError, match=r"vLLM cannot be started: .*no_such_option"):
        generated(str(folder), PROMPTS, replace(GREEDY, engine_options={"no_such_option": 1}), tmp_path / "a.jsonl")
    with pytest.raises(InputError, match=r"vLLM cannot be started: \d+ validation errors? for ModelConfig; dtype"):
        generated(str(folder), PROMPTS, replace(GREEDY, engine_options={"dtype": "float7"}), tmp_path / "a.jsonl")
    with pytest.raises(InputError, match=r"a prompt of 12 tokens leaves no room for max_new_tokens=60: vLLM reads 64"):
        generated(str(folder), PROMPTS, replace(GREEDY, max_new_tokens=60), tmp_path / "b.jsonl")
    # and the same files serve what the messages advise
    generated(str(folder), PROMPTS, Sampling(max_new_tokens=12), tmp_path / "a.jsonl")


def test_responses_of_another_engine_are_not_mixed_in(folder, tmp_path):
    """Its rounding is another, so a file belongs to one engine."""
    generated(str(folder), PROMPTS[:1], Sampling(max_new_tokens=12), tmp_path / "r.jsonl")
    with pytest.raises(OptionError, match="was made with another sampling"):
        generated(str(folder), PROMPTS[:1], GREEDY, tmp_path / "r.jsonl")
