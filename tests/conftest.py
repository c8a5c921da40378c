"""What many tests share: a tiny tokenizer and a tiny model, made on the spot."""

from __future__ import annotations

import pytest
import torch

# two pytest workers on two cores, each with two threads, wait for one another most of the time
torch.set_num_threads(1)

WORDS = [
    "make",
    "tea",
    "for",
    "two",
    "boil",
    "the",
    "water",
    "warm",
    "pot",
    "add",
    "leaves",
    "pour",
    "wait",
    "serve",
    ".",
    ",",
    ":",
    "?",
    "yes",
    "no",
    "a",
    "b",
    "c",
    "d",
]


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_session(tmp_path_factory):
    """No fixture finds or leaves anything in the user's caches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTPREF_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def cache_of_the_test(tmp_path_factory, monkeypatch):
    """No test finds what another one left."""
    monkeypatch.setenv("SOFTPREF_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def word_tokenizer():
    from softpref.demo.small_model import word_tokenizer

    return word_tokenizer(WORDS)


@pytest.fixture
def tiny_llama(word_tokenizer):
    from softpref.demo.small_model import small_llama

    return small_llama(word_tokenizer, hidden=16, layers=2, heads=2, context=64)
