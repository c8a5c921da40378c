"""Special tokens in what is judged are text: a response can neither end its own turn nor speak as the judge."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# An added token that is not marked as special and yet no word: <think>, [INST], <|tool|>.
_MARKUP = re.compile(r"[<\[|].*[>\]|]", re.DOTALL)


class ControlTokens:
    """The tokens of a tokenizer that only it or a chat template may write, and texts in which they are written out.

    Encoding them as text is the tokenizer's own work; what comes of it is compared with the same text without them, so that
    no control token can have come from the text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder.items()
        named = {i: str(token) for i, token in added if token.special or _MARKUP.fullmatch(str(token))}
        self.ids = frozenset(named)
        self.texts = sorted((text for text in named.values() if text.strip()), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, self.texts)) or r"(?!)")

    def first_in(self, texts: Iterable[str]) -> str | None:
        """The first one that stands in any of the texts."""
        return next((match[0] for text in texts if (match := self._pattern.search(text))), None)

    def without(self, text: str) -> str:
        """The text, control tokens left out, also those that the gaps would form."""
        while (shorter := self._pattern.sub(" ", text)) != text:
            text = shorter
        return text

    def chat_ids(self, messages: Sequence[Any], **how: Any) -> list[int] | None:
        """Ids of messages in which control tokens are text; None where this version of transformers cannot do it."""
        apply: Any = self.tokenizer.apply_chat_template
        if "sanitize_control_tokens" not in inspect.signature(apply).parameters:
            return None
        with self._all_known():
            return list(apply(list(messages), tokenize=True, return_dict=False, sanitize_control_tokens=True, **how))

    @contextmanager
    def _all_known(self) -> Iterator[None]:
        """Of tokens that are not marked as special, transformers takes those of the chat template alone for control tokens."""
        tokenizer: Any = self.tokenizer
        before = tokenizer.chat_control_tokens
        tokenizer.chat_control_tokens = self.texts
        try:
            yield
        finally:
            tokenizer.chat_control_tokens = before

    def text_ids(self, text: str) -> list[int]:
        """Ids of a text in which special tokens are text, with what the tokenizer puts around it."""
        return list(self.tokenizer(text, split_special_tokens=True)["input_ids"])

    def alike(self, ids: Sequence[int], plain: Sequence[int]) -> bool:
        """Whether both hold the same control tokens in the same order."""
        one, other = ([i for i in these if i in self.ids] for these in (ids, plain))
        return one == other


def texts_of(value: Any) -> Iterator[str]:
    """Every string in a text, or in messages, however deep; their roles are no data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from texts_of([one for key, one in value.items() if key != "role"])
    elif isinstance(value, Iterable):
        for one in value:
            yield from texts_of(one)
