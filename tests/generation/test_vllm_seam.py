"""What generation rests on in vLLM is as it was when it was read: ``make test-vllm`` runs this. A failure names what changed."""

from __future__ import annotations

import os
import random
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from signatures import assert_takes, named
from softpref.generation.vllm_seam import (
    ENGINE_OPTIONS,
    MULTIPROCESSING,
    PASSED,
    max_model_len,
    process_kept,
    processes_of_its_own,
    reload_weights,
)

NEEDS_VLLM = pytest.mark.skipif(find_spec("vllm") is None, reason="no vLLM: make test-vllm installs one")


@NEEDS_VLLM
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PASSED)
def test_a_function_takes_what_it_is_passed(name):
    assert_takes(name, PASSED[name])


@NEEDS_VLLM
@pytest.mark.filterwarnings("ignore")
def test_an_engine_takes_its_options():
    assert_takes("vllm.engine.arg_utils.EngineArgs", ENGINE_OPTIONS)
    assert MULTIPROCESSING in named("vllm.envs.environment_variables")


@NEEDS_VLLM
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("before", [None, "1"])
def test_the_environment_is_put_back(before, monkeypatch):
    monkeypatch.delenv(MULTIPROCESSING, raising=False)
    if before is not None:
        monkeypatch.setenv(MULTIPROCESSING, before)
    with processes_of_its_own(wanted=False):
        assert named("vllm.envs").VLLM_ENABLE_V1_MULTIPROCESSING is False
    assert os.environ.get(MULTIPROCESSING) == before


def test_what_an_engine_is_asked():
    asked = []
    model_config = SimpleNamespace(max_model_len=64)
    llm = SimpleNamespace(
        collective_rpc=lambda method, **how: asked.append((method, how)), llm_engine=SimpleNamespace(model_config=model_config)
    )
    weights = iter([("a", torch.zeros(1))])
    reload_weights(llm, weights)
    assert asked == [("reload_weights", {"kwargs": {"weights_iterator": weights}})]
    assert max_model_len(llm) == 64


def test_the_process_is_put_back():
    """Random numbers of Python, NumPy and torch, the number of threads, and the function that sets it."""
    draw = lambda: (random.random(), np.random.rand(), float(torch.rand(())))  # noqa: E731, NPY002
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    expected = draw()
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.set_rng_state(states[2])
    set_threads, threads = torch.set_num_threads, torch.get_num_threads()
    with process_kept():
        draw()
        torch.set_num_threads(threads + 1)
        torch.set_num_threads = lambda _: None
    assert draw() == expected
    assert torch.set_num_threads is set_threads
    assert torch.get_num_threads() == threads
