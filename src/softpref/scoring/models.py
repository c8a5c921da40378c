"""Models and tokenizers from a folder or the Hub, safely: no remote code, no pickle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from softpref.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_model(name: str, dtype: str = "auto") -> PreTrainedModel:
    """A causal language model; ``dtype`` is auto (as it was saved), float32 or bfloat16. Raises InputError.

    Train in float32: with weights in bf16, steps at the usual learning rates are smaller than its rounding and are lost.
    """
    from transformers import AutoModelForCausalLM

    _refuse_missing_folder(name)
    try:
        return AutoModelForCausalLM.from_pretrained(name, use_safetensors=True, dtype=dtype)
    except (OSError, ValueError) as error:
        raise InputError(f"model {name!r} cannot be loaded: {_first_line(error)}") from error


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer that lies with a model. Raises InputError when it cannot be loaded."""
    from transformers import AutoTokenizer

    _refuse_missing_folder(name)
    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise InputError(f"tokenizer {name!r} cannot be loaded: {_first_line(error)}") from error


def _refuse_missing_folder(name: str) -> None:
    """What cannot be a Hub name is a folder; without this a misspelt one is looked for on the Hub for a long time."""
    looks_like_a_path = name.startswith((".", "/", "~")) or name.count("/") > 1
    if looks_like_a_path and not Path(name).is_dir():
        raise InputError(f"model {name!r}: no such folder")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
