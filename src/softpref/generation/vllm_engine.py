"""Responses through vLLM: the requests it is sent, and what it answers, in the terms of ``generation.sampling``."""

from __future__ import annotations

import gc
import os
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from softpref.data.rendering import AnyPrompt
from softpref.errors import InputError
from softpref.generation.engine import require_engine
from softpref.generation.sampling import Response, Sampling, response_of, terminators_of
from softpref.generation.vllm_seam import max_model_len, process_kept, processes_of_its_own, reload_weights

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedTokenizerBase


class VllmEngine:
    """A running engine. ``loaded`` says what it holds and how (``model``, ``dtype``, …); ``options`` go to ``vllm.LLM`` too.

    In ``this_process`` weights can be put into it; otherwise it has a process of its own, which ends with the engine.

    Raises InputError where vLLM refuses the model or the options.
    """

    def __init__(self, loaded: Mapping[str, Any], options: Mapping[str, Any], this_process: bool = False) -> None:
        require_engine("vllm")
        # said before vLLM is imported; what a user has set stays
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        from vllm import LLM

        # -1: as long as fits into memory
        settings = {"max_model_len": -1, **loaded, **options, "skip_tokenizer_init": True, "seed": 0}
        if this_process:
            settings["distributed_executor_backend"] = "uni"
        with process_kept(), processes_of_its_own(not this_process), _refusals("vLLM cannot be started"):
            self.llm = LLM(**settings)

    def close(self) -> None:
        """End the engine; its memory is free afterwards."""
        del self.llm
        gc.collect()

    def put(self, weights: Iterator[tuple[str, Any]]) -> None:
        """Make these its weights: tensors by the names that they have in the model's files. Raises InputError."""
        with process_kept(), _refusals("vLLM does not take this model's weights"):
            reload_weights(self.llm, weights)
        # what it remembers of earlier prompts was computed with other weights
        self.llm.reset_prefix_cache()

    def responses(
        self,
        tokenizer: PreTrainedTokenizerBase,
        config: GenerationConfig,
        prompts: Sequence[AnyPrompt],
        sampling: Sampling,
        done: Container[int] = frozenset(),
    ) -> Iterator[list[Response]]:
        """As ``generation.sampling.generate``: ``sampling.batch_size`` responses are asked for at a time, cut alike whatever
        is done.

        Every response has a seed of its own. On a CPU in float32 the same comes out whatever is drawn beside it; kernels of
        GPUs round differently in other company, and may then draw another token.
        """  # noqa: D205
        encoder = sampling.encoder(tokenizer)
        ends = terminators_of(encoder, config)
        encoded = [encoder.prompt(prompt) for prompt in prompts]
        self._refuse_too_long(max(map(len, encoded), default=0), sampling.max_new_tokens)
        per_batch = max(1, sampling.batch_size // sampling.samples)
        for start in range(0, len(prompts), per_batch):
            places = range(start, min(start + per_batch, len(prompts)))
            if all(place in done for place in places):
                continue
            asked = [_request(sampling, place, ends) for place in places]
            given = [{"prompt_token_ids": encoded[place]} for place in places]
            with process_kept():
                answered = self.llm.generate(given, asked, use_tqdm=False)
            yield [
                response_of(list(one.token_ids), ends, tokenizer, place, one.index, one.cumulative_logprob)
                for place, request in zip(places, answered, strict=True)
                for one in request.outputs
            ]

    def _refuse_too_long(self, longest: int, max_new_tokens: int) -> None:
        room = max_model_len(self.llm)
        if longest + max_new_tokens > room:
            raise InputError(
                f"a prompt of {longest} tokens leaves no room for max_new_tokens={max_new_tokens}: vLLM reads {room}; give "
                "engine_options a larger max_model_len or more memory, or leave the prompt out"
            )


def _request(sampling: Sampling, place: int, ends: Collection[int]) -> Any:
    from vllm import SamplingParams

    # vLLM counts on from it for the other samples of a prompt
    seed = sampling.seed * 1_000_003 + place * sampling.samples
    return SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        n=sampling.samples,
        max_tokens=sampling.max_new_tokens,
        stop_token_ids=sorted(ends),
        seed=seed,
        logprobs=0,
        detokenize=False,
    )


@contextmanager
def _refusals(what: str) -> Iterator[None]:
    """What vLLM raises becomes one line; the cause often stands on its second."""
    try:
        yield
    except (TypeError, ValueError, RuntimeError, OSError, AssertionError, KeyError, AttributeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise InputError(f"{what}: {'; '.join(lines[:3]) or type(error).__name__}") from error
