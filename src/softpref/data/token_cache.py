"""Token ids on disk, found again by what made them: the rows, the tokenizer and the options."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from softpref.data.files import cache_folder
from softpref.data.pairs import Completion, PreferencePair, fingerprint
from softpref.data.tokenization import TokenCounts, TokenizedPair, TokenizedPairs, TokenOptions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# To be raised with every change of how text becomes tokens.
FORMAT = 2
SIDES = ("prompt", "chosen", "rejected")


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
        "soft_label": np.array([np.nan if row.soft_label is None else row.soft_label for row in pairs.rows]),
        "weight": np.array([row.weight for row in pairs.rows]),
        "row": np.array([row.row for row in pairs.rows], dtype=np.int64),
        "counts": np.array(list(pairs.counts.as_dict().values()), dtype=np.int64),
    }
    for side in SIDES:
        ids = [getattr(row, side) for row in pairs.rows]
        arrays[f"{side}_ends"] = np.cumsum([len(one) for one in ids], dtype=np.int64)
        arrays[side] = np.fromiter((i for one in ids for i in one), dtype=np.int32)
    beside = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            np.savez(file, **arrays)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)


def _read(path: Path) -> TokenizedPairs | None:
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = dict(file)
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
    sides = [np.split(arrays[side], arrays[f"{side}_ends"][:-1]) for side in SIDES]
    labels = [None if np.isnan(label) else label for label in arrays["soft_label"].tolist()]
    rest = zip(*sides, labels, arrays["weight"].tolist(), arrays["row"].tolist(), strict=True)
    rows = [TokenizedPair(*(ids.tolist() for ids in row[:3]), *row[3:]) for row in rest]
    return TokenizedPairs(rows, TokenCounts(*arrays["counts"].tolist()))
