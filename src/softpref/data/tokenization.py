"""Pairs become token ids, or a fault, or a counted drop. What happens to a long pair is decided only here.

A row is ``prompt`` ids followed by response ids, as ``prompt_encoder`` parts them. Every response ends in exactly one
terminator; one that was cut to fit has none.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from softpref.data.pairs import Completion, PreferencePair, Text, template_columns
from softpref.data.prompt_encoder import SPECIAL_TOKENS, BoundaryError, PromptEncoder, SideError
from softpref.data.rendering import Prompt, prompt_with
from softpref.data.token_table import TokenCounts, TokenizedPair, TokenizedPairs, token_batch
from softpref.errors import DataError, Fault, InputError, OptionError, nearest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["PromptEncoder", "TokenCounts", "TokenOptions", "TokenizedPair", "TokenizedPairs", "tokenize_pairs"]

# Pairs whose texts the tokenizer gets in one call, and that become one record batch.
AT_ONCE = 1000


@dataclass(frozen=True)
class TokenOptions:
    """How pairs become tokens.

    Attributes:
        max_length: tokens of prompt + one response; None for no limit.
        truncation: a pair that does not fit is dropped and counted (``drop``), or its responses are cut (``keep``).
        boundary: a prompt that is no token prefix is an ``error``, or such rows are dropped and counted (``drop``), or the
            prompt ends where its tokens part from those of prompt and response, as in TRL, and is counted (``common``).
        identical: a pair whose sides are the same tokens, because a template trimmed them or both were cut before they
            differ, teaches nothing: dropped and counted (``drop``), or left in (``keep``), for who scores every pair.
        chat_template_kwargs: variables of the chat template, such as ``enable_thinking``; a row's own come before them.
        special_tokens: the text of a special token inside a message is an ``error``, or is encoded as ``text``.
    """

    max_length: int | None = 1024
    truncation: str = "drop"
    boundary: str = "error"
    identical: str = "drop"
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict, hash=False)
    special_tokens: str = "error"

    def __post_init__(self) -> None:
        known_values = {
            "truncation": ("drop", "keep"),
            "boundary": ("error", "drop", "common"),
            "identical": ("drop", "keep"),
            "special_tokens": SPECIAL_TOKENS,
        }
        for name, known in known_values.items():
            value = getattr(self, name)
            if value not in known:
                raise OptionError(f"{name} is {value!r}{nearest(str(value), known)}")
        if self.max_length is not None and self.max_length < 2:
            raise OptionError(f"max_length is {self.max_length}; a prompt and a response need at least 2 tokens")


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
        DataError: rows whose prompt is no token prefix (unless ``boundary="drop"``), that the chat template refuses, or
            whose text carries the template's own markers; all rows together.
        InputError: the tokenizer has no end-of-sequence token, or no row is left.
    """
    options = options or TokenOptions()
    tokens, faults = tokens_and_faults(pairs, tokenizer, options, name=name, with_rejected=with_rejected)
    if faults:
        raise DataError(name, faults)
    if not tokens:
        raise InputError(f"{name}: no row is left to train on ({_why_none(tokens.counts, options)})")
    return tokens


def tokens_and_faults(
    pairs: Sequence[PreferencePair | Completion],
    tokenizer: PreTrainedTokenizerBase,
    options: TokenOptions,
    *,
    name: str = "data",
    with_rejected: bool = True,
) -> tuple[TokenizedPairs, list[Fault]]:
    """``tokenize_pairs``, with the rows that it would refuse beside those that it takes.

    Raises InputError for a tokenizer without an end, and for ``chat_template_kwargs`` that would have no effect.
    """
    try:
        encoder = PromptEncoder(tokenizer, options.chat_template_kwargs, options.special_tokens)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    if pairs and all(isinstance(pair.prompt, str) for pair in pairs):
        for option, default in (("chat_template_kwargs", {}), ("special_tokens", "error")):
            if getattr(options, option) != default:
                raise InputError(f"{name}: {option} has no effect: all prompts are plain strings; leave it out")
    counts = TokenCounts()
    batches, faults = [], []
    for first in range(0, len(pairs), AT_ONCE):
        some = [_Drafted(prompt_of(pair), _responses(pair, with_rejected), pair) for pair in pairs[first : first + AT_ONCE]]
        encoder.prepare((draft.prompt, text) for draft in some for text in (None, *draft.responses.values()))
        rows = [_row(draft, encoder, options, counts) for draft in some]
        batches.append(token_batch([row for row in rows if isinstance(row, TokenizedPair)]))
        faults += [row for row in rows if isinstance(row, Fault)]
    tokens = TokenizedPairs(batches, counts)
    counts.kept = len(tokens)
    return tokens, faults


def prompt_of(row: PreferencePair | Completion) -> Prompt:
    """A row's prompt with what its chat template gets beside it."""
    return prompt_with(row.prompt, **template_columns(row))


@dataclass(frozen=True)
class _Drafted:
    """What of a row becomes tokens, and the row."""

    prompt: Prompt
    responses: Mapping[str, Text]
    row: PreferencePair | Completion


def _responses(pair: PreferencePair | Completion, with_rejected: bool) -> dict[str, Text]:
    """The responses that are trained on, by their name in the row."""
    if isinstance(pair, Completion):
        return {"completion": pair.completion}
    return {"chosen": pair.chosen, **({"rejected": pair.rejected} if with_rejected else {})}


def _why_none(counts: TokenCounts, options: TokenOptions) -> str:
    return (
        f"{counts.too_long} longer than max_length={options.max_length}, "
        f"{counts.boundary} whose prompt is no token prefix, {counts.identical} whose sides are the same tokens"
    )


def _row(draft: _Drafted, encoder: PromptEncoder, options: TokenOptions, counts: TokenCounts) -> TokenizedPair | Fault | None:
    """The tokens of a pair, what is wrong with it, or None where it is dropped and counted."""
    row, common = draft.row, options.boundary == "common"
    try:
        prompt, sides = encoder.split_all(draft.prompt, draft.responses, common=common)
    except SideError as error:
        if isinstance(error, BoundaryError) and options.boundary == "drop":
            counts.boundary += 1
            return None
        return Fault(row.row, error.side, error.problem, error.mend)
    label, tie = (row.soft_label, row.tie) if isinstance(row, PreferencePair) else (None, None)
    rejected = sides[1] if len(sides) > 1 else []
    fitted = _fit(TokenizedPair(prompt, sides[0], rejected, label, row.weight, row.row, tie), options, counts)
    counts.common += common and fitted is not None and prompt != encoder.prompt(draft.prompt)
    return fitted


def _fit(pair: TokenizedPair, options: TokenOptions, counts: TokenCounts) -> TokenizedPair | None:
    """The pair, cut where that is asked for and needed; or None, and why it is dropped is counted."""
    room = sys.maxsize if options.max_length is None else options.max_length - len(pair.prompt)
    too_long = max(len(pair.chosen), len(pair.rejected)) > room
    if too_long and (options.truncation == "drop" or room < 1):
        counts.too_long += 1
        return None
    fitted = replace(pair, chosen=pair.chosen[:room], rejected=pair.rejected[:room])
    if options.identical == "drop" and fitted.chosen == fitted.rejected:
        counts.identical += 1
        return None
    counts.cut += too_long
    return fitted
