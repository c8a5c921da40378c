"""Token ids on disk, tokens again by what made them: the rows, the tokenizer and the options."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa  # type: ignore[import-untyped]

from softpref.data.files import atomic_bytes, cache_folder
from softpref.data.pairs import Completion, PreferencePair, fingerprint
from softpref.data.token_table import SCHEMA, TokenCounts, TokenizedPairs
from softpref.data.tokenization import TokenOptions
from softpref.errors import StorageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# To be raised with every change of how text becomes tokens.
FORMAT = 4
# A file is an Arrow file, then the counts, then the SHA-256 over both.
COUNTS = struct.Struct("<6q")
DIGEST_BYTES = 32

logger = logging.getLogger(__name__)


def cached_tokens(
    rows: Sequence[PreferencePair | Completion],
    tokenizer: PreTrainedTokenizerBase,
    options: TokenOptions,
    with_rejected: bool,
    make: Callable[[], TokenizedPairs],
) -> TokenizedPairs:
    """What ``make`` gives, mapped from a file, which is read where it was made before.

    A tokenizer that cannot say what it is (one without a serialisable backend) is asked every time. A cache that cannot be
    read or written is as good as none.
    """
    identity = tokenizer_identity(tokenizer)
    if identity is None:
        return make()
    key = [FORMAT, identity, asdict(options), with_rejected, fingerprint(rows), *_today(tokenizer)]
    told = json.dumps(key, default=str)
    path = cache_folder() / "tokens" / f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.arrow"
    tokens = _read(path)
    if tokens is None:
        tokens = make()
        _write(path, tokens)
        # what was made need not stay in memory beside its file
        tokens = _read(path) or tokens
    return tokens


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


class _Digested(io.RawIOBase):
    """Writes on to ``file``, and digests what passes."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, block: Any) -> int:
        self.digest.update(block)
        return self.file.write(block)


def _write(path: Path, pairs: TokenizedPairs) -> None:
    with suppress(OSError, StorageError), atomic_bytes(path) as file:
        digested = _Digested(file)
        with pa.ipc.new_file(digested, SCHEMA) as writer:
            for batch in pairs.batches:
                writer.write_batch(batch)
        digested.write(COUNTS.pack(*pairs.counts.as_dict().values()))
        file.write(digested.digest.digest())


def _read(path: Path) -> TokenizedPairs | None:
    """What the file holds; None where there is none, or, with a warning, where it is damaged."""
    if not path.is_file():
        return None
    try:
        tokens = _mapped(path)
    except (OSError, pa.ArrowException):
        tokens = None
    if tokens is None:
        logger.warning("%s: has changed since it was written, or cannot be read: the tokens are made again", path)
    return tokens


def _mapped(path: Path) -> TokenizedPairs | None:
    """The tokens as they lie in the file, without a copy; None where its digest is another."""
    whole = pa.memory_map(str(path)).read_buffer()
    end = whole.size - DIGEST_BYTES
    if end < COUNTS.size or hashlib.sha256(whole[:end]).digest() != whole[end:].to_pybytes():
        return None
    table = end - COUNTS.size
    file = pa.ipc.open_file(whole[:table])
    counts = TokenCounts(*COUNTS.unpack(whole[table:end].to_pybytes()))
    return TokenizedPairs(map(file.get_batch, range(file.num_record_batches)), counts)
