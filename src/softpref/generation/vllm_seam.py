"""Where generation stands on internals of vLLM: what is called and passed though nothing promises it.

Written down as it was when it was read, with vLLM 0.30; a test compares it by name with what is installed.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

# Parameters that are passed by name, by the function that takes them.
PASSED: Mapping[str, tuple[str, ...]] = {
    "vllm.LLM": ("model", "dtype", "skip_tokenizer_init", "seed"),
    "vllm.LLM.generate": ("prompts", "sampling_params", "use_tqdm"),
    "vllm.LLM.collective_rpc": ("method", "kwargs"),
    "vllm.LLM.reset_prefix_cache": (),
    "vllm.envs.disable_envs_cache": (),
    "vllm.v1.worker.gpu_model_runner.GPUModelRunner.reload_weights": ("weights_iterator",),
    "vllm.SamplingParams": (
        "temperature",
        "top_p",
        "n",
        "max_tokens",
        "stop_token_ids",
        "seed",
        "logprobs",
        "detokenize",
    ),
    "vllm.outputs.CompletionOutput": ("index", "token_ids", "cumulative_logprob"),
}
# Options that go on to the engine.
ENGINE_OPTIONS = ("max_model_len", "distributed_executor_backend", "load_format")
# Decides whether an engine has a process of its own.
MULTIPROCESSING = "VLLM_ENABLE_V1_MULTIPROCESSING"


def reload_weights(llm: Any, weights: Iterator[tuple[str, Any]]) -> None:
    """Put weights into a running engine, by the names that they have in the model's files."""
    llm.collective_rpc("reload_weights", kwargs={"weights_iterator": weights})


def max_model_len(llm: Any) -> int:
    """How many tokens the engine reads at most, a response among them."""
    return int(llm.llm_engine.model_config.max_model_len)


@contextmanager
def processes_of_its_own(wanted: bool) -> Iterator[None]:
    """Within, an engine that starts has a process of its own, or is in this one."""
    from vllm import envs

    # an engine that was started before has frozen what the environment said then
    envs.disable_envs_cache()
    before = os.environ.get(MULTIPROCESSING)
    os.environ[MULTIPROCESSING] = str(int(wanted))
    try:
        yield
    finally:
        os.environ.pop(MULTIPROCESSING) if before is None else os.environ.update({MULTIPROCESSING: before})


@contextmanager
def process_kept() -> Iterator[None]:
    """What vLLM changes of the process that it runs in is put back: a training's dropout, precision and threads hang on it."""
    import torch

    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    set_threads, threads = torch.set_num_threads, torch.get_num_threads()
    backends: Any = torch.backends
    products = (backends.cuda.matmul, backends.mkldnn.matmul)
    precisions = [product.fp32_precision for product in products]
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
        for product, precision in zip(products, precisions, strict=True):
            product.fp32_precision = precision
        # on a CPU it puts a function that does nothing in its place
        torch.set_num_threads = set_threads
        torch.set_num_threads(threads)
