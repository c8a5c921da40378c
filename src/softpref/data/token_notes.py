"""What is worth knowing about rows that became tokens, and is no fault: said once, before training and in ``inspect``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from softpref.data.pairs import Completion, Message, PreferencePair
from softpref.data.tokenization import TokenCounts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# A thought beside the answer; transformers gives it to the template under both names.
_THOUGHTS = ("reasoning_content", "thinking")


def token_notes(
    rows: Sequence[PreferencePair | Completion], counts: TokenCounts, tokenizer: PreTrainedTokenizerBase
) -> list[str]:
    """Sentences about these rows with this tokenizer; none where there is nothing to say."""
    notes = []
    template = str(tokenizer.chat_template or "")
    plain = _plain(rows, tokenizer) if template else 0
    if plain:
        notes.append(
            f"{plain} of {len(rows)} prompts are plain strings, so the chat template is not used for them; if it is to be used, "
            'write the prompt as [{"role": "user", "content": "…"}] and each response as [{"role": "assistant", "content": "…"}]'
        )
    if not any(name in template for name in _THOUGHTS):
        thinking = sum(any(name in message for name in _THOUGHTS for message in _messages(row)) for row in rows)
        if thinking:
            notes.append(f"the chat template does not render reasoning_content: it is left out of {thinking} of {len(rows)} rows")
    if counts.common:
        notes.append(
            f"{counts.common} of {counts.kept} prompts end where the chat template renders them otherwise once an answer "
            "follows: they are trained on without the rest, which the model sees when it generates"
        )
    return notes


def _plain(rows: Sequence[PreferencePair | Completion], tokenizer: PreTrainedTokenizerBase) -> int:
    """Prompts that are plain strings and were not rendered already: no special token stands in them."""
    special = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    texts = (row.prompt for row in rows if isinstance(row.prompt, str))
    return sum(not any(token in text for token in special) for text in texts)


def _messages(row: PreferencePair | Completion) -> Iterator[Message]:
    sides = (row.completion,) if isinstance(row, Completion) else (row.chosen, row.rejected)
    for text in (row.prompt, *sides):
        if not isinstance(text, str):
            yield from text
