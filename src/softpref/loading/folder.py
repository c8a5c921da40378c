"""A model's folder before a library opens it: the files that it needs, whole, without pickle, and inside the folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from softpref.errors import InputError, ModelError
from softpref.run_folder import read_json

CONFIG_FILE = "config.json"
GENERATION_FILE = "generation_config.json"
WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")


def refuse_missing_folder(name: str) -> None:
    """What cannot be a Hub name is a folder; without this a misspelt one is looked for on the Hub for a long time."""
    if Path(name).is_file():
        raise ModelError(f"model {name!r}: is a file; give the folder that holds it")
    if is_missing_folder(name):
        raise ModelError(f"model {name!r}: no such folder")


def is_missing_folder(name: str) -> bool:
    """Whether a name can only be a folder's, and there is none."""
    looks_like_a_path = name.startswith((".", "/", "~")) or name.count("/") > 1
    return looks_like_a_path and not Path(name).is_dir()


def check_folder(folder: Path) -> None:
    """Raises ModelError for a local folder whose config or weights cannot be read, naming the file."""
    read_config(folder)
    _check_generation_config(folder / GENERATION_FILE)
    for file in weight_files(folder):
        check_safetensors(file)


def _check_generation_config(file: Path) -> None:
    """transformers passes over a damaged one, and with it over the ids that end a response."""
    if not file.is_file():
        return
    ends = _read_object(file).get("eos_token_id")
    if not all(end is None or type(end) is int for end in (ends if isinstance(ends, list) else [ends])):
        raise ModelError(f"{file}: eos_token_id is {ends!r}; give a token id or a list of them")


def read_config(folder: Path) -> dict[str, Any]:
    """``config.json`` of a model's folder. Raises ModelError where it is missing or names no kind of model."""
    if not (folder / CONFIG_FILE).is_file():
        raise ModelError(f"{folder}: has no {CONFIG_FILE}; give the folder that save_pretrained wrote")
    config = _read_object(folder / CONFIG_FILE)
    if not isinstance(config.get("model_type"), str):
        raise ModelError(f"{folder / CONFIG_FILE}: names no model_type; restore the file that was saved with the model")
    return config


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a local model's weights: one, or the shards of an index.

    Raises ModelError where there is none, where only a pickle is there, or where a shard is missing or outside the folder.
    """
    if (folder / WEIGHTS_FILE).is_file():
        return [folder / WEIGHTS_FILE]
    if (folder / INDEX_FILE).is_file():
        return _shards(folder)
    pickles = sorted(folder.glob("pytorch_model*.bin"))
    if pickles:
        raise ModelError(
            f"{folder}: holds its weights as a pickle ({pickles[0].name}), which can run code when it is read; save the model "
            "again with save_pretrained, which writes safetensors"
        )
    raise ModelError(f"{folder}: has no {WEIGHTS_FILE}; give the folder that save_pretrained wrote")


def _shards(folder: Path) -> list[Path]:
    file = folder / INDEX_FILE
    index = _read_object(file)
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not isinstance(index.get("metadata"), dict):
        raise ModelError(f"{file}: holds no weight_map and metadata; copy or download the file again")
    names = sorted({name if isinstance(name, str) else repr(name) for name in weight_map.values()})
    for name in names:
        if Path(name).is_absolute() or os.path.normpath(name).startswith("..") or not name.endswith(".safetensors"):
            raise ModelError(f"{file}: names {name!r}, which is no safetensors file inside the folder; download the index again")
        if not (folder / name).is_file():
            raise ModelError(f"{folder}: its index names {name}, which is not there; copy or download it again")
    return [folder / name for name in names]


def check_safetensors(file: Path) -> list[str]:
    """Names of a file's tensors. Only its header is read. Raises ModelError for a file that is damaged or cut short."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as opened:
            return list(opened.keys())
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{file}: is damaged or cut short ({error}); copy or download it again") from error


def damaged_json(folder: Path, names: Iterable[str]) -> str | None:
    """Which of a folder's JSON files cannot be read, and why; None where all can, or there is no such folder."""
    return next(filter(None, (_damage(folder / name) for name in names)), None)


def _damage(file: Path) -> str | None:
    try:
        _read_object(file)
    except InputError as error:
        return str(error) if file.is_file() else None
    return None


def _read_object(file: Path) -> dict[str, Any]:
    try:
        content = read_json(file)
    except InputError as error:
        raise ModelError(f"{error}; copy or download it again") from error
    if not isinstance(content, dict):
        raise ModelError(f"{file}: is no JSON object; copy or download it again")
    return content
