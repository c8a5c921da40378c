"""Best of n: the judge's favourite by hand, and the known bound of its KL."""

from __future__ import annotations

import math

import numpy as np
import pytest

from softpref.demo.small_model import save, small_llama
from softpref.errors import OptionError
from softpref.evaluation.best_of import best_of, best_of_kl_bound, favourites
from softpref.evaluation.responses import generated
from softpref.generation.sampling import Sampling
from softpref.judges.simulated import SimulatedJudge

LONGER = SimulatedJudge("longer", lambda _, response: float(len(response.split())), scale=1.0, position_bias=0.3)


def test_the_longest_of_each_group_wins(tmp_path):
    groups = [["a", "a b c", "a b"], ["a b", "a"], ["a", "b"]]
    assert favourites(["p", "q", "r"], groups, LONGER, tmp_path) == [1, 0, 0]


def test_a_failed_duel_says_nothing(tmp_path):
    """Where every duel fails, the first candidate stands."""
    broken = SimulatedJudge("longer", lambda _, response: float(len(response)), scale=1.0, failure_rate=1.0)
    assert favourites(["p"], [["a", "b c d"]], broken, tmp_path) == [0]


def test_they_are_samples_of_the_model(word_tokenizer, tmp_path):
    model = str(save(small_llama(word_tokenizer, hidden=16, layers=1, heads=2, context=64), word_tokenizer, tmp_path / "m"))
    sampling, prompts = Sampling(temperature=1.0, samples=4, max_new_tokens=6), ["make tea for two :", "wait"]
    found = best_of(model, prompts, LONGER, sampling, tmp_path / "out")
    samples = [r.text for r in generated(model, prompts, sampling, tmp_path / "out" / "candidates.jsonl")]
    for text, group in zip(found, (samples[:4], samples[4:]), strict=True):
        assert len(text.split()) == max(len(one.split()) for one in group)
        assert text in group


def test_one_sample_is_no_choice(tmp_path):
    with pytest.raises(OptionError, match="at least 2 samples"):
        best_of("m", ["p"], LONGER, Sampling(), tmp_path)


def test_the_bound_is_the_kl_of_the_best_of_n_uniform_draws():
    """The largest of n uniforms has density n·u^(n−1): KL = ∫ n·u^(n−1)·log(n·u^(n−1)) du = log n − (n − 1)/n."""
    u = (np.arange(200_000) + 0.5) / 200_000
    for n in (2, 4, 16):
        density = n * u ** (n - 1)
        assert best_of_kl_bound(n) == pytest.approx(np.mean(density * np.log(density)), abs=1e-4)
    assert best_of_kl_bound(4) == pytest.approx(math.log(4) - 0.75)
