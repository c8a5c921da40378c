"""Which engine generates, and what may be said to it. Imports neither torch nor vLLM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from softpref.errors import OptionError, nearest
from softpref.extras import require

ENGINES = ("transformers", "vllm")

# Which model answers, how it is drawn from and what a log-prob means is said elsewhere; code from a model's folder is not run.
_NOT_OPTIONS = (
    "model",
    "revision",
    "tokenizer",
    "skip_tokenizer_init",
    "load_format",
    "hf_overrides",
    "generation_config",
    "override_generation_config",
    "logits_processors",
    "logprobs_mode",
    "seed",
    "trust_remote_code",
)
# Memory and speed: no response hangs on these, so they may change between two legs of a run.
_DECIDE_NOTHING = ("gpu_memory_utilization", "kv_cache_memory_bytes", "max_model_len", "max_num_seqs")


def check_engine(engine: str, options: Mapping[str, Any], prefix: str = "") -> None:
    """Refuse an unknown engine, and options that it would not get. ``prefix`` stands before the options' names.

    Raises OptionError.
    """
    if engine not in ENGINES:
        raise OptionError(f"{prefix}engine is {engine!r}{nearest(engine, ENGINES)}")
    if engine == "transformers" and options:
        raise OptionError(f"{prefix}engine_options has no effect with engine transformers: leave it out")
    for name in _NOT_OPTIONS:
        if name in options:
            raise OptionError(f"{prefix}engine_options: {name} is not yours to set here: leave it out")


def require_engine(engine: str, prefix: str = "") -> None:
    """Raises OptionError where the engine is not installed."""
    if engine == "vllm":
        require(f"{prefix}engine vllm", "vllm")


def deciding(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without what of the engine decides no response. Records made before there was a choice name no engine."""
    if settings.get("engine", "transformers") == "transformers":
        return {name: value for name, value in settings.items() if name not in ("engine", "engine_options")}
    options = {name: value for name, value in settings["engine_options"].items() if name not in _DECIDE_NOTHING}
    return {**settings, "engine_options": options}
