"""Which engine generates, and what may be said to it. Imports neither torch nor vLLM."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from softpref.errors import OptionError, nearest

ENGINES = ("transformers", "vllm")

# What decides which model answers, and how, is said elsewhere; and code from a model's folder is never run.
_NOT_OPTIONS = ("model", "tokenizer", "skip_tokenizer_init", "load_format", "seed", "trust_remote_code")


def check_engine(engine: str, options: Mapping[str, Any], prefix: str = "") -> None:
    """Refuse an engine that is not there, and options that it would not get. ``prefix`` stands before the options' names.

    Raises OptionError.
    """
    if engine not in ENGINES:
        raise OptionError(f"{prefix}engine is {engine!r}{nearest(engine, ENGINES)}")
    if engine == "transformers" and options:
        raise OptionError(f"{prefix}engine_options has no effect with engine transformers: leave it out")
    for name in _NOT_OPTIONS:
        if name in options:
            raise OptionError(f"{prefix}engine_options: {name} is not yours to set here: leave it out")
    if engine == "vllm" and find_spec("vllm") is None:
        raise OptionError(f"{prefix}engine is vllm, which is not installed: pip install 'softpref[vllm]'")
