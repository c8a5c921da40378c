"""Responses from a causal language model through transformers: batched by length, left-padded, stopping at a terminator."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from softpref.data.prompt_encoder import PromptEncoder
from softpref.data.rendering import AnyPrompt
from softpref.errors import OptionError
from softpref.generation.engine import check_engine
from softpref.loading.vocabulary import embedding_rows, name_of, refuse_unknown_ids

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Sampling:
    """How to generate.

    Attributes:
        temperature: 0 is greedy.
        samples: responses per prompt; more than one needs a temperature.
        max_new_tokens: a response that reaches it is marked unfinished.
        batch_size: prompts × samples at a time.
        engine: transformers, or vllm where it is installed.
        engine_options: what vLLM's ``LLM`` takes, such as ``{"gpu_memory_utilization": 0.8}``.
        chat_template_kwargs: variables of the chat template, for every prompt; a prompt's own come before them.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    samples: int = 1
    max_new_tokens: int = 256
    batch_size: int = 32
    seed: int = 0
    engine: str = "transformers"
    engine_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        check_engine(self.engine, self.engine_options)
        if not 0 <= self.temperature < float("inf"):
            raise OptionError(f"temperature is {self.temperature}; 0 is greedy, above 0 samples")
        if not 0 < self.top_p <= 1:
            raise OptionError(f"top_p is {self.top_p}; it must lie in (0, 1]")
        if min(self.samples, self.max_new_tokens, self.batch_size) < 1:
            raise OptionError("samples, max_new_tokens and batch_size must be at least 1")
        if self.temperature == 0 and self.samples > 1:
            raise OptionError(f"greedy decoding gives one response: samples={self.samples} needs a temperature above 0")
        if self.temperature == 0 and self.top_p != 1:
            raise OptionError("top_p has no effect with greedy decoding: leave it out, or set a temperature")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON. Records made before the template had arguments name none."""
        return {name: value for name, value in asdict(self).items() if name != "chat_template_kwargs" or value}

    def encoder(self, tokenizer: PreTrainedTokenizerBase) -> PromptEncoder:
        """What renders and tokenises the prompts that are answered: special tokens inside messages are text."""
        return PromptEncoder(tokenizer, self.chat_template_kwargs, special_tokens="text")


@dataclass(frozen=True)
class Response:
    """One generated response: which prompt (its place in the list), which sample of it, its text and its token ids.

    ``tokens`` includes the terminator where the model gave one; ``finished`` says whether it did. ``logp`` is log π(y|x) in
    nats as the engine that drew it has it (at temperature 1), where it says so.
    """

    prompt: int
    sample: int
    text: str
    tokens: list[int]
    finished: bool
    logp: float | None = None


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[AnyPrompt],
    sampling: Sampling,
    done: Container[int] = frozenset(),
) -> Iterator[list[Response]]:
    """Batches of responses, as each batch is finished; longest prompts first, so that memory trouble shows at once.

    ``done`` holds the places of prompts that have their responses; a batch of which all are done is passed over. Batches are
    cut and seeded alike whatever is done, so a resumed run gives the text that an unbroken one would have given.
    """
    encoder = sampling.encoder(tokenizer)
    encoded = [encoder.prompt(prompt) for prompt in prompts]
    refuse_unknown_ids(encoded, embedding_rows(model), name_of(model))
    order = sorted(range(len(prompts)), key=lambda i: -len(encoded[i]))
    per_batch = max(1, sampling.batch_size // sampling.samples)
    for start in range(0, len(order), per_batch):
        places = order[start : start + per_batch]
        if all(place in done for place in places):
            continue
        yield _one_batch(model, encoder, places, [encoded[i] for i in places], sampling)


def _one_batch(
    model: PreTrainedModel,
    encoder: PromptEncoder,
    places: list[int],
    prompts: list[list[int]],
    sampling: Sampling,
) -> list[Response]:
    import torch
    from transformers import GenerationConfig

    ends = terminators_of(encoder, model.generation_config)
    tokenizer = encoder.tokenizer
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    longest = max(map(len, prompts))
    ids = torch.tensor([[pad] * (longest - len(p)) + p for p in prompts], device=model.device)
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=model.device)
    # all of it is said here: a repetition penalty that came with the model would make other samples than the model's own
    drawing: dict[str, Any] = {"do_sample": False}
    if sampling.temperature > 0:
        drawing = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
    config = GenerationConfig(
        max_new_tokens=sampling.max_new_tokens,
        num_return_sequences=sampling.samples,
        eos_token_id=sorted(ends),
        pad_token_id=pad,
        use_cache=True,
        **drawing,
    )
    was_training = model.training
    model.eval()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(sampling.seed * 1_000_003 + places[0])
        out = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
    model.train(was_training)
    found = []
    for row, tokens in enumerate(out[:, longest:].tolist()):
        place, sample = places[row // sampling.samples], row % sampling.samples
        found.append(response_of(tokens, ends, tokenizer, place, sample))
    return found


def terminators_of(encoder: PromptEncoder, config: GenerationConfig) -> set[int]:
    """Ids that end a response: the tokenizer's and its template's, and those of the model's generation config."""
    configured = config.eos_token_id
    listed = configured if isinstance(configured, list) else [configured]
    return {*encoder.terminators, *(int(end) for end in listed if end is not None)}


def response_of(
    tokens: list[int],
    ends: Collection[int],
    tokenizer: PreTrainedTokenizerBase,
    prompt: int,
    sample: int,
    logp: float | None = None,
) -> Response:
    """What an engine generated, up to and with the first terminator, and its text without it."""
    kept, finished = _until_terminator(tokens, ends)
    # by id: a template's end of turn is not always a special token of the tokenizer
    text = tokenizer.decode(kept[:-1] if finished else kept, skip_special_tokens=True).strip()
    return Response(prompt, sample, text, kept, finished, logp)


def _until_terminator(tokens: list[int], ends: Collection[int]) -> tuple[list[int], bool]:
    """What was generated before the padding: up to and with the first terminator."""
    for place, token in enumerate(tokens):
        if token in ends:
            return tokens[: place + 1], True
    return tokens, False
