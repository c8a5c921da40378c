"""Where models and tokenizers stand on internals of transformers: what is read, called and passed though nothing promises it.

A new release that changes one of these may change a score or an identity without an error. So each is written down here as it
was when it was read, with transformers 5.20 to 5.23, and a test compares it by name with what is installed. What the trainers
override stands in ``training/trainer_seam.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Private attributes that are read, by the class that has them.
READ: Mapping[str, tuple[str, ...]] = {
    "PreTrainedConfig": ("_attn_implementation",),
    "PreTrainedModel": ("_supports_attention_backend",),
}

# Parameters that are passed by name, by the method that takes them.
PASSED: Mapping[str, tuple[str, ...]] = {
    "PreTrainedModel.set_attn_implementation": ("attn_implementation",),
    "AttentionInterface.register": ("key", "value"),
    "PreTrainedTokenizerBase.apply_chat_template": ("tokenize", "return_dict", "continue_final_message", "add_generation_prompt"),
}

# Since transformers 5.23; without it, special tokens in a message are refused.
PASSED_SINCE_5_23: Mapping[str, tuple[str, ...]] = {
    "PreTrainedTokenizerBase.apply_chat_template": ("sanitize_control_tokens",),
}
# The tokens that it takes for text: set on the tokenizer for the call.
CONTROL_TOKENS = "chat_control_tokens"

# Keys of what ``from_pretrained(output_loading_info=True)`` returns beside the model.
LOADING_INFO = ("missing_keys", "unexpected_keys", "mismatched_keys")

# What a rope of the kind ``dynamic`` keeps of its beginning and of the longest row so far.
DYNAMIC_ROPE = ("rope_type", "inv_freq", "original_inv_freq", "original_max_seq_len", "max_seq_len_cached")


def attention_of(model: Any) -> str | None:
    """The name of the attention that a model computes with: it can be set in public, but not read."""
    name: str | None = model.config._attn_implementation  # noqa: SLF001
    return name


def exchanges_attention(model: Any) -> bool:
    """Whether all layers of a model ask the attention interface for what they compute with."""
    return bool(getattr(model, "_supports_attention_backend", False))
