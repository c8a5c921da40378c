"""Pairs become token ids. Where the prompt ends, what terminates a response and what happens to a long pair: only here.

A row is ``prompt`` ids followed by response ids. The response is what remains of the tokenised whole after the tokenised
prompt, so prompts must be prefixes *in tokens*; a row where they are not (a merge across the boundary, a chat template
that renders the prompt differently once an answer follows) is a fault or a counted drop. Every response ends in exactly
one terminator; one that was cut to fit has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from softpref.data.pairs import Completion, Message, PreferencePair, Text
from softpref.errors import DataError, Fault, InputError, OptionError, nearest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class TokenizedPair:
    """Token ids of one pair. ``rejected`` is empty where only the chosen side is trained on."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]
    soft_label: float | None
    weight: float
    row: int

    @property
    def tokens(self) -> int:
        """Tokens of the prompt and both responses, the prompt counted once."""
        return len(self.prompt) + len(self.chosen) + len(self.rejected)


@dataclass
class TokenCounts:
    """What became of the rows: all are kept, cut or counted as dropped."""

    kept: int = 0
    cut: int = 0
    too_long: int = 0
    boundary: int = 0

    def as_dict(self) -> dict[str, int]:
        """Plain numbers, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class TokenOptions:
    """How pairs become tokens.

    Attributes:
        max_length: tokens of prompt + one response; None for no limit.
        truncation: a pair that does not fit is dropped and counted (``drop``), or its responses are cut (``keep``).
        boundary: a prompt that is no token prefix is an ``error``, or such rows are dropped and counted (``drop``).
    """

    max_length: int | None = 1024
    truncation: str = "drop"
    boundary: str = "error"

    def __post_init__(self) -> None:
        for name, known in (("truncation", ("drop", "keep")), ("boundary", ("error", "drop"))):
            value = getattr(self, name)
            if value not in known:
                raise OptionError(f"{name} is {value!r}{nearest(str(value), known)}")
        if self.max_length is not None and self.max_length < 2:
            raise OptionError(f"max_length is {self.max_length}; a prompt and a response need at least 2 tokens")


@dataclass
class TokenizedPairs(Sequence[TokenizedPair]):
    """The tokenised rows of one data set, and the counts."""

    rows: list[TokenizedPair]
    counts: TokenCounts = field(default_factory=TokenCounts)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)


class _BoundaryError(Exception):
    def __init__(self, problem: str, mend: str) -> None:
        super().__init__(problem)
        self.problem, self.mend = problem, mend


def tokenize_pairs(
    pairs: Sequence[PreferencePair | Completion],
    tokenizer: PreTrainedTokenizerBase,
    options: TokenOptions | None = None,
    *,
    name: str = "data",
    with_rejected: bool = True,
) -> TokenizedPairs:
    """Token ids of every pair that fits, and counts of those that do not.

    Args:
        with_rejected: False leaves the rejected side out (``sft``); it must be False for completions.

    Raises:
        DataError: rows whose prompt is no token prefix (unless ``boundary="drop"``), or text that carries the chat
            template's own markers; all rows together.
        InputError: the tokenizer has no end-of-sequence token, or no row is left.
    """
    options = options or TokenOptions()
    if tokenizer.eos_token_id is None:
        raise InputError(f"{name}: the tokenizer has no eos token, so no response could end; set tokenizer.eos_token")
    encoder = PromptEncoder(tokenizer)
    out, faults = TokenizedPairs([]), []
    for pair in pairs:
        try:
            tokens = _tokenize(pair, encoder, with_rejected)
        except _BoundaryError as fault:
            if options.boundary == "error":
                faults.append(Fault(pair.row, "prompt", fault.problem, fault.mend))
            out.counts.boundary += 1
            continue
        fitted = _fit(tokens, options, out.counts)
        if fitted is not None:
            out.rows.append(fitted)
    if faults:
        raise DataError(name, faults)
    out.counts.kept = len(out.rows)
    if not out.rows:
        raise InputError(f"{name}: no row is left to train on ({_why_none(out.counts, options)})")
    return out


def _why_none(counts: TokenCounts, options: TokenOptions) -> str:
    return (
        f"{counts.too_long} longer than max_length={options.max_length}, "
        f"{counts.boundary} whose prompt is no token prefix"
    )


def _tokenize(pair: PreferencePair | Completion, encoder: PromptEncoder, with_rejected: bool) -> TokenizedPair:
    chosen = pair.completion if isinstance(pair, Completion) else pair.chosen
    prompt_ids, chosen_ids = encoder.split(pair.prompt, chosen)
    rejected_ids: list[int] = []
    if with_rejected and isinstance(pair, PreferencePair):
        _, rejected_ids = encoder.split(pair.prompt, pair.rejected)
    label = pair.soft_label if isinstance(pair, PreferencePair) else None
    return TokenizedPair(prompt_ids, chosen_ids, rejected_ids, label, pair.weight, pair.row)


def _fit(pair: TokenizedPair, options: TokenOptions, counts: TokenCounts) -> TokenizedPair | None:
    longest = max(len(pair.chosen), len(pair.rejected))
    if options.max_length is None or len(pair.prompt) + longest <= options.max_length:
        return pair
    room = options.max_length - len(pair.prompt)
    if options.truncation == "drop" or room < 1:
        counts.too_long += 1
        return None
    counts.cut += 1
    return TokenizedPair(pair.prompt, pair.chosen[:room], pair.rejected[:room], pair.soft_label, pair.weight, pair.row)


class PromptEncoder:
    """Renders and tokenises prompts and responses with one tokenizer; training and generation share it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        added = {i: str(token) for i, token in tokenizer.added_tokens_decoder.items() if token.special}
        # what can end a turn, and what only a template writes; a response may well end in an unknown word
        others = {tokenizer.unk_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id} - {tokenizer.eos_token_id}
        self.markers = {i: token for i, token in added.items() if i not in others}
        self.markers[int(tokenizer.eos_token_id)] = str(tokenizer.eos_token)

    def prompt(self, prompt: Text) -> list[int]:
        """Ids of a prompt alone, as a model sees it before it answers. Never empty: a first token needs a context."""
        return self._ids(self._render(prompt), isinstance(prompt, str)) or [self._start()]

    def split(self, prompt: Text, response: Text) -> tuple[list[int], list[int]]:
        """Ids of the prompt, and ids of the response with exactly one terminator."""
        self._refuse_markers(prompt, response)
        prompt_text, whole_text = self._render(prompt), self._render(prompt, response)
        plain = isinstance(prompt, str)
        prompt_ids, whole_ids = self._ids(prompt_text, plain), self._ids(whole_text, plain)
        if not plain and not whole_text.startswith(prompt_text):
            raise _BoundaryError(
                "the chat template renders the prompt differently once an answer follows it",
                "use a template that does not (with thinking switched off, say), or render the text yourself",
            )
        if whole_ids[: len(prompt_ids)] != prompt_ids:
            raise _BoundaryError(
                "its last token merges with the response's first, so the prompt is no token prefix",
                "let white space or punctuation stand between them (best at the response's start), or set boundary: drop",
            )
        response_ids = self._terminate(whole_ids[len(prompt_ids) :])
        return prompt_ids or [self._start()], response_ids

    def _start(self) -> int:
        bos = self.tokenizer.bos_token_id
        return int(self.tokenizer.eos_token_id if bos is None else bos)

    def _render(self, prompt: Text, response: Text | None = None) -> str:
        if isinstance(prompt, str):
            return prompt + response if isinstance(response, str) else prompt
        if self.tokenizer.chat_template is None:
            raise InputError(
                "the data are messages, but the tokenizer has no chat template: give text, or set a template"
            )
        messages: list[Message] = [*prompt, *(response or ())]
        return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=response is None))

    def _ids(self, text: str, add_special_tokens: bool) -> list[int]:
        ids = list(self.tokenizer(text, add_special_tokens=add_special_tokens)["input_ids"])
        bos = self.tokenizer.bos_token_id
        if len(ids) > 1 and ids[0] == ids[1] == bos:
            ids = ids[1:]
        # Some tokenizers append eos to everything; a prompt must not end in one, and a response gets its own.
        return ids[:-1] if add_special_tokens and ids and ids[-1] == self.tokenizer.eos_token_id else ids

    def _terminate(self, ids: list[int]) -> list[int]:
        """Exactly one terminator: the template's own (what white space follows it is cut), or eos."""
        end = len(ids)
        while end and ids[end - 1] not in self.markers and not self.tokenizer.decode([ids[end - 1]]).strip():
            end -= 1
        if end and ids[end - 1] in self.markers:
            body = ids[:end]
            while len(body) > 1 and body[-2] in self.markers:
                body = body[:-1]
            return body
        return [*ids, int(self.tokenizer.eos_token_id)]

    def _refuse_markers(self, prompt: Text, response: Text) -> None:
        """Text that was rendered already must not be rendered again; and a string response must not end twice."""
        if isinstance(prompt, str):
            eos = self.tokenizer.eos_token
            inner = response.removesuffix(eos) if isinstance(response, str) else ""
            if eos in inner:
                raise _BoundaryError(f"the response holds {eos!r} before its end", "remove the end-of-sequence marks")
            return
        for message in (*prompt, *response):
            found = [mark for mark in self.markers.values() if mark in message["content"]]
            if found:
                raise _BoundaryError(
                    f"a message's content holds the template's marker {found[0]!r}: it was rendered already",
                    "give the bare text in messages, or the rendered text as strings",
                )
