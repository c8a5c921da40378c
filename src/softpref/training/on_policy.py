"""Prompts to be answered on-policy, the two responses that were drawn for each, and the record of both on disk."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from softpref.data.columns import how_to_mend, looks_read
from softpref.data.files import append_text, atomic_write, strict_json
from softpref.data.formats import read_numbered_prompts
from softpref.data.pairs import TEMPLATE_FIELDS, Text
from softpref.data.places import Data, data_name
from softpref.data.prompt_encoder import PromptEncoder, SideError
from softpref.data.read_options import ReadOptions
from softpref.data.rendering import AnyPrompt, prompt_with
from softpref.data.tokenization import TokenCounts, TokenizedPair, TokenOptions
from softpref.data.validation import prompts_from_rows
from softpref.errors import DataError, Fault, InputError
from softpref.generation.sampling import Response, Sampling
from softpref.run_folder import read_lines

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from softpref.core.pair import PairLogps

READ = ("prompt", "id", "meta", *TEMPLATE_FIELDS)

# Nats a token, mean over what was drawn for one update.
ENGINE_TOLERANCE = 0.05


class Sampler(Protocol):
    """Where responses come from: ``generation.sampling.generate``, or another engine that holds the policy's present weights.

    Yields batches of ``sampling.samples`` responses per prompt, in any order. The same weights, prompts and ``sampling``
    must give the same responses: resuming depends on it.
    """

    def __call__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[AnyPrompt],
        sampling: Sampling,
    ) -> Iterable[list[Response]]:
        """Responses of ``model`` as it is now."""
        ...


# --- prompts


@dataclass(frozen=True)
class OnlinePrompt:
    """One prompt, its ids, and the row it stands in. ``weight`` is 0 for one that a data loader repeats as padding.

    ``asked`` is the prompt as the policy is asked it: with the tools and template arguments of its row.
    """

    prompt: Text
    ids: list[int]
    row: int
    weight: float = 1.0
    asked: AnyPrompt | None = None


@dataclass
class OnlinePrompts(Sequence[OnlinePrompt]):
    """The prompts that leave room for a response, and the count of those that do not."""

    rows: list[OnlinePrompt]
    counts: TokenCounts = field(default_factory=TokenCounts)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class PromptRow:
    """A prompt as it was read, and what its chat template gets beside it."""

    prompt: Text
    row: int
    tools: Sequence[Mapping[str, Any]] | None = None
    chat_template_kwargs: Mapping[str, Any] | None = None


def read_online_prompts(data: Data, options: ReadOptions | None = None) -> list[PromptRow]:
    """The prompts of a file.

    Raises DataError for rows without one, or with columns that look like labels; OptionError for options about pairs.
    """
    return _prompt_rows(read_numbered_prompts(data, options), data_name(data))


def prompt_rows(dataset: Any, name: str) -> list[PromptRow]:
    """Prompts of any table: rows with ``prompt``, or what ``read_online_prompts`` gave. Raises DataError."""
    rows = list(dataset)
    if all(isinstance(row, PromptRow) for row in rows):
        return rows
    numbered = [(i, {"prompt": row} if isinstance(row, str) else row) for i, row in enumerate(rows, start=1)]
    if not all(isinstance(row, Mapping) for _, row in numbered):
        raise InputError(f"{name}: holds {type(rows[0]).__name__}; online training takes prompts, or rows with a prompt")
    return _prompt_rows(prompts_from_rows(numbered, name), name)


def _prompt_rows(rows: Sequence[tuple[int, Mapping[str, Any]]], name: str) -> list[PromptRow]:
    """Online, responses and labels are made, so those that the data hold would be ignored: that is said, not done."""
    unread = {column: number for number, row in reversed(rows) for column in row if column not in READ}
    known = ("chosen", "rejected", "response_1", "response_2", "completion")
    faults = [
        Fault(number, column, "is not read online", f"keep {', '.join(READ)} only")
        if column in known
        else Fault(number, column, "looks as if it were read, and is not", how_to_mend(column, READ))
        for column, number in unread.items()
        if column in known or looks_read(column)
    ]
    if faults:
        raise DataError(name, faults)
    return [PromptRow(row["prompt"], number, **{key: row.get(key) for key in TEMPLATE_FIELDS}) for number, row in rows]


def tokenize_prompts(
    rows: Sequence[PromptRow],
    tokenizer: PreTrainedTokenizerBase,
    options: TokenOptions,
    max_new_tokens: int,
    name: str,
) -> OnlinePrompts:
    """Ids of every prompt that leaves room for ``max_new_tokens`` within ``options.max_length``; the others are counted.

    Raises DataError for prompts that the chat template refuses, InputError where no prompt is left.
    """
    encoder = PromptEncoder(tokenizer, options.chat_template_kwargs, options.special_tokens)
    limit, found, faults, counts = options.max_length, [], [], TokenCounts()
    for row in rows:
        asked = prompt_with(row.prompt, row.tools, row.chat_template_kwargs).bare
        try:
            ids = encoder.prompt(asked)
        except SideError as error:
            faults.append(Fault(row.row, error.side, error.problem, error.mend))
            continue
        if limit is not None and len(ids) + max_new_tokens > limit:
            counts.too_long += 1
        else:
            found.append(OnlinePrompt(row.prompt, ids, row.row, asked=asked))
    if faults:
        raise DataError(name, faults)
    counts.kept = len(found)
    if not found:
        raise InputError(
            f"{name}: no prompt is left: all {counts.too_long} leave less room than online.max_new_tokens="
            f"{max_new_tokens} within {limit} tokens (max_length, or what the model reads)"
        )
    return OnlinePrompts(found, counts)


# --- pairs of responses


@dataclass(frozen=True)
class SampledPair:
    """Two responses to one prompt, drawn from the policy as it was."""

    prompt: OnlinePrompt
    first: Response
    second: Response

    @property
    def identical(self) -> bool:
        """Whether the texts are the same: there is nothing to prefer."""
        return self.first.text == self.second.text

    def tokens(self, soft_label: float | None = None) -> TokenizedPair:
        """The ids that were drawn, oriented to p ≥ ½; unlabelled, the first response is the chosen side."""
        chosen, rejected = self.first.tokens, self.second.tokens
        if soft_label is not None and soft_label < 0.5:
            chosen, rejected, soft_label = rejected, chosen, 1 - soft_label
        return TokenizedPair(self.prompt.ids, chosen, rejected, soft_label, self.prompt.weight, self.prompt.row)


@dataclass(frozen=True)
class PairLabel:
    """P(first ≻ second) of a sampled pair, or why there is none: ``identical`` texts, or a judgement that ``failed``."""

    p: float | None
    left_out: str | None = None
    reason: str = ""


def draw_pairs(
    sampler: Sampler,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[OnlinePrompt],
    sampling: Sampling,
) -> list[SampledPair]:
    """Two responses for every prompt, in the prompts' order."""
    drawn: dict[tuple[int, int], Response] = {}
    if prompts:
        for batch in sampler(model, tokenizer, [one.prompt if one.asked is None else one.asked for one in prompts], sampling):
            drawn.update({(response.prompt, response.sample): response for response in batch})
    return [SampledPair(prompt, drawn[i, 0], drawn[i, 1]) for i, prompt in enumerate(prompts)]


def refuse_another_model(pairs: Sequence[SampledPair], logps: PairLogps) -> None:
    """Where the engine says how likely what it drew was to it, the policy must say much the same of it.

    An engine that read the weights under other names would otherwise be trained against in silence. Other kernels and other
    rounding move a token by hundredths of a nat, in either direction. Raises InputError.
    """
    apart = engine_apart(pairs, logps)
    mean = float(np.mean(apart)) if apart else 0.0
    if not mean <= ENGINE_TOLERANCE:
        raise InputError(
            f"what generates is not the policy: their log-probs of the same responses are {mean:.2g} nats a token apart, and "
            f"{ENGINE_TOLERANCE} is the most; the engine does not take this model's weights: leave online.engine out"
        )


def engine_apart(pairs: Sequence[SampledPair], logps: PairLogps) -> list[float]:
    """|log π(engine) − log π(policy)| in nats a token, of every response of which the engine says how likely it was to it.

    ``logps`` are the policy's, (B,) each, the first response of a pair as chosen.
    """
    policy = zip(logps.chosen.tolist(), logps.rejected.tolist(), strict=True)
    both = [
        (response, logp)
        for pair, sides in zip(pairs, policy, strict=True)
        for response, logp in zip((pair.first, pair.second), sides, strict=True)
    ]
    return [abs(one.logp - logp) / max(1, len(one.tokens)) for one, logp in both if one.logp is not None]


def update_seed(seed: int, step: int, rank: int) -> int:
    """The seed of one update's responses: another one for every run, update and rank, and the same again on resuming."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0])


# --- on disk


class OnlineRecord:
    """Every response and every label of one rank, each on disk before the next stage uses it.

    ``responses-RANK.jsonl`` holds both texts and token ids of a pair, ``labels-RANK.jsonl`` its label, or why it has none; a
    pair is named by ``step`` (updates done before it was drawn) and ``row`` in both.
    """

    def __init__(self, folder: Path, rank: int) -> None:
        self.responses_file = folder / f"responses-{rank}.jsonl"
        self.labels_file = folder / f"labels-{rank}.jsonl"

    def begin(self, step: int) -> None:
        """Start the files, or cut them back to the update that is resumed from: what came after it is drawn again."""
        for file in (self.responses_file, self.labels_file):
            kept = [line for line in read_lines(file) if line["step"] < step] if step else []
            with atomic_write(file) as out:
                out.writelines(strict_json(line) + "\n" for line in kept)

    def add_responses(self, step: int, pairs: Sequence[SampledPair]) -> None:
        """Append what was drawn."""
        self._append(self.responses_file, (_drawn(step, pair) for pair in pairs))

    def add_labels(self, step: int, pairs: Sequence[SampledPair], labels: Sequence[PairLabel]) -> None:
        """Append what it was labelled with."""
        lines = ({"step": step, "row": pair.prompt.row, **asdict(label)} for pair, label in zip(pairs, labels, strict=True))
        self._append(self.labels_file, lines)

    def _append(self, file: Path, lines: Iterator[Mapping[str, Any]]) -> None:
        append_text(file, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def _drawn(step: int, pair: SampledPair) -> dict[str, Any]:
    responses = [{key: getattr(one, key) for key in ("text", "tokens", "finished")} for one in (pair.first, pair.second)]
    return {"step": step, "row": pair.prompt.row, "prompt": pair.prompt.prompt, "responses": responses}
