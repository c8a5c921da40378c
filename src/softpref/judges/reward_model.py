"""A reward model as judge: it scores each response by itself, and a scale turns a difference of scores into a probability."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from softpref.data.model_lengths import alike, reset_ropes
from softpref.data.pairs import Message, Text, text_of
from softpref.errors import InputError, OptionError
from softpref.judges.base import UNASKED, Answer, Question
from softpref.judges.batches import WINDOW_BATCHES, in_groups
from softpref.judges.checkpoints import load_checkpoint, model_form, position_limit
from softpref.judges.control_tokens import ControlTokens, texts_of
from softpref.loading.models import load_classifier

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Row = dict[str, list[int]]  # input_ids, and token_type_ids for models that tell two segments apart

logger = logging.getLogger(__name__)


@dataclass
class RewardModelJudge:
    """P(the first is preferred) = ``s(scale · (r(first) − r(second)))`` (Bradley–Terry; arXiv 2409.06691, §2).

    Where a response is shown makes no difference to its score: both orders say the same, and a response that both orders
    ask about is scored once. Prompt and response go through the tokenizer's chat template where it has one; else as two
    segments where the tokenizer has a separator, and one after the other, ended by eos, where it has none.

    Attributes:
        model: a sequence classifier with one output; put into evaluation mode.
        name: what model this is, with its version; it must be another for other weights.
        scale: log-odds per unit of score, given or from ``fit_scale``.
        batch_size: responses in one forward.

    Raises:
        InputError: the model has more outputs than one.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    scale: float
    batch_size: int = 16
    _control: ControlTokens = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise OptionError(f"batch_size is {self.batch_size}; it must be at least 1")
        if not 0 < self.scale < math.inf:
            raise OptionError(f"scale is {self.scale}; it must be above 0")
        if self.model.config.num_labels != 1:
            raise InputError(
                f"{self.name} has {self.model.config.num_labels} outputs; a reward model has one: give a sequence classifier "
                "with num_labels=1"
            )
        self.model.eval()
        self._control = ControlTokens(self.tokenizer)
        if self._pad is None and self.batch_size > 1:
            logger.warning("%s: its configuration has no pad_token_id; responses are scored one by one", self.name)
            self.batch_size = 1

    @property
    def identity(self) -> str:
        """Model, precision and chat template. Scores are what is stored, so the scale is no part of it."""
        return f"reward_model:{self.name}:{model_form(self.model, self.tokenizer)}"

    @property
    def method(self) -> dict[str, Any]:
        """How p comes about, for the label's record."""
        return {"answers": "scores", "scale": self.scale}

    def answer(self, questions: Iterable[Question]) -> Iterator[Answer]:
        """Answers as each batch is done, longest texts of a window first."""
        for window in in_groups(questions, WINDOW_BATCHES * self.batch_size):
            scores: dict[str, float | str] = {}
            # both orders are as long as one another, so they come together; characters stand for tokens
            window.sort(key=lambda q: -len(text_of(q.prompt)) - max(len(text_of(q.first)), len(text_of(q.second))))
            for batch in in_groups(window, self.batch_size):
                self._score(((q.prompt, response) for q in batch for response in (q.first, q.second)), scores)
                for q in batch:
                    yield self._read(q, scores[_key(q.prompt, q.first)], scores[_key(q.prompt, q.second)])

    def reread(self, question: Question, raw: str) -> Answer:
        """The answer in stored scores, at the present scale. It costs no forward."""
        first, second = json.loads(raw)["scores"]
        return self._read(question, first, second)

    def _score(self, texts: Iterable[tuple[Text, Text]], scores: dict[str, float | str]) -> None:
        """Add the score of each (prompt, response) that has none yet, or why it has none."""
        new: dict[str, Row] = {}
        for prompt, response in texts:
            key = _key(prompt, response)
            if key in scores or key in new:
                continue
            encoded = self.encoded(prompt, response)
            if isinstance(encoded, str):
                scores[key] = encoded
            else:
                new[key] = encoded
        lengths = {key: len(row["input_ids"]) for key, row in new.items()}
        for batch in in_groups(sorted(new, key=lambda key: -lengths[key]), self.batch_size):
            for places in alike(self.model, [lengths[key] for key in batch]):
                keys = [batch[place] for place in places]
                scores |= zip(keys, self._forward([new[key] for key in keys]), strict=True)

    def _forward(self, rows: Sequence[Row]) -> list[float]:
        """N scores. Padded on the right with the id that the model's pooling takes for padding."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        device = self.model.device
        columns = {name: [torch.tensor(row[name]) for row in rows] for name in rows[0]}
        columns["attention_mask"] = [torch.ones_like(ids) for ids in columns["input_ids"]]
        fill = {"input_ids": self._pad or 0}
        padded = {
            name: pad_sequence(column, batch_first=True, padding_value=fill.get(name, 0)).to(device)
            for name, column in columns.items()
        }
        reset_ropes(self.model)
        with torch.inference_mode():
            scores: list[float] = self.model(**padded).logits.cpu().double().squeeze(1).tolist()
        return scores

    @property
    def _pad(self) -> int | None:
        pad: int | None = self.model.config.get_text_config().pad_token_id
        return pad

    def encoded(self, prompt: Text, response: Text) -> Row | str:
        """Prompt and response in tokens, or why they cannot be scored. Training a reward model reads them alike."""
        row = self._row(prompt, response)
        if isinstance(row, str):
            return row
        length, limit = (
            len(row["input_ids"]),
            min(position_limit(self.model) or math.inf, self.tokenizer.model_max_length),
        )
        return row if length <= limit else f"{length} tokens, and the model reads at most {limit}"

    def _row(self, prompt: Text, response: Text) -> Row | str:
        """In tokens; special tokens in what is scored are encoded as the text that they are, or why that cannot be."""
        control = self._control.first_in(texts_of([prompt, response]))
        if control is None:
            return self._encoded(prompt, response, as_text=False)
        ids = self._encoded(prompt, response, as_text=True)
        plain = self._encoded(self._without(prompt), self._without(response), as_text=False)
        if not self._control.alike(ids["input_ids"], plain["input_ids"]):
            # it would be the token itself: a response could end its own turn
            return f"the text holds {control!r}, which this model's tokenizer cannot read as text"
        return ids

    def _without(self, text: Text) -> Text:
        if isinstance(text, str):
            return self._control.without(text)
        return [
            {key: self._control.without(value) if isinstance(value, str) else value for key, value in m.items()} for m in text
        ]

    def _encoded(self, prompt: Text, response: Text, as_text: bool) -> Row:
        tokenizer = self.tokenizer
        if tokenizer.chat_template is not None:
            messages = [*_messages(prompt, "user"), *_messages(response, "assistant")]
            ids = self._control.chat_ids(messages) if as_text else None
            if ids is not None:
                return {"input_ids": ids}
            text = tokenizer.apply_chat_template(messages, tokenize=False)
            return {"input_ids": list(tokenizer(text, add_special_tokens=False)["input_ids"])}
        if not isinstance(prompt, str) or not isinstance(response, str):
            raise InputError(f"the data are messages, but {self.name} has no chat template: give text")
        if tokenizer.sep_token_id is not None:
            encoded = tokenizer(prompt, response, split_special_tokens=as_text)
            return {name: list(values) for name, values in encoded.items() if name != "attention_mask"}
        ids = list(tokenizer(prompt + response, split_special_tokens=as_text)["input_ids"])
        return {"input_ids": ids if ids and ids[-1] == tokenizer.eos_token_id else [*ids, tokenizer.eos_token_id]}

    def _read(self, question: Question, first: float | str, second: float | str) -> Answer:
        failures = [score for score in (first, second) if isinstance(score, str)]
        if failures:
            return Answer(question, failure=failures[0], blame=UNASKED)
        raw = json.dumps({"scores": [first, second]})
        log_odds = self.scale * (float(first) - float(second))
        if not math.isfinite(log_odds):
            return Answer(question, raw=raw, failure=f"the scores are {first} and {second}")
        first_logp, second_logp = (-float(np.logaddexp(0, z)) for z in (-log_odds, log_odds))
        return Answer(question, first_logp, second_logp, mass=1.0, raw=raw)


def load_reward_model_judge(model_name: str, scale: float, batch_size: int = 16) -> RewardModelJudge:
    """The judge that a folder or a name on the Hub holds, on the accelerator where there is one. Raises InputError."""
    model, tokenizer, name = load_checkpoint(load_classifier, model_name)
    return RewardModelJudge(model, tokenizer, name, scale, batch_size)


def fit_scale(score_1: ArrayLike, score_2: ArrayLike, soft_label: ArrayLike) -> float:
    """The scale a > 0 under which ``s(a · (r1 − r2))`` gives the soft labels the best log score (maximum likelihood).

    It is one over the temperature of ``core.calibration.fit_temperature``. All three are (N,). Fit on one part of the data
    and judge another.

    Raises InputError where no scale is best: the scores do not go with the labels, or separate them without exception.
    """
    from softpref.core.calibration import fit_temperature

    difference = np.asarray(score_1, dtype=np.float64) - np.asarray(score_2, dtype=np.float64)
    p = np.asarray(soft_label, dtype=np.float64)
    # the log score is convex in a; its slope is −Σ (p − s(a·d))·d, so the best a lies between 0 and ∞ exactly when
    # that sum is above 0 at a = 0 and below 0 as a → ∞
    if not np.sum((p - 0.5) * difference) > 0:
        raise InputError("the higher score does not go with the preferred response: no scale above 0 fits these labels")
    if not np.sum((p - (difference > 0)) * difference) < 0:
        raise InputError("the higher score is the certain winner of every pair: any scale fits; give more pairs or soft labels")
    return 1 / fit_temperature(difference, p)


def _key(prompt: Text, response: Text) -> str:
    return json.dumps([prompt, response])


def _messages(text: Text, role: str) -> list[Message]:
    return [{"role": role, "content": text}] if isinstance(text, str) else text
