"""A causal language model as judge, here on this machine: the probabilities that it gives to its two answers.

Nothing is generated: one forward over the prompt gives the next token's distribution, and every spelling of an answer that
is a single token counts. What both orders of a comparison begin with is computed once for both.
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
import json
import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from softpref.data.pairs import text_of
from softpref.data.tokenization import PromptEncoder
from softpref.errors import InputError, OptionError
from softpref.judges.base import Answer, Question
from softpref.judges.prompt import JudgePrompt
from softpref.judges.reading import MASS_FLOOR, Reading, turned

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Ids = list[int]
Item = TypeVar("Item")

# Questions are sorted by length inside a window of this many batches; memory does not grow with the number of questions.
WINDOW_BATCHES = 32
# How far both ways of computing may differ, in nats; more in half precision, where log-probs themselves are that coarse.
TOLERANCE, TOLERANCE_IN_EPS = 1e-3, 16
# The likeliest tokens are kept with every answer: what the judge said where it gave no answer.
KEPT_TOKENS = 3

logger = logging.getLogger(__name__)


# ------------------------------------------------------------------------------------------------------ the judge


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
    _spellings: dict[str, Ids] = field(init=False, repr=False)
    _next_token: NextToken = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise OptionError(f"batch_size is {self.batch_size}; it must be at least 1")
        if self.tokenizer.eos_token_id is None:
            raise InputError(f"judge {self.name}: the tokenizer has no eos token; set tokenizer.eos_token")
        self.model.eval()
        self._encoder = PromptEncoder(self.tokenizer)
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
        texts = [text_of(text) for text in (question.prompt, question.first, question.second)]
        marker = next((m for m in self._encoder.markers.values() if any(m in text for text in texts)), None)
        if marker is not None:
            # tokenised, it would be the marker itself: a response could end its own turn and speak as the judge
            return Answer(
                question, failure=f"the text holds {marker!r}, which this model's tokenizer reads as a marker"
            )
        chat = self.tokenizer.chat_template is not None
        ids = self._encoder.prompt(self.prompt.as_messages(question) if chat else self.prompt.as_text(question))
        limit = position_limit(self.model)
        if limit is not None and len(ids) > limit:
            return Answer(question, failure=f"{len(ids)} tokens, and the model reads at most {limit}")
        return _Row(question, ids)

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
        by_spelling = {
            spelling: logps[:, ids].cpu().double().logsumexp(1).tolist() for spelling, ids in self._spellings.items()
        }
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
    from transformers import AutoModelForCausalLM

    model, tokenizer, name = load_checkpoint(AutoModelForCausalLM, model_name)
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
            if len(two) == 2 and _common(two[0].ids, two[1].ids):
                pairs.append((two[0], two[1]))
            else:
                alone += two
    return pairs, alone


def _common(one: Ids, other: Ids) -> int:
    """Tokens that both begin with; one at least of each is left over, to give the next token's distribution."""
    longest = min(len(one), len(other)) - 1
    return next((i for i in range(longest) if one[i] != other[i]), longest)


def in_groups(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of ``size`` items, the last maybe shorter; no item is taken before its group is wanted."""
    rest = iter(items)
    while group := list(itertools.islice(rest, size)):
        yield group


# ------------------------------------------------------------------------------------------------------ the spellings


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


# ------------------------------------------------------------------------------------------------------ the forwards


class NextToken:
    """Log-softmax of a model's next token, in batches; for pairs of rows, what they begin with is computed once.

    What a model can do is not asked of its kind but of its numbers, on the ``watched`` tokens: the first batch with padding
    against its shortest row alone, and of every batch of pairs that is longer than any before the longest and the shortest
    pair against the plain way. Where they differ, rows are computed one by one, or the plain way is taken, from then on; a
    warning says so.
    """

    def __init__(self, model: PreTrainedModel, watched: Ids) -> None:
        bare = model.get_base_model() if hasattr(model, "get_base_model") else model  # PEFT hides the signature
        self.model = model
        self.watched = watched
        self.accepts = set(inspect.signature(bare.forward).parameters)
        self.shares = {"past_key_values", "position_ids", "logits_to_keep"} <= self.accepts
        self.pads = True
        self._padding_checked = False
        self._trusted_length = 0

    def of_rows(self, rows: Sequence[Ids]) -> Tensor:
        """(N, V) in nats for N rows."""
        import torch

        if self.pads:
            batch = self._plain(rows)
            shortest = min(range(len(rows)), key=lambda i: len(rows[i]))
            if self._padding_checked or len(rows[shortest]) == max(map(len, rows)):
                return batch
            self._padding_checked = True
            gap = self._gap(batch[shortest], self._plain([rows[shortest]])[0])
            self.pads = gap <= self._tolerance
            if self.pads:
                return batch
            self._warn(f"padding changes its log-probs by {gap:.2g} nats; rows are computed one by one")
        return torch.cat([self._plain([row]) for row in rows])

    def of_pairs(self, pairs: Sequence[tuple[Ids, Ids]]) -> Tensor:
        """(2B, V) in nats for B pairs of rows with at least their first token in common: pair by pair, as given."""
        if self.shares:
            try:
                shared = self._shared(pairs)
            except (RuntimeError, TypeError, ValueError, AttributeError, IndexError, NotImplementedError) as error:
                self._share_no_more(f"is not possible with its cache ({type(error).__name__}: {error})")
            else:
                if self._trusted(pairs, shared):
                    return shared
        return self.of_rows([row for pair in pairs for row in pair])

    def _trusted(self, pairs: Sequence[tuple[Ids, Ids]], shared: Tensor) -> bool:
        """Compare the longest and the shortest pair with the plain way, unless a batch as long has been compared before."""
        lengths = [max(map(len, pair)) for pair in pairs]
        if max(lengths) <= self._trusted_length:
            return True
        places = sorted({lengths.index(max(lengths)), lengths.index(min(lengths))})
        plain = self.of_rows([row for place in places for row in pairs[place]])
        gap = self._gap(shared[[2 * place + order for place in places for order in (0, 1)]], plain)
        if not gap <= self._tolerance:  # nan is no agreement
            self._share_no_more(f"changes its log-probs by {gap:.2g} nats")
            return False
        self._trusted_length = max(lengths)
        return True

    def _share_no_more(self, problem: str) -> None:
        self.shares = False
        self._warn(f"computing once what two questions share {problem}; the plain way is taken")

    @property
    def _tolerance(self) -> float:
        import torch

        return max(TOLERANCE, TOLERANCE_IN_EPS * torch.finfo(self.model.dtype).eps)

    def _gap(self, one: Tensor, other: Tensor) -> float:
        """Largest difference on the watched tokens; 0 where both are the same infinity."""
        one, other = one[..., self.watched], other[..., self.watched]
        return float((one - other).abs().masked_fill(one == other, 0.0).max())

    def _warn(self, what: str) -> None:
        logger.warning("%s: %s", type(self.model).__name__, what)

    def _plain(self, rows: Sequence[Ids]) -> Tensor:
        """Padded on the left, so that one column is the last of all."""
        import torch

        ids, mask = self._padded(rows, left=True)
        with torch.inference_mode():
            return _log_softmax(self._forward(ids, mask, keep=1, use_cache=False).logits[:, -1])

    def _shared(self, pairs: Sequence[tuple[Ids, Ids]]) -> Tensor:
        """Prefixes once into a cache, padded on the left; then both rests of each, padded on the right.

        So there is no padding between the two, and columns count as positions do (a sliding window counts columns).
        """
        import torch
        from transformers import DynamicCache

        prefixes, rests = _split(pairs)
        ids, mask = self._padded(prefixes, left=True)
        rest_ids, rest_mask = self._padded(rests, left=False)
        with torch.inference_mode():
            cache = self._forward(ids, mask, keep=1, use_cache=True).past_key_values
            if not isinstance(cache, DynamicCache):
                raise TypeError(f"a {type(cache).__name__} cannot be repeated")
            cache.batch_repeat_interleave(2)
            whole_mask = torch.cat([mask.repeat_interleave(2, 0), rest_mask], 1)
            ends, end_of = torch.unique(rest_mask.sum(1) - 1, return_inverse=True)
            out = self._forward(rest_ids, whole_mask, keep=ends, use_cache=True, past_key_values=cache)
            return _log_softmax(out.logits[torch.arange(len(rests), device=end_of.device), end_of])

    def _forward(self, ids: Tensor, mask: Tensor, keep: int | Tensor, **options: Any) -> Any:
        """``mask`` covers what is in the cache too; positions count what it shows."""
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        optional = {"position_ids": positions, "logits_to_keep": keep}
        accepted = {name: value for name, value in optional.items() if name in self.accepts}
        return self.model(input_ids=ids, attention_mask=mask, **accepted, **options)

    def _padded(self, rows: Sequence[Ids], left: bool) -> tuple[Tensor, Tensor]:
        """Ids and attention mask, each (N, T); the id under padding is 0 and nothing attends to it."""
        import torch

        ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            place = slice(ids.shape[1] - len(row), None) if left else slice(len(row))
            ids[i, place], mask[i, place] = torch.tensor(row), 1
        return ids.to(self.model.device), mask.to(self.model.device)


def _split(pairs: Sequence[tuple[Ids, Ids]]) -> tuple[list[Ids], list[Ids]]:
    """B prefixes, each the beginning of both rows of its pair, and the 2B rests.

    Rests are padded to the longest anyway, so every other takes in as much of its prefix as fits there: prefixes get
    shorter, and nearly all rows end in the same column, which is all that the vocabulary is computed for.
    """
    longest_rest = max(max(len(one), len(other)) - _common(one, other) for one, other in pairs)
    prefixes = [one[: max(1, min(len(one), len(other)) - longest_rest)] for one, other in pairs]
    rests = [row[len(prefix) :] for pair, prefix in zip(pairs, prefixes, strict=True) for row in pair]
    return prefixes, rests


def _log_softmax(logits: Tensor) -> Tensor:
    """In fp32 whatever the model's dtype (fp64 stays): bf16 would round log-probs to two digits."""
    import torch

    precise = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
    return precise.log_softmax(-1)


# ------------------------------------------------------------------------------------------------------ checkpoints


def load_checkpoint(kind: Any, name: str) -> tuple[Any, Any, str]:
    """Model of one of transformers' Auto classes, its tokenizer, and ``name@version``, safely: no remote code, no pickle.

    In the dtype it was saved in, on the accelerator where there is one. Raises InputError when it cannot be loaded, or
    when it lacks weights that the class needs: they would be random.
    """
    import torch
    from transformers import AutoTokenizer

    try:
        model, loaded = kind.from_pretrained(name, use_safetensors=True, output_loading_info=True)
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(f"judge {name!r} cannot be loaded: {reason}") from error
    if loaded["missing_keys"]:
        missing = sorted(loaded["missing_keys"])
        raise InputError(f"judge {name!r} lacks {len(missing)} weights of a {type(model).__name__} ({missing[0]}, …)")
    if torch.accelerator.is_available():
        model = model.to(torch.accelerator.current_accelerator())
    return model, tokenizer, f"{name}@{checkpoint_version(name, model)}"


def checkpoint_version(name: str, model: Any) -> str:
    """The commit on the Hub, or the first 12 digits of the SHA-256 over a folder's files: other weights, another version."""
    if not Path(name).is_dir():
        return str(getattr(model.config, "_commit_hash", None))
    digest = hashlib.sha256()
    for path in sorted(
        p for p in Path(name).iterdir() if p.suffix in (".safetensors", ".json", ".jinja", ".model", ".txt")
    ):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            while chunk := file.read(1 << 24):
                digest.update(chunk)
    return digest.hexdigest()[:12]


def position_limit(model: PreTrainedModel) -> int | None:
    """Tokens that the model can read at most; None where its configuration names no limit."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return int(limit) if limit and limit > 0 else None


def model_form(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    """Precision and chat template, for an identity: both change answers."""
    template = tokenizer.chat_template
    form = "text" if template is None else f"chat-{hashlib.sha256(json.dumps(template).encode()).hexdigest()[:8]}"
    return f"{str(model.dtype).removeprefix('torch.')}:{form}"
