"""What a row of preference data is, once it has been read: a pair with a soft label, or a completion."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeAlias, overload

Message: TypeAlias = dict[str, Any]
Text: TypeAlias = str | list[Message]


@dataclass(frozen=True)
class PreferencePair:
    """One prompt, two responses, and how probable it is that the first is preferred.

    ``soft_label`` is p = P(chosen ≻ rejected | prompt) ∈ [0, 1], None while unlabelled; ``weight`` multiplies the pair's
    loss. Text is a string, or a list of ``{"role", "content"}`` messages on all three fields; the content of a message with
    ``tool_calls`` may be None. ``tools`` (JSON schemas of functions) and ``chat_template_kwargs`` are what the chat template
    gets beside the messages. ``swapped`` records that reading exchanged the sides to bring p to at least ½. ``label_source``
    says where p came from (method, judge, number of votes, …). ``row`` is the line of its file on which it begins, from 1.
    ``chosen_is_preferred`` is False where nothing says so: an unlabelled row of response_1 and response_2.
    """

    prompt: Text
    chosen: Text
    rejected: Text
    soft_label: float | None = None
    weight: float = 1.0
    id: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)
    label_source: Mapping[str, Any] = field(default_factory=dict)
    swapped: bool = False
    row: int = 0
    tools: Sequence[Mapping[str, Any]] | None = None
    chat_template_kwargs: Mapping[str, Any] | None = None
    chosen_is_preferred: bool = True

    @property
    def tie(self) -> float | None:
        """P(tie): the share of ties among the votes that p was made of, half of which is in p; None where nothing says."""
        votes = self.label_source.get("votes")
        return None if not votes or len(votes) != 3 else votes[2] / sum(votes)


@dataclass(frozen=True)
class Completion:
    """One prompt and one response to imitate, for ``loss_type="sft"``."""

    prompt: Text
    completion: Text
    weight: float = 1.0
    id: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)
    row: int = 0
    tools: Sequence[Mapping[str, Any]] | None = None
    chat_template_kwargs: Mapping[str, Any] | None = None


def swap_sides(pair: PreferencePair) -> PreferencePair:
    """The same judgement read from the other side: texts exchanged, p becomes 1 − p, everything else kept."""
    label = None if pair.soft_label is None else 1 - pair.soft_label
    return replace(pair, chosen=pair.rejected, rejected=pair.chosen, soft_label=label, swapped=not pair.swapped)


def orient(pair: PreferencePair) -> PreferencePair:
    """Exchange the sides where p < ½, so that ``chosen`` is the preferred-or-equal side (arXiv 2409.06691, §2)."""
    return swap_sides(pair) if pair.soft_label is not None and pair.soft_label < 0.5 else pair


@dataclass(frozen=True)
class Reading:
    """What became of a file's rows: every one is kept, put together with another or counted as dropped.

    ``both_bad`` counts verdicts that neither side is good, which are ties unless their rows were dropped. ``notes`` say how
    the file was read, ``doubts`` what may be wrong with its labels.
    """

    rows: int
    swapped: int = 0
    ties: int = 0
    identical_dropped: int = 0
    label_method: str | None = None
    vote_prior: float | None = None
    merged: int = 0
    both_bad: int = 0
    both_bad_dropped: int = 0
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class PairSet(Sequence[PreferencePair]):
    """The pairs of one file or table, oriented, with the record of their reading."""

    pairs: tuple[PreferencePair, ...]
    name: str
    reading: Reading
    identical_rows: tuple[int, ...] = ()

    @overload
    def __getitem__(self, index: int) -> PreferencePair: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[PreferencePair, ...]: ...
    def __getitem__(self, index: int | slice) -> PreferencePair | tuple[PreferencePair, ...]:
        return self.pairs[index]

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[PreferencePair]:
        return iter(self.pairs)

    @property
    def labelled(self) -> bool:
        """Whether every pair carries a soft label (reading refuses files where only some do)."""
        return bool(self.pairs) and self.pairs[0].soft_label is not None


def text_of(text: Text) -> str:
    """Plain characters of a string or of a message list, for counting, showing and judging; tool calls as JSON."""
    return text if isinstance(text, str) else "\n".join(map(_message_text, text))


def word_count(text: Text) -> int:
    """Words of a text, by white space."""
    return len(text_of(text).split())


def as_answer(prompt: Text, response: Text) -> Text:
    """A generated string as a message, where the prompt is made of messages."""
    if isinstance(prompt, list) and isinstance(response, str):
        return [{"role": "assistant", "content": response}]
    return response


def _message_text(message: Message) -> str:
    content, calls = message.get("content") or "", message.get("tool_calls")
    return "\n".join([*filter(None, [content]), json.dumps(calls, ensure_ascii=False)]) if calls else content


# What the chat template gets beside the messages.
TEMPLATE_FIELDS = ("tools", "chat_template_kwargs")


def template_columns(row: PreferencePair | Completion) -> dict[str, Any]:
    """The columns of a written row that its chat template gets beside the messages; none where it gets nothing."""
    return {name: getattr(row, name) for name in TEMPLATE_FIELDS if getattr(row, name)}


# Fields that came later, and the value with which a row has the fingerprint that it had before.
_LATER = {"tools": None, "chat_template_kwargs": None, "chosen_is_preferred": True}


def fingerprint(rows: Iterable[PreferencePair | Completion]) -> str:
    """SHA-256 over the content of the rows in order: two data sets with one fingerprint train the same model."""
    digest = hashlib.sha256()
    for row in rows:
        values = {key: value for key, value in asdict(row).items() if key not in _LATER or value != _LATER[key]}
        digest.update(json.dumps(values, sort_keys=True, default=str).encode())
        digest.update(b"\n")
    return digest.hexdigest()
