"""Log-ratios of samples against a direct computation, and their mean against the exact KL."""

import math

import numpy as np
import pytest
import torch

from softpref.data.tokenization import PromptEncoder
from softpref.evaluation.classification import BATCH
from softpref.evaluation.over_optimisation import sample_log_ratios
from softpref.experiments.small_model import save, small_llama
from softpref.generation.sampling import Response, Sampling, generate

PROMPTS = ["make tea for two :", "wait", "boil the water . add tea :"]


@pytest.fixture(scope="module")
def models(word_tokenizer):
    """Two models that differ enough to see."""
    made = [small_llama(word_tokenizer, hidden=16, layers=2, heads=2, context=64, seed=seed) for seed in (0, 1)]
    with torch.no_grad():
        for model in made:
            model.model.embed_tokens.weight.mul_(4)
    return [model.eval() for model in made]


@pytest.fixture(scope="module")
def folders(models, word_tokenizer, tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return [
        str(save(model, word_tokenizer, root / name)) for model, name in zip(models, ("policy", "sft"), strict=True)
    ]


@torch.no_grad()
def log_prob(model, tokenizer, prompt, tokens):
    """Σ log softmax in float64, one sequence alone."""
    ids = PromptEncoder(tokenizer).prompt(prompt)
    logps = model(input_ids=torch.tensor([ids + tokens])).logits[0].double().log_softmax(-1)
    return sum(float(logps[len(ids) + i - 1, token]) for i, token in enumerate(tokens))


def test_log_ratios_equal_a_direct_computation(models, folders, word_tokenizer):
    """Responses of 1 to 12 tokens, ended or not, more than one batch of them, in an order of their own."""
    rng = np.random.default_rng(0)
    responses = [
        Response(
            int(rng.integers(3)), i, "", rng.integers(3, 27, rng.integers(1, 12)).tolist() + [1] * (i % 2), bool(i % 2)
        )
        for i in range(BATCH + 6)
    ]
    expected = [
        log_prob(models[0], word_tokenizer, PROMPTS[r.prompt], r.tokens)
        - log_prob(models[1], word_tokenizer, PROMPTS[r.prompt], r.tokens)
        for r in responses
    ]
    found = sample_log_ratios(*folders, PROMPTS, responses)
    assert np.std(expected) > 0.5
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_model_is_no_distance_from_itself(folders):
    responses = [Response(0, 0, "", [5, 6, 7, 1], True), Response(1, 0, "", [8], False)]
    assert sample_log_ratios(folders[0], folders[0], PROMPTS, responses).tolist() == [0.0, 0.0]


def test_their_mean_over_samples_is_the_kl(models, folders, word_tokenizer):
    """One token of one prompt: KL = Σ p log(p/q) exactly; 3000 samples come within 4 standard errors."""
    n = 3000
    sampling = Sampling(1.0, samples=n, max_new_tokens=1, batch_size=n)
    [drawn] = generate(models[0], word_tokenizer, PROMPTS[:1], sampling)
    ratios = sample_log_ratios(*folders, PROMPTS[:1], drawn)
    ids = torch.tensor([PromptEncoder(word_tokenizer).prompt(PROMPTS[0])])
    with torch.no_grad():
        p, q = (model(input_ids=ids).logits[0, -1].double().log_softmax(-1) for model in models)
    kl = float((p.exp() * (p - q)).sum())
    assert kl > 0.1
    assert ratios.mean() == pytest.approx(kl, abs=4 * ratios.std() / math.sqrt(n))
