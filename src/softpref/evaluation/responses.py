"""Responses of a model, or from a file, for a list of prompts; every batch on disk before the next one starts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from softpref.data.files import append_text, atomic_bytes
from softpref.data.pairs import Text
from softpref.data.rendering import AnyPrompt, Prompt
from softpref.data.row_reader import RowReader
from softpref.errors import DataError, Fault, OptionError
from softpref.generation.engine import deciding, require_engine
from softpref.generation.sampling import Response, Sampling
from softpref.loading.adapters import ADAPTER_FILE, base_of
from softpref.loading.models import (
    check_model,
    load_config,
    load_generation_config,
    load_policy,
    load_tokenizer,
    whole_model,
)
from softpref.loading.vocabulary import check_vocabulary, embedding_rows
from softpref.records.settings import ResponseSettings
from softpref.run_folder import read_lines


def generated(
    model: str,
    prompts: Sequence[AnyPrompt],
    sampling: Sampling,
    file: Path,
    on_batch: Callable[[int], None] | None = None,
) -> list[Response]:
    """One response per prompt and sample, from the model in a folder or on the Hub, in the prompts' order.

    ``file`` receives each batch as it is finished; ``FILE.settings.json`` beside it says what made them. Called again with
    the same settings, only what is missing is generated.

    Raises OptionError when the file was made with other settings.
    """
    made_by = {key: value for key, value in deciding(sampling.as_dict()).items() if key != "batch_size"}
    settings = ResponseSettings(model=model, files=_stamp(model), sampling=made_by, prompts=_digest(prompts))
    done = _already(file, settings)
    if len(done) < len(prompts) * sampling.samples:
        _generate_missing(model, prompts, sampling, file, done, on_batch)
    return [done[i, k] for i in range(len(prompts)) for k in range(sampling.samples)]


def check_models(models: Iterable[tuple[str, Path]]) -> None:
    """Refuse a model that could not be loaded before another has generated: each with the ``file`` that ``generated`` gets.

    The first is loaded at once; one that has begun its file was loaded before. Raises ModelError.
    """
    waiting = [model for model, file in models if not file.is_file() or not file.stat().st_size]
    for model in waiting[1:]:
        check_model(model)


# What decides a model's responses. Training writes other files into the same folder.
_DECIDING = (
    "*.safetensors",
    "config.json",
    ADAPTER_FILE,
    "generation_config.json",
    "tokenizer*",
    "*.jinja",
    "special_tokens_map.json",
)


def _stamp(model: str) -> str:
    """A model folder as it is now: names, sizes and times of what decides its responses; of an adapter's base too."""
    files = sorted({file for pattern in _DECIDING for file in Path(model).glob(pattern)})
    stamps: list[Any] = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    base = base_of(model)
    return _digest(stamps if base is None else [*stamps, _stamp(base)])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False, default=_as_json).encode()).hexdigest()


def _as_json(prompt: Prompt) -> Any:
    return asdict(prompt)


def _already(file: Path, settings: ResponseSettings) -> dict[tuple[int, int], Response]:
    beside = file.with_suffix(".settings.json")
    # an engine that did not start has left nothing that could be mixed with another's
    if not file.is_file() or not file.stat().st_size:
        settings.write(beside)
        return {}
    if not beside.is_file():
        raise OptionError(f"{file}: {beside.name} is missing, which says what made it; give another output folder")
    made_with = ResponseSettings.read(beside)
    changed = [key for key, value in vars(settings).items() if getattr(made_with, key) != value]
    if changed:
        raise OptionError(f"{file}: was made with another {', '.join(changed)}; give another output folder")
    found = {}
    _cut_torn_line(file)
    for row in read_lines(file):
        found[row["prompt"], row["sample"]] = Response(**row)
    return found


def _cut_torn_line(file: Path) -> None:
    """A run that was killed while it wrote leaves half a line, which the next line must not be added to."""
    content = file.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        with atomic_bytes(file) as out:
            out.write(whole)


def _generate_missing(
    model: str,
    prompts: Sequence[AnyPrompt],
    sampling: Sampling,
    file: Path,
    done: dict[tuple[int, int], Response],
    on_batch: Callable[[int], None] | None,
) -> None:
    whole = {place for place, _ in done if all((place, k) in done for k in range(sampling.samples))}
    for batch in _ENGINES[sampling.engine](model, prompts, sampling, whole):
        append_text(file, "".join(json.dumps(asdict(r), ensure_ascii=False) + "\n" for r in batch))
        done.update({(r.prompt, r.sample): r for r in batch})
        if on_batch is not None:
            on_batch(len(batch))


def _through_transformers(
    model: str, prompts: Sequence[AnyPrompt], sampling: Sampling, done: Container[int]
) -> Iterator[list[Response]]:
    from softpref.generation.sampling import generate

    tokenizer, policy = load_tokenizer(model), load_policy(model)
    check_vocabulary(tokenizer, embedding_rows(policy), model)
    yield from generate(policy, tokenizer, prompts, sampling, done)


def _through_vllm(model: str, prompts: Sequence[AnyPrompt], sampling: Sampling, done: Container[int]) -> Iterator[list[Response]]:
    from softpref.generation.vllm_engine import VllmEngine

    require_engine("vllm")
    config, tokenizer = load_config(base_of(model) or model), load_tokenizer(model)
    # left to itself, vLLM computes float32 models in less
    loaded = {"dtype": str(config.dtype or "float32").removeprefix("torch.")}
    check_vocabulary(tokenizer, config.get_text_config().vocab_size, model)
    with (
        whole_model(model) as folder,
        closing(VllmEngine({"model": folder, **loaded}, sampling.engine_options)) as engine,
    ):
        yield from engine.responses(tokenizer, load_generation_config(folder), prompts, sampling, done)


_ENGINES: Mapping[str, Callable[[str, Sequence[AnyPrompt], Sampling, Container[int]], Iterator[list[Response]]]] = {
    "transformers": _through_transformers,
    "vllm": _through_vllm,
}


def from_column(rows: Sequence[tuple[int, dict[str, Any]]], column: str, name: str) -> list[Text]:
    """The responses that stand in the data: one per numbered row, text or one message of the assistant.

    Raises DataError with every row without one, or with something that is no answer to its prompt.
    """
    faults: list[Fault] = []
    found = [_answer(RowReader(number, row, faults), column) for number, row in rows]
    if faults:
        raise DataError(name, faults)
    return [answer for answer in found if answer is not None]


def _answer(row: RowReader, column: str) -> Text | None:
    if not row.has(column):
        row.fault(column, "is missing", "give a response in every row")
        return None
    # a model answers messages with bare text
    return row.text(column) if isinstance(row.values[column], str) else row.response(column, row.values.get("prompt"))
