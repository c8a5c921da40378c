"""What can end a response with a tokenizer and its chat template, and a response with exactly one of these at its end."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from softpref.data.pairs import Message
from softpref.data.rendering import Prompt, Renderer, SideError
from softpref.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# What a template writes after an answer shows in a conversation that has one. No template writes this text itself.
_ANSWER = "answer-7c5e1b"
_QUESTION: Message = {"role": "user", "content": "a"}
_CALL = {"type": "function", "function": {"name": "probe", "arguments": {"a": _ANSWER}}}


class Terminators:
    """The tokens that end a response.

    Attributes:
        ids: eos, what the chat template writes after an assistant's turn, and after a tool call where that is another.
        markers: the text of every special token, by id, and of what the template writes round a turn: what only the
            tokenizer or a template writes. bos, pad and unk are none, unless they end a turn as well.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, renderer: Renderer) -> None:
        self._tokenizer, self._renderer = tokenizer, renderer
        self._eos = int(tokenizer.eos_token_id)
        added = tokenizer.added_tokens_decoder
        # special or not: marks that were added as common tokens end turns too; runs of white space do not
        self._marks = {i for i, token in added.items() if str(token).strip()}
        self._marks -= {tokenizer.unk_token_id, tokenizer.bos_token_id} - {self._eos}
        self.ids = self._at_end()
        others = {tokenizer.unk_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id} - self.ids
        special = {i for i, token in added.items() if token.special}
        self.markers = {i: str(tokenizer.convert_ids_to_tokens(i)) for i in sorted({*special, *self._round_turn()} - others)}
        self.markers |= {i: str(tokenizer.convert_ids_to_tokens(i)) for i in self.ids}
        self._blank: dict[int, bool] = {}

    def of_turns(self, ids: Sequence[int], side: str = "response") -> list[int]:
        """A templated response up to and with the first of the terminators at its very end, or with eos where it has none.

        What a template writes after the end of the last turn (a line end, a second terminator) is never generated.
        Terminators between the messages of one answer stay. A template may end a turn by another mark than any known.
        """
        end = last = None
        for place in reversed(range(len(ids))):
            if ids[place] in self.ids:
                end = place
            elif not self._is_blank(ids[place]):
                last = place
                break
        if end is not None:
            return list(ids[: end + 1])
        return list(ids[: last + 1]) if last is not None and ids[last] in self.markers else [*ids, self._eos]

    def of_text(self, ids: Sequence[int], side: str = "response") -> list[int]:
        """A response that is text up to and with its first terminator, or with eos where it has none.

        Raises SideError for text that goes on after a terminator: it was written by the user, so it is refused, not cut.
        """
        end = next((place for place, token in enumerate(ids) if token in self.ids), None)
        if end is None:
            return [*ids, self._eos]
        if self._tokenizer.decode([token for token in ids[end + 1 :] if token not in self.markers]).strip():
            raise SideError(side, f"holds {self.markers[ids[end]]!r} before its end", "remove the end-of-sequence marks")
        return list(ids[: end + 1])

    def _is_blank(self, token: int) -> bool:
        if token not in self._blank:
            self._blank[token] = not self._tokenizer.decode([token]).strip()
        return self._blank[token]

    # --- what the template writes

    def _at_end(self) -> frozenset[int]:
        answer: Message = {"role": "assistant", "content": _ANSWER}
        known = {self._eos, *self._marks_after(answer)[:1]}
        call = self._marks_after({"role": "assistant", "content": "", "tool_calls": [_CALL]})
        # gpt-oss ends a call otherwise than an answer: where nothing known ends it, its last mark does, if it is special; a
        # plain </tool_call> may be followed by another call
        special = call[-1:] if call and self._tokenizer.added_tokens_decoder[call[-1]].special else []
        return frozenset(known if known & {*call} else {*known, *special})

    def _marks_after(self, answer: Message) -> list[int]:
        """Marks that the template writes after an answer; none without a template, or where it refuses."""
        with suppress(InputError):
            _, probe, rest = self._renderer.text(Prompt([_QUESTION]), [answer]).rpartition(_ANSWER)
            return [i for i in self._ids(rest) if i in self._marks] if probe else []
        return []

    def _round_turn(self) -> set[int]:
        """Marks that the template writes round a user's turn."""
        with suppress(InputError):
            return self._marks & {*self._ids(self._renderer.text(Prompt([_QUESTION]), []))}
        return set()

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])
