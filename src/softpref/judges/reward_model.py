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

from softpref.data.pairs import Message, Text, text_of
from softpref.errors import InputError, OptionError
from softpref.judges.base import Answer, Question
from softpref.judges.local import WINDOW_BATCHES, in_groups, load_checkpoint, position_limit, template_form

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

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
    _special: frozenset[str] = field(init=False, repr=False)

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
        added = self.tokenizer.added_tokens_decoder.values()
        self._special = frozenset(str(t) for t in added if t.special) - {self.tokenizer.unk_token}
        if self._pad is None and self.batch_size > 1:
            logger.warning("%s: its configuration has no pad_token_id; responses are scored one by one", self.name)
            self.batch_size = 1

    @property
    def identity(self) -> str:
        """Model, precision and chat template. Scores are what is stored, so the scale is no part of it."""
        return f"reward_model:{self.name}:{str(self.model.dtype).removeprefix('torch.')}:{template_form(self.tokenizer)}"

    @property
    def method(self) -> dict[str, Any]:
        """How p comes about, for the label's record."""
        return {"answers": "scores", "scale": self.scale}

    def answer(self, questions: Iterable[Question]) -> Iterator[Answer]:
        """Answers as soon as both responses are scored, longest responses of a window first."""
        for window in in_groups(questions, WINDOW_BATCHES * self.batch_size):
            yield from self._answers(window)

    def reread(self, question: Question, raw: str) -> Answer:
        """The answer in stored scores, at the present scale. It costs no forward."""
        return self._read(question, *json.loads(raw)["scores"])

    def _answers(self, window: Sequence[Question]) -> Iterator[Answer]:
        ids: dict[str, list[int]] = {}
        scores: dict[str, float | str] = {}  # a score, or why there is none
        for question in window:
            for response in (question.first, question.second):
                key = _key(question.prompt, response)
                if key not in ids and key not in scores:
                    encoded = self._encoded(question.prompt, response)
                    (scores if isinstance(encoded, str) else ids)[key] = encoded  # type: ignore[index]
        waiting = list(window)
        for batch in [[], *in_groups(sorted(ids, key=lambda key: -len(ids[key])), self.batch_size)]:
            if batch:
                scores |= zip(batch, self._scores([ids[key] for key in batch]), strict=True)
            asked = [(q, _key(q.prompt, q.first), _key(q.prompt, q.second)) for q in waiting]
            waiting = [q for q, first, second in asked if first not in scores or second not in scores]
            yield from (
                self._read(q, scores[one], scores[two]) for q, one, two in asked if one in scores and two in scores
            )
