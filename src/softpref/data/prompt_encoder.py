"""Prompts and responses are tokenised: where the prompt ends and what terminates a response, only here.

The response is what remains of the tokenised whole after the tokenised prompt, so prompts must be prefixes *in tokens*.
What can terminate a response is known per tokenizer (``terminators``): training puts exactly one at the end of every
response, and generation stops at the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from softpref.data.pairs import Text
from softpref.data.rendering import AnyPrompt, Prompt, Renderer, SideError, texts_in
from softpref.data.terminators import Terminators
from softpref.errors import InputError, OptionError, nearest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["BoundaryError", "Prompt", "PromptEncoder", "SideError"]

SPECIAL_TOKENS = ("error", "text")


class BoundaryError(SideError):
    """The prompt's tokens are no prefix of the tokens of prompt and response."""


@dataclass(frozen=True)
class _Encoded:
    """A prompt, or prompt and response, as text and as ids."""

    text: str
    ids: list[int]


class PromptEncoder:
    """Renders and tokenises prompts and responses with one tokenizer; training, generation and judging share it.

    Args:
        chat_template_kwargs: variables of the chat template, for every prompt; a prompt's own come before them.
        special_tokens: what to do with the text of a special token inside a message: ``error`` where it is one of
            ``markers``, or ``text``: it is encoded as the text that it is. In a plain string it is always the token.

    Attributes:
        terminators: ids that can end a response: eos, and what the chat template writes after an assistant's turn.
        markers: the text of every special token, by id: what only the tokenizer or a template writes.

    Raises InputError for a tokenizer without an eos token, and for a variable that the chat template does not have.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        special_tokens: str = "error",
    ) -> None:
        if tokenizer.eos_token_id is None:
            raise InputError("the tokenizer has no eos token, so no response could end; set tokenizer.eos_token")
        if special_tokens not in SPECIAL_TOKENS:
            raise OptionError(f"special_tokens is {special_tokens!r}{nearest(special_tokens, SPECIAL_TOKENS)}")
        self.tokenizer = tokenizer
        self._renderer = Renderer(tokenizer, chat_template_kwargs)
        self._as_text = special_tokens == "text"
        self._rendered: dict[tuple[str, str], str] = {}
        self._ready: dict[tuple[str, bool], list[int]] = {}
        self._openings: dict[str, _Encoded] = {}
        self._eos = int(tokenizer.eos_token_id)
        self._ends = Terminators(tokenizer, self._renderer)
        self.terminators, self.markers = self._ends.ids, self._ends.markers
        self._marker = _any_of(self.markers.values())
        specials = (str(token) for i, token in tokenizer.added_tokens_decoder.items() if token.special)
        self._special = _any_of({*self.markers.values(), *specials} - {tokenizer.unk_token})
        # not "", of which the bos of a tokenizer that has one token for both would look like an appended eos
        self._appends_eos = self._tokenized("a", special=True)[-1:] == [self._eos]

    def prepare(self, texts: Iterable[tuple[AnyPrompt, Text | None]]) -> None:
        """Render and tokenise many prompts and responses at once, on all cores; ``split`` then finds them.

        What fails, and what holds special tokens, is left to it.
        """
        wanted: dict[bool, dict[str, None]] = {True: {}, False: {}}
        self._rendered, self._ready, self._openings = {}, {}, {}
        for prompt, response in texts:
            with suppress(InputError):
                asked = _asked(prompt)
                if self._holds_special(asked, response):
                    continue
                text = self._rendered[_key(asked, response)] = self._text(asked, response)
                wanted[isinstance(asked.text, str)][text] = None
        for special, rendered in wanted.items():
            if rendered:
                ids = self.tokenizer(list(rendered), add_special_tokens=special)["input_ids"]
                self._ready.update({(text, special): list(one) for text, one in zip(rendered, ids, strict=True)})

    def prompt(self, prompt: AnyPrompt) -> list[int]:
        """Ids of a prompt alone, as a model sees it before it answers. Never empty: a first token needs a context.

        Raises SideError when the chat template refuses it, or it holds a marker.
        """
        return [*self._opening(_asked(prompt)).ids] or [self._start()]

    def data_prompt(self, prompt: AnyPrompt) -> list[int]:
        """``prompt``, where nothing in messages, tools or a plain string is a special token: its text is encoded as text.

        What others wrote can then neither end its turn nor speak in another's. Raises SideError where the tokenizer cannot
        do that, or the chat template refuses the messages.
        """
        asked = _asked(prompt)
        if not any(self._special.search(text) for text in texts_in([asked.text, asked.arguments])):
            return self.prompt(asked)
        return self._ids_of_data(asked) or [self._start()]

    def split(self, prompt: AnyPrompt, response: Text, side: str = "response") -> tuple[list[int], list[int]]:
        """Ids of the prompt, and ids of the response with exactly one terminator.

        Raises SideError naming the side at fault: ``side`` is the response's name in its row.
        """
        prompt_ids, [response_ids] = self.split_all(prompt, {side: response})
        return prompt_ids, response_ids

    def split_all(
        self, prompt: AnyPrompt, responses: Mapping[str, Text], common: bool = False
    ) -> tuple[list[int], list[list[int]]]:
        """Ids of the prompt, and of every response by its name, each with exactly one terminator.

        Args:
            common: a prompt that is no token prefix ends where its tokens part from those of a whole, as TRL has it. What
                is left is a prefix, and not quite what a model sees before it answers.

        Raises SideError naming the side at fault, BoundaryError for a prompt that is no token prefix.
        """
        asked = _asked(prompt)
        opening, plain = self._opening(asked), isinstance(asked.text, str)
        start, wholes = len(opening.ids), {}
        for side, response in responses.items():
            whole = self._encoded(asked, response, side)
            if whole.ids[: len(opening.ids)] != opening.ids:
                if not common:
                    raise _boundary(side, merges=plain or whole.text.startswith(opening.text))
                start = min(start, _common(opening.ids, whole.ids))
            wholes[side] = whole.ids
        ends = self._ends.of_text if plain else self._ends.of_turns
        ids = [ends(whole[start:], side) for side, whole in wholes.items()]
        return opening.ids[:start] or [self._start()], ids

    def _opening(self, prompt: Prompt) -> _Encoded:
        """Rendered and tokenised once for both responses, and for all pairs with this prompt."""
        if prompt.key not in self._openings:
            self._openings[prompt.key] = self._encoded(prompt)
        return self._openings[prompt.key]

    def _encoded(self, prompt: Prompt, response: Text | None = None, side: str = "prompt") -> _Encoded:
        text = self._rendered.get(_key(prompt, response))
        if text is None:
            self._refuse_markers(prompt.text if response is None else response, side)
            text = self._text(prompt, response, side)
            if self._holds_special(prompt, response):
                return _Encoded(text, self._ids_of_data(prompt, response, side))
        return _Encoded(text, self._ids(text, isinstance(prompt.text, str)))

    def _start(self) -> int:
        bos = self.tokenizer.bos_token_id
        return self._eos if bos is None else int(bos)

    # --- rendering

    def _text(self, prompt: Prompt, response: Text | None = None, side: str = "prompt") -> str:
        if isinstance(prompt.text, str):
            if prompt.arguments:
                problem = "has no effect on a prompt that is a plain string"
                raise SideError(next(iter(prompt.arguments)), problem, "give prompt and responses as messages")
            return prompt.text + response if isinstance(response, str) else prompt.text
        return self._renderer.text(prompt, response, side)

    def _refuse_markers(self, text: Text, side: str) -> None:
        """Messages that were rendered already must not be rendered again; a marker in any key of a message ends its turn."""
        if self._as_text or isinstance(text, str):
            return
        for message in text:
            for key, value in message.items():
                marker = next((hit for one in texts_in(value) if key != "role" and (hit := self._written(one))), None)
                if marker:
                    where = "content" if key == "content" else repr(key)
                    raise SideError(
                        side,
                        f"a message's {where} holds the template's marker {marker!r}: it was rendered already",
                        "give the bare text in messages, or the rendered text as strings; or, where the marker is part of the "
                        "text, set special_tokens: text",
                    )

    def _written(self, text: str) -> str | None:
        """A marker in a text, or the bos that a rendered text begins with."""
        bos = self.tokenizer.bos_token
        marker = self._marker.search(text)
        return marker[0] if marker else bos if bos and text.startswith(bos) else None

    def _holds_special(self, prompt: Prompt, response: Text | None) -> bool:
        """Whether special tokens stand in it that are text."""
        if isinstance(prompt.text, str):
            return False
        return any(self._special.search(text) for text in texts_in([prompt.text, prompt.arguments, response or []]))

    # --- ids

    def _tokenized(self, text: str, special: bool) -> list[int]:
        ready = self._ready.get((text, special))
        return list(self.tokenizer(text, add_special_tokens=special)["input_ids"]) if ready is None else ready

    def _ids(self, text: str, plain: bool) -> list[int]:
        return self._without_extra(self._tokenized(text, special=plain), plain)

    def _without_extra(self, ids: list[int], plain: bool) -> list[int]:
        """Without the eos that some tokenizers append to everything: a prompt must not end, and a response gets its own."""
        if len(ids) > 1 and ids[0] == ids[1] == self.tokenizer.bos_token_id:
            ids = ids[1:]
        return ids[:-1] if plain and self._appends_eos else ids

    def _ids_of_data(self, prompt: Prompt, response: Text | None = None, side: str = "prompt") -> list[int]:
        """Ids in which special tokens are only those that the tokenizer or the template writes."""
        if not isinstance(prompt.text, str):
            return self._without_extra(self._renderer.ids_of_data(prompt, response, side), plain=False)
        bare = self.tokenizer(prompt.text, split_special_tokens=True, add_special_tokens=False)["input_ids"]
        marker = next((self.markers[i] for i in bare if i in self.markers), None)
        if marker is not None:
            raise SideError(side, f"holds {marker!r}, which the tokenizer has no other ids for", "remove it")
        return self._without_extra(list(self.tokenizer(prompt.text, split_special_tokens=True)["input_ids"]), plain=True)


def _asked(prompt: AnyPrompt) -> Prompt:
    return prompt if isinstance(prompt, Prompt) else Prompt(prompt)


def _common(ids: list[int], others: list[int]) -> int:
    """How many ids both begin with."""
    pairs = enumerate(zip(ids, others, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(ids), len(others)))


def _key(prompt: Prompt, response: Text | None) -> tuple[str, str]:
    return prompt.key, "" if response is None else Prompt(response).key


def _any_of(texts: Iterable[str]) -> re.Pattern[str]:
    """The longest first, so that one that begins like another is told from it."""
    return re.compile("|".join(map(re.escape, sorted(set(texts), key=len, reverse=True))))


def _boundary(side: str, merges: bool) -> BoundaryError:
    if merges:
        return BoundaryError(
            side,
            "its first token merges with the prompt's last, so the prompt is no token prefix",
            "let white space or punctuation stand between them (best at the response's start), or set boundary: drop",
        )
    return BoundaryError(
        "prompt",
        "the chat template renders the prompt differently once an answer follows it",
        "use a template that does not (with thinking switched off, say: chat_template_kwargs), render the text yourself, or "
        "set boundary: common, which ends the prompt where both part, as TRL does",
    )
