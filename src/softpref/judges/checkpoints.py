"""Judges from a folder or the Hub: loaded safely, and named so that other weights are another judge."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softpref.data.model_lengths import position_limit as table_limit
from softpref.errors import ModelError
from softpref.loading.adapters import ADAPTER_FILE, base_of
from softpref.loading.folder import CONFIG_FILE
from softpref.loading.models import load_tokenizer, on_accelerator
from softpref.loading.vocabulary import check_vocabulary, embedding_rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


# Suffixes of the files that decide a checkpoint's answers.
_DECIDING = (".safetensors", ".json", ".jinja", ".model", ".txt")


def load_checkpoint(load: Callable[[str], PreTrainedModel], name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, str]:
    """Model by ``load_model`` or ``load_classifier``, its tokenizer, and ``name@version``.

    In the dtype it was saved in, on the accelerator where there is one. Raises ModelError as they do.
    """
    try:
        model, tokenizer = load(name), load_tokenizer(name)
        check_vocabulary(tokenizer, embedding_rows(model), name)
    except ModelError as error:
        raise ModelError(f"judge: {error}") from error
    return on_accelerator(model), tokenizer, f"{name}@{checkpoint_version(name, model)}"


def checkpoint_version(name: str, model: Any) -> str:
    """The commit on the Hub, or the first 12 digits of the SHA-256 over a folder's files: other weights, another version.

    Of an adapter the base counts too.
    """
    base = base_of(name) if Path(name).is_dir() else getattr(model.config, "name_or_path", None)
    places = list(dict.fromkeys(filter(None, (name, base))))
    folders = [place for place in places if Path(place).is_dir()]
    commits = [str(hub_commit(place)) for place in places if not Path(place).is_dir()]
    return "+".join([*([_digest(folders)] if folders else []), *commits])


def _digest(folders: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(p for p in Path(folder).glob("*") if p.suffix in _DECIDING):
            digest.update(f"{path.name} {path.stat().st_size}\n".encode())
            with path.open("rb") as file:
                while chunk := file.read(1 << 24):
                    digest.update(chunk)
    return digest.hexdigest()[:12]


def hub_commit(name: str) -> str | None:
    """The commit on the Hub of a model that was loaded, from where it lies in the Hub's cache; None where it does not."""
    from huggingface_hub import try_to_load_from_cache

    files = (try_to_load_from_cache(name, file) for file in (CONFIG_FILE, ADAPTER_FILE))
    return next((Path(file).parent.name for file in files if isinstance(file, str)), None)


def position_limit(model: PreTrainedModel) -> int | None:
    """Tokens that the model can read at most, by its configuration and its table of positions; None without a limit."""
    named = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    limits = [limit for limit in (named, table_limit(model)) if limit and limit > 0]
    return int(min(limits)) if limits else None


def model_form(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    """Precision and chat template, for an identity: both change answers."""
    template = tokenizer.chat_template
    form = "text" if template is None else f"chat-{hashlib.sha256(json.dumps(template).encode()).hexdigest()[:8]}"
    return f"{str(model.dtype).removeprefix('torch.')}:{form}"
