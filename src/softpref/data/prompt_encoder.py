"""Prompts and responses are rendered and tokenised: where the prompt ends and what terminates a response, only here.

The response is what remains of the tokenised whole after the tokenised prompt, so prompts must be prefixes *in tokens*.
What can terminate a response is known per tokenizer (``PromptEncoder.terminators``): training puts exactly one at the end
of every response, and generation stops at the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jinja2 import TemplateError

from softpref.data.pairs import Message, Text
from softpref.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# What a template writes after an answer shows in a conversation that has one.
_PROBE_ANSWER = "answer"
_PROBE: list[Message] = [{"role": "user", "content": "a"}, {"role": "assistant", "content": _PROBE_ANSWER}]


class SideError(InputError):
    """One side of a row cannot become tokens: which, what is wrong, and how to mend it."""

    def __init__(self, side: str, problem: str, mend: str) -> None:
        super().__init__(f"{side}: {problem}; {mend}")
        self.side, self.problem, self.mend = side, problem, mend


class BoundaryError(SideError):
    """The prompt's tokens are no prefix of the tokens of prompt and response."""


@dataclass(frozen=True)
class _Opening:
    """A prompt as text and as ids, without a response."""

    text: str
    ids: list[int]


class PromptEncoder:
    """Renders and tokenises prompts and responses with one tokenizer; training and generation share it.

    Attributes:
        terminators: ids that can end a response: eos, and what the chat template writes after an assistant's turn.
        markers: the text of every special token, by id: what only the tokenizer or a template writes.

    Raises InputError for a tokenizer without an eos token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        if tokenizer.eos_token_id is None:
            raise InputError("the tokenizer has no eos token, so no response could end; set tokenizer.eos_token")
        self.tokenizer = tokenizer
        self._ready: dict[tuple[str, bool], list[int]] = {}
        self._eos = int(tokenizer.eos_token_id)
        self.terminators = frozenset({self._eos, *self._turn_end()})
        # a response may well hold an unknown word
        others = {tokenizer.unk_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id} - self.terminators
        added = tokenizer.added_tokens_decoder.items()
        self.markers = {i: str(token) for i, token in added if token.special and i not in others}
        self.markers |= {i: str(tokenizer.convert_ids_to_tokens(i)) for i in self.terminators}
        self._marker = re.compile("|".join(map(re.escape, self.markers.values())))
        # not "", of which the bos of a tokenizer that has one token for both would look like an appended eos
        self._appends_eos = self._tokenized("a", special=True)[-1:] == [self._eos]
        self._openings: dict[str, _Opening] = {}

    def prepare(self, texts: Iterable[tuple[Text, Text | None]]) -> None:
        """Tokenise many prompts and responses at once, on all cores; ``split`` then finds them. What fails, fails there."""
        wanted: dict[bool, dict[str, None]] = {True: {}, False: {}}
        for prompt, response in texts:
            with suppress(InputError):
                wanted[isinstance(prompt, str)][self._rendered(prompt, response)] = None
        self._ready = {}
        for special, found in wanted.items():
            if found:
                ids = self.tokenizer(list(found), add_special_tokens=special)["input_ids"]
                self._ready.update({(text, special): list(one) for text, one in zip(found, ids, strict=True)})

    def prompt(self, prompt: Text) -> list[int]:
        """Ids of a prompt alone, as a model sees it before it answers. Never empty: a first token needs a context.

        Raises SideError when the chat template refuses it.
        """
        return self._opened(prompt).ids or [self._start()]

    def split(self, prompt: Text, response: Text, side: str = "response") -> tuple[list[int], list[int]]:
        """Ids of the prompt, and ids of the response with exactly one terminator.

        Raises SideError naming the side at fault: ``side`` is the response's name in its row.
        """
        opening = self._opening(prompt)
        self._refuse_markers(response, side)
        whole = self._rendered(prompt, response, side)
        if not isinstance(prompt, str) and not whole.startswith(opening.text):
            raise BoundaryError(
                "prompt",
                "the chat template renders the prompt differently once an answer follows it",
                "use a template that does not (with thinking switched off, say), or render the text yourself",
            )
        whole_ids, start = self._ids(whole, isinstance(prompt, str)), len(opening.ids)
        if whole_ids[:start] != opening.ids:
            raise BoundaryError(
                side,
                "its first token merges with the prompt's last, so the prompt is no token prefix",
                "let white space or punctuation stand between them (best at the response's start), or set boundary: drop",
            )
        response_ids = self._terminated(whole_ids[start:], side, templated=not isinstance(prompt, str))
        return [*opening.ids] or [self._start()], response_ids

    def _opening(self, prompt: Text) -> _Opening:
        """Rendered and tokenised once for both responses, and for all pairs with this prompt."""
        key = f"text {prompt}" if isinstance(prompt, str) else json.dumps(prompt, default=repr)
        if key not in self._openings:
            self._refuse_markers(prompt, "prompt")
            self._openings[key] = self._opened(prompt)
        return self._openings[key]

    def _opened(self, prompt: Text) -> _Opening:
        text = self._rendered(prompt)
        return _Opening(text, self._ids(text, isinstance(prompt, str)))

    def _start(self) -> int:
        bos = self.tokenizer.bos_token_id
        return self._eos if bos is None else int(bos)

    # --- rendering

    def _rendered(self, prompt: Text, response: Text | None = None, side: str = "prompt") -> str:
        if isinstance(prompt, str):
            return prompt + response if isinstance(response, str) else prompt
        if self.tokenizer.chat_template is None:
            raise InputError("the data are messages, but the tokenizer has no chat template: give text, or set a template")
        try:
            return self._from_template([*prompt, *(response or ())], answered=response is not None)
        except TemplateError as error:
            mend = "give messages of the roles and in the order that it knows, or set another template"
            raise SideError(side, f"the chat template refuses it ({error})", mend) from None

    def _from_template(self, messages: Iterable[Message | str], answered: bool) -> str:
        return str(self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=not answered))

    def _refuse_markers(self, text: Text, side: str) -> None:
        """Messages that were rendered already must not be rendered again."""
        for message in () if isinstance(text, str) else text:
            found = self._marker.search(message["content"])
            if found:
                raise SideError(
                    side,
                    f"a message's content holds the template's marker {found[0]!r}: it was rendered already",
                    "give the bare text in messages, or the rendered text as strings",
                )

    # --- ids

    def _tokenized(self, text: str, special: bool) -> list[int]:
        ready = self._ready.get((text, special))
        return list(self.tokenizer(text, add_special_tokens=special)["input_ids"]) if ready is None else ready

    def _ids(self, text: str, plain: bool) -> list[int]:
        """Without the eos that some tokenizers append to everything: a prompt must not end, and a response gets its own."""
        ids = self._tokenized(text, special=plain)
        if len(ids) > 1 and ids[0] == ids[1] == self.tokenizer.bos_token_id:
            ids = ids[1:]
        return ids[:-1] if plain and self._appends_eos else ids

    # --- terminators

    def _turn_end(self) -> list[int]:
        """The first marker after the answer of a rendered conversation; none without a template, or where it has none."""
        if self.tokenizer.chat_template is None:
            return []
        try:
            rendered = self._from_template(_PROBE, answered=True)
        except TemplateError:
            return []
        _, answer, rest = rendered.rpartition(_PROBE_ANSWER)
        others = {self.tokenizer.unk_token_id, self.tokenizer.bos_token_id} - {self._eos}
        # special or not: markers that were added as common tokens end turns too; runs of white space do not
        ends = {i for i, token in self.tokenizer.added_tokens_decoder.items() if str(token).strip()} - others
        return [i for i in self._tokenized(rest, special=False) if i in ends][:1] if answer else []

    def _terminated(self, ids: list[int], side: str, templated: bool) -> list[int]:
        """Response ids up to and with the first terminator, or with eos where there is none.

        What a template writes after the end of the turn (a line end, a second terminator) is never generated. Text that
        goes on after a terminator was written by the user: that is refused, not cut.
        """
        end = next((place for place, token in enumerate(ids) if token in self.terminators), None)
        if end is None:
            return [*ids, self._eos]
        rest = [token for token in ids[end + 1 :] if token not in self.markers]
        if not templated and self.tokenizer.decode(rest).strip():
            problem = f"holds {self.markers[ids[end]]!r} before its end"
            raise SideError(side, problem, "remove the end-of-sequence marks")
        return ids[: end + 1]
