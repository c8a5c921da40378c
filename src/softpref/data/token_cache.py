"""Token ids on disk, found again by what made them: the rows, the tokenizer and the options."""

from __future__ import annotations

import hashlib
import json
import logging
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from softpref.data.files import atomic_bytes, cache_folder
from softpref.data.pairs import Completion, PreferencePair, fingerprint
from softpref.data.tokenization import TokenCounts, TokenizedPair, TokenizedPairs, TokenOptions
from softpref.errors import StorageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# To be raised with every change of how text becomes tokens.
FORMAT = 3
SIDES = ("prompt", "chosen", "rejected")
# The name of the array that holds the SHA-256 over the others.
DIGEST = "digest"

logger = logging.getLogger(__name__)


def cached_tokens(
    rows: Sequence[PreferencePair | Completion],
    tokenizer: PreTrainedTokenizerBase,
    options: TokenOptions,
    with_rejected: bool,
    make: Callable[[], TokenizedPairs],
) -> TokenizedPairs:
    """What ``make`` gives, from disk where it was made before.

    A tokenizer that cannot say what it is (one without a serialisable backend) is asked every time. A cache that cannot be
    read or written is as good as none.
    """
    identity = tokenizer_identity(tokenizer)
    if identity is None:
        return make()
    key = [FORMAT, identity, asdict(options), with_rejected, fingerprint(rows), *_today(tokenizer)]
    told = json.dumps(key, default=str)
    path = cache_folder() / "tokens" / f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.npz"
    found = _read(path)
    if found is None:
        found = make()
        _write(path, found)
    return found


def _today(tokenizer: Any) -> list[str]:
    """The day, where the chat template writes it into a prompt."""
    return [date.today().isoformat()] if "strftime_now" in str(tokenizer.chat_template) else []


def tokenizer_identity(tokenizer: Any) -> str | None:
    """SHA-256 over everything that decides ids; None where the tokenizer does not tell."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    template = tokenizer.chat_template
    names = [str(token) for token in (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token)]
    told = json.dumps([type(tokenizer).__name__, backend.to_str(), template, names, sorted(tokenizer.init_kwargs)])
    return hashlib.sha256(told.encode()).hexdigest()


def _write(path: Path, pairs: TokenizedPairs) -> None:
    arrays: dict[str, Any] = {
        "soft_label": _optional(row.soft_label for row in pairs.rows),
        "tie": _optional(row.tie for row in pairs.rows),
        "weight": np.array([row.weight for row in pairs.rows]),
        "row": np.array([row.row for row in pairs.rows], dtype=np.int64),
        "counts": np.array(list(pairs.counts.as_dict().values()), dtype=np.int64),
    }
    for side in SIDES:
        ids = [getattr(row, side) for row in pairs.rows]
        arrays[f"{side}_ends"] = np.cumsum([len(one) for one in ids], dtype=np.int64)
        arrays[side] = np.fromiter((i for one in ids for i in one), dtype=np.int32)
    arrays[DIGEST] = np.array(_digest(arrays))
    with suppress(OSError, StorageError), atomic_bytes(path) as file:
        np.savez(file, **arrays)


def _optional(values: Iterable[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _digest(arrays: Mapping[str, Any]) -> str:
    """SHA-256 over the arrays' names, types, lengths and bytes."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        if name != DIGEST:
            digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}\n".encode() + arrays[name].tobytes())
    return digest.hexdigest()


def _read(path: Path) -> TokenizedPairs | None:
    """What the file holds; None where there is none, or, with a warning, where it is damaged."""
    if not path.is_file():
        return None
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = dict(file)
        whole = str(arrays[DIGEST]) == _digest(arrays)
    except (OSError, ValueError, KeyError, EOFError, SyntaxError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        whole = False
    if not whole:
        logger.warning("%s: has changed since it was written, or cannot be read: the tokens are made again", path)
        return None
    return _pairs(arrays)


def _pairs(arrays: Mapping[str, Any]) -> TokenizedPairs:
    sides = [np.split(arrays[side], arrays[f"{side}_ends"][:-1]) for side in SIDES]
    labels, ties = ([None if np.isnan(x) else x for x in arrays[name].tolist()] for name in ("soft_label", "tie"))
    rest = zip(*sides, labels, arrays["weight"].tolist(), arrays["row"].tolist(), ties, strict=True)
    rows = [TokenizedPair(*(ids.tolist() for ids in row[:3]), *row[3:]) for row in rest]
    return TokenizedPairs(rows, TokenCounts(*arrays["counts"].tolist()))
