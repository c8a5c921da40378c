"""A causal language model as judge, here on this machine: the probabilities that it gives to its two answers.

Nothing is generated: one forward over the prompt gives the next token's distribution, and every spelling of an answer that
is a single token counts. What all prompts begin with is computed once, and what both orders of a comparison begin with once
for both.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from softpref.data.pairs import Message
from softpref.data.tokenization import PromptEncoder
from softpref.errors import InputError, OptionError
from softpref.judges.base import UNASKED, Answer, Question
from softpref.judges.batches import WINDOW_BATCHES, in_groups
from softpref.judges.checkpoints import load_checkpoint, model_form, position_limit
from softpref.judges.control_tokens import ControlTokens
from softpref.judges.header import Ids, common_length
from softpref.judges.next_token import NextToken
from softpref.judges.prompt import JudgePrompt
from softpref.judges.reading import MASS_FLOOR, Reading, turned
from softpref.judges.shown_text import shown_conversation, shown_response, unseen_difference
from softpref.loading.models import load_model

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# The likeliest tokens are kept with every answer: what the judge said where it gave no answer.
KEPT_TOKENS = 3


@dataclass
class LocalJudge:
    """Asks a causal language model for its next token and reads the two answers' probabilities.

    The prompt goes through the tokenizer's chat template where it has one, else as text. Log-probs are computed in fp32.

    Attributes:
        model: put into evaluation mode.
        name: what model this is, with its version; it must be another for other weights.
        batch_size: questions in one forward.
        mass_floor: the share of probability that the two answers must have together; below it the judgement has failed.

    Raises:
        InputError: an answer has no spelling that is a single token, or the tokenizer has no eos token.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    prompt: JudgePrompt
    name: str
    batch_size: int = 16
    mass_floor: float = MASS_FLOOR
    _encoder: PromptEncoder = field(init=False, repr=False)
    _control: ControlTokens = field(init=False, repr=False)
    _spellings: dict[str, Ids] = field(init=False, repr=False)
    _next_token: NextToken = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise OptionError(f"batch_size is {self.batch_size}; it must be at least 1")
        if self.tokenizer.eos_token_id is None:
            raise InputError(f"judge {self.name}: the tokenizer has no eos token; set tokenizer.eos_token")
        self.model.eval()
        self._encoder = PromptEncoder(self.tokenizer)
        self._control = ControlTokens(self.tokenizer)
        self._spellings = spelling_ids(self.tokenizer, self.prompt, self.name)
        self._next_token = NextToken(self.model, [i for ids in self._spellings.values() for i in ids])

    @property
    def identity(self) -> str:
        """Model, precision, prompt and chat template. Batch size and the rule of reading are no part of it."""
        return f"local:{self.name}:{model_form(self.model, self.tokenizer)}:{self.prompt.identity}"

    @property
    def method(self) -> dict[str, Any]:
        """How p comes about, for the label's record."""
        return {"answers": "log-probs"}

    def answer(self, questions: Iterable[Question]) -> Iterator[Answer]:
        """Answers as each batch is done, longest questions of a window first."""
        for window in in_groups(questions, WINDOW_BATCHES * self.batch_size):
            rows: list[_Row] = []
            for question in window:
                encoded = self._encoded(question)
                if isinstance(encoded, Answer):
                    yield encoded
                else:
                    rows.append(encoded)
            yield from self._answers(rows)

    def reread(self, question: Question, raw: str) -> Answer:
        """The answer in a stored record, by the present mass floor. It costs no forward."""
        return self._read(question, json.loads(raw), raw)

    def _encoded(self, question: Question) -> _Row | Answer:
        """Token ids of the question, or the failure that it is."""
        alike = unseen_difference(question.first, question.second)
        if alike is not None:
            return Answer(question, failure=alike, blame=UNASKED)
        ids = self._ids(question)
        if isinstance(ids, str):
            return Answer(question, failure=ids, blame=UNASKED)
        limit = position_limit(self.model)
        if limit is not None and len(ids) > limit:
            return Answer(question, failure=f"{len(ids)} tokens, and the model reads at most {limit}", blame=UNASKED)
        return _Row(question, ids)

    def _ids(self, question: Question) -> Ids | str:
        """Token ids, special tokens in what is judged encoded as the text that they are; or why that cannot be."""
        chat = self.tokenizer.chat_template is not None
        asked = self.prompt.as_messages if chat else self.prompt.as_text
        shown = (shown_conversation(question.prompt), shown_response(question.first), shown_response(question.second))
        control = self._control.first_in(shown)
        if control is None:
            return self._encoder.prompt(asked(question))
        plain = self._encoder.prompt(asked(question, self._control.without))
        ids = self._ids_of_text(asked(question), plain)
        if ids is None or not self._control.alike(ids, plain):
            return f"the text holds {control!r}, which this model's tokenizer cannot read as text"
        return ids

    def _ids_of_text(self, asked: str | list[Message], plain: Ids) -> Ids | None:
        """As the encoder has it: without an eos that the tokenizer appends, or a second bos."""
        if not isinstance(asked, str):
            return self._control.chat_ids(asked, add_generation_prompt=True)
        ids = self._control.text_ids(asked)
        return ids[:-1] if ids[-1:] == [self.tokenizer.eos_token_id] != plain[-1:] else ids

    def _answers(self, rows: Sequence[_Row]) -> Iterator[Answer]:
        """Both orders of a comparison together; what stands alone in plain batches."""
        pairs, alone = _paired(rows) if self.batch_size > 1 else ([], list(rows))
        pairs.sort(key=lambda pair: -max(len(row.ids) for row in pair))
        for batch in in_groups(pairs, self.batch_size // 2 or 1):
            logps = self._next_token.of_pairs([(one.ids, other.ids) for one, other in batch])
            yield from self._from_logps([row for pair in batch for row in pair], logps)
        for some in in_groups(sorted(alone, key=lambda row: -len(row.ids)), self.batch_size):
            yield from self._from_logps(some, self._next_token.of_rows([row.ids for row in some]))

    def _from_logps(self, rows: Sequence[_Row], logps: Tensor) -> Iterator[Answer]:
        by_spelling = {spelling: logps[:, ids].cpu().double().logsumexp(1).tolist() for spelling, ids in self._spellings.items()}
        top = logps.topk(min(KEPT_TOKENS, logps.shape[1]))
        top_ids, top_logps = top.indices.tolist(), top.values.tolist()
        for i, row in enumerate(rows):
            likeliest = [[self.tokenizer.decode([t]), p] for t, p in zip(top_ids[i], top_logps[i], strict=True)]
            record = {"answers": {s: values[i] for s, values in by_spelling.items()}, "top": likeliest}
            yield self._read(row.question, record, json.dumps(record, ensure_ascii=False), len(row.ids))

    def _read(self, question: Question, record: dict[str, Any], raw: str, tokens: int | None = None) -> Answer:
        reading = turned(read_spellings(record, self.prompt, self.mass_floor), self.prompt)
        usage = {} if tokens is None else {"tokens_in": tokens}
        return Answer(question, reading.first_logp, reading.second_logp, reading.mass, raw, reading.failure, usage)


def load_local_judge(
    model_name: str,
    prompt: JudgePrompt,
    batch_size: int = 16,
    mass_floor: float = MASS_FLOOR,
) -> LocalJudge:
    """The judge that a folder or a name on the Hub holds, on the accelerator where there is one. Raises InputError."""
    model, tokenizer, name = load_checkpoint(load_model, model_name)
    return LocalJudge(model, tokenizer, prompt, name, batch_size, mass_floor)


@dataclass(frozen=True)
class _Row:
    question: Question
    ids: Ids


def read_spellings(record: dict[str, Any], prompt: JudgePrompt, floor: float) -> Reading:
    """Both answers, every spelling of each summed, or the failure that they are.

    Args:
        record: ``{"answers": {spelling: log-prob}, "top": [[token, log-prob], …]}``, in nats.
        floor: the share of probability that both answers must have together.
    """
    listed = record["answers"]
    if any(math.isnan(logp) for logp in listed.values()):
        return Reading(failure="the model's log-probs are not numbers")
    first, second = (
        float(np.logaddexp.reduce([listed[spelling] for spelling in spellings if spelling in listed]))
        for spellings in (prompt.first, prompt.second)
    )
    mass = min(1.0, math.exp(first) + math.exp(second))
    if mass == 0 or mass < floor:
        said = record["top"][0][0]
        return Reading(
            mass=mass,
            failure=f"the two answers had {mass:.3f} of the probability, under {floor}; the likeliest token was {said!r}",
        )
    return Reading(first, second, mass)


def _paired(rows: Sequence[_Row]) -> tuple[list[tuple[_Row, _Row]], list[_Row]]:
    """Both orders of each comparison, and the rows whose other order is not here."""
    groups: dict[str, list[_Row]] = {}
    for row in rows:
        q = row.question
        sides = sorted(json.dumps(side) for side in (q.first, q.second))
        groups.setdefault(json.dumps([q.prompt, sides]), []).append(row)
    pairs, alone = [], []
    for group in groups.values():
        for two in in_groups(group, 2):
            if len(two) == 2 and common_length(two[0].ids, two[1].ids):
                pairs.append((two[0], two[1]))
            else:
                alone += two
    return pairs, alone


def spelling_ids(tokenizer: PreTrainedTokenizerBase, prompt: JudgePrompt, name: str) -> dict[str, Ids]:
    """Spelling → every token of the vocabulary whose text, without white space around it, is that spelling.

    Spellings of several tokens are left out: one next token cannot show them. Raises InputError where an answer has no
    spelling left.
    """
    wanted = {*prompt.first, *prompt.second}
    found: dict[str, Ids] = {}
    tokens = tokenizer.batch_decode([[i] for i in range(len(tokenizer))], clean_up_tokenization_spaces=False)
    for i, text in enumerate(tokens):
        if text.strip() in wanted:
            found.setdefault(text.strip(), []).append(i)
    for side, spellings in (("first", prompt.first), ("second", prompt.second)):
        if not any(spelling in found for spelling in spellings):
            raise InputError(
                f"judge {name}: no spelling in answers.{side} of prompt {prompt.name!r} is a single token of its tokenizer "
                f"({', '.join(map(repr, spellings))}); add one that is"
            )
    return found
