"""Log-probs under a reference, computed once per pair and reference and kept on disk for every run that needs them."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from softpref.data.tokenization import TokenizedPair


def pair_key(pair: TokenizedPair) -> str:
    """SHA-256 over the token ids of prompt, chosen and rejected, and where each ends."""
    digest = hashlib.sha256()
    for ids in (pair.prompt, pair.chosen, pair.rejected):
        digest.update(len(ids).to_bytes(8, "little") + np.asarray(ids, dtype="<i8").tobytes())
    return digest.hexdigest()


def reference_key(identity: str, config: Mapping[str, Any], precision: str) -> str:
    """What decides a reference's log-probs: its weights, what its configuration says about computing, and the precision."""
    told = {name: value for name, value in config.items() if name not in ("transformers_version", "_name_or_path")}
    said = json.dumps(told, sort_keys=True, default=str)
    return hashlib.sha256(f"{identity}\n{said}\n{precision}".encode()).hexdigest()


class ReferenceCache:
    """Sums of log-probs (chosen, rejected), in nats, of the pairs that one reference has scored.

    A folder of append-only files, one per process that writes: no process waits for another, and one that is killed loses
    no line that it has written. What is read is the union of all files; half a line at the end of one is not a line.
    """

    def __init__(self, folder: str | Path, key: str) -> None:
        self.folder = Path(folder) / key[:32]
        self._own: IO[str] | None = None
        self._scores: dict[str, tuple[float, float]] = {}

    def read(self) -> dict[str, tuple[float, float]]:
        """Everything on disk, by ``pair_key``."""
        for file in sorted(self.folder.glob("*.jsonl")):
            self._scores.update(_lines(file))
        return self._scores

    def missing(self, pairs: Sequence[TokenizedPair]) -> list[TokenizedPair]:
        """Those of these pairs that no file holds, each once."""
        known = self.read()
        return list({key: pair for pair in pairs if (key := pair_key(pair)) not in known}.values())

    def add(self, pairs: Sequence[TokenizedPair], scores: Iterable[tuple[float, float]]) -> None:
        """Write these at once."""
        if self._own is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._own = (self.folder / f"{uuid.uuid4().hex}.jsonl").open("w", encoding="utf-8")
        for pair, (chosen, rejected) in zip(pairs, scores, strict=True):
            key = pair_key(pair)
            self._scores[key] = (chosen, rejected)
            self._own.write(json.dumps([key, chosen, rejected]) + "\n")
        self._own.flush()
        os.fsync(self._own.fileno())

    def close(self) -> None:
        """Done writing."""
        if self._own is not None:
            self._own.close()
            self._own = None


def _lines(file: Path) -> dict[str, tuple[float, float]]:
    found = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            key, chosen, rejected = json.loads(line)
        except ValueError:
            continue
        found[key] = (float(chosen), float(rejected))
    return found
