"""Models to evaluate, where a folder may hold a PEFT adapter alone: its base is named in it, and may lend its tokenizer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from softpref.errors import InputError
from softpref.run_folder import read_json
from softpref.scoring.models import load_model, load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ADAPTER_FILE = "adapter_config.json"


def base_of(model: str) -> str | None:
    """The model that an adapter's folder says it belongs to; None for anything that is no adapter's folder."""
    found = read_json(Path(model) / ADAPTER_FILE)
    base = found.get("base_model_name_or_path") if isinstance(found, dict) else None
    return str(base) if base else None


def load_policy(model: str) -> PreTrainedModel:
    """A model, or an adapter on its base, from a folder or the Hub, on the accelerator where there is one.

    Raises InputError where it cannot be loaded, saying whether it is the adapter's base that is missing.
    """
    import torch

    _refuse_lost_base(model)
    policy = load_model(model).eval()
    if torch.accelerator.is_available():
        policy = policy.to(torch.accelerator.current_accelerator())
    return policy


@contextmanager
def whole_model(model: str) -> Iterator[str]:
    """A folder or Hub name for what reads no adapters: a model's own; of an adapter, one with the two merged, for so long.

    Raises InputError as ``load_policy``.
    """
    if base_of(model) is None:
        yield model
        return
    _refuse_lost_base(model)
    with TemporaryDirectory(prefix="softpref-merged-") as folder:
        _merge(model, folder)
        yield folder


def _merge(adapter: str, folder: str) -> None:
    """Write the adapter's base with the adapter in it."""
    from peft import PeftModel

    whole = PeftModel.from_pretrained(load_model(str(base_of(adapter))), adapter, use_safetensors=True)
    plain = whole.get_base_model()
    tied = getattr(plain.config.get_text_config(), "tie_word_embeddings", False)
    embeddings = (plain.get_input_embeddings(), plain.get_output_embeddings())
    # merged into one of the two, an adapter would be in the other as well
    if tied and any(type(module).__module__.startswith("peft.") for module in embeddings):
        raise InputError(f"{adapter}: adapts embeddings that the head shares, which cannot be merged: leave engine vllm out")
    whole.merge_and_unload().save_pretrained(folder)


def _refuse_lost_base(model: str) -> None:
    base = base_of(model)
    if base is not None and find_spec("peft") is None:
        raise InputError(f"{model}: is an adapter, which needs peft: pip install 'softpref[peft]'")
    if base is not None and Path(base).is_absolute() and not Path(base).is_dir():
        raise InputError(f"{model}: is an adapter of {base}, which is not there; put it back, or mend {ADAPTER_FILE}")


def tokenizer_of(model: str) -> PreTrainedTokenizerBase:
    """The tokenizer that lies with a model, or, where an adapter's folder has none, its base's."""
    base = base_of(model)
    own = any((Path(model) / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json", "tokenizer.model"))
    return load_tokenizer(model if base is None or own else base)
