"""Pairs become token ids, or a fault, or a counted drop. What happens to a long pair is decided only here.

A row is ``prompt`` ids followed by response ids, as ``prompt_encoder`` parts them. Every response ends in exactly one
terminator; one that was cut to fit has none.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from softpref.data.pairs import Completion, PreferencePair, Text
from softpref.data.prompt_encoder import BoundaryError, PromptEncoder, SideError
from softpref.errors import DataError, Fault, InputError, OptionError, nearest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["PromptEncoder", "TokenCounts", "TokenOptions", "TokenizedPair", "TokenizedPairs", "tokenize_pairs"]

# Pairs whose texts the tokenizer gets in one call.
AT_ONCE = 1000


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
    def sequences(self) -> tuple[list[int], list[int], list[int]]:
        """Prompt, chosen and rejected."""
        return self.prompt, self.chosen, self.rejected

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
    identical: int = 0

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
        identical: a pair whose sides are the same tokens, because a template trimmed them or both were cut before they
            differ, teaches nothing: dropped and counted (``drop``), or left in (``keep``), for who scores every pair.
    """

    max_length: int | None = 1024
    truncation: str = "drop"
    boundary: str = "error"
    identical: str = "drop"

    def __post_init__(self) -> None:
        known_values = {"truncation": ("drop", "keep"), "boundary": ("error", "drop"), "identical": ("drop", "keep")}
        for name, known in known_values.items():
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
    try:
        encoder = PromptEncoder(tokenizer)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    counts = TokenCounts()
    found = []
    for first in range(0, len(pairs), AT_ONCE):
        some = pairs[first : first + AT_ONCE]
        encoder.prepare(_texts(some, with_rejected))
        found += [_row(pair, encoder, options, counts, with_rejected) for pair in some]
    faults = [one for one in found if isinstance(one, Fault)]
    if faults:
        raise DataError(name, faults)
    rows = [one for one in found if isinstance(one, TokenizedPair)]
    counts.kept = len(rows)
    if not rows:
        raise InputError(f"{name}: no row is left to train on ({_why_none(counts, options)})")
    return TokenizedPairs(rows, counts)


def _texts(pairs: Sequence[PreferencePair | Completion], with_rejected: bool) -> Iterator[tuple[Text, Text | None]]:
    for pair in pairs:
        yield pair.prompt, None
        if isinstance(pair, Completion):
            yield pair.prompt, pair.completion
            continue
        yield pair.prompt, pair.chosen
        if with_rejected:
            yield pair.prompt, pair.rejected


def _why_none(counts: TokenCounts, options: TokenOptions) -> str:
    return (
        f"{counts.too_long} longer than max_length={options.max_length}, "
        f"{counts.boundary} whose prompt is no token prefix, {counts.identical} whose sides are the same tokens"
    )


def _row(
    pair: PreferencePair | Completion,
    encoder: PromptEncoder,
    options: TokenOptions,
    counts: TokenCounts,
    with_rejected: bool,
) -> TokenizedPair | Fault | None:
    """The tokens of a pair, what is wrong with it, or None where it is dropped and counted."""
    try:
        return _fit(_tokenize(pair, encoder, with_rejected), options, counts)
    except SideError as error:
        if isinstance(error, BoundaryError) and options.boundary == "drop":
            counts.boundary += 1
            return None
        return Fault(pair.row, error.side, error.problem, error.mend)


def _tokenize(pair: PreferencePair | Completion, encoder: PromptEncoder, with_rejected: bool) -> TokenizedPair:
    if isinstance(pair, Completion):
        prompt_ids, completion_ids = encoder.split(pair.prompt, pair.completion, "completion")
        return TokenizedPair(prompt_ids, completion_ids, [], None, pair.weight, pair.row)
    prompt_ids, chosen_ids = encoder.split(pair.prompt, pair.chosen, "chosen")
    rejected_ids = encoder.split(pair.prompt, pair.rejected, "rejected")[1] if with_rejected else []
    return TokenizedPair(prompt_ids, chosen_ids, rejected_ids, pair.soft_label, pair.weight, pair.row)


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
