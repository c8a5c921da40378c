"""Models and tokenizers from a folder or the Hub, safely: no remote code, no pickle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from softpref.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_model(name: str) -> PreTrainedModel:
    """A causal language model, in the dtype it was saved in. Raises InputError when it cannot be loaded."""
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(name, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise InputError(f"model {name!r} cannot be loaded: {_first_line(error)}") from error


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer that lies with a model. Raises InputError when it cannot be loaded."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise InputError(f"tokenizer {name!r} cannot be loaded: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
