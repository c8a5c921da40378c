"""Log-probs under a reference, computed once per pair and reference and kept on disk for every run that needs them."""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from softpref.data.files import append_text
from softpref.data.tokenization import TokenizedPair

logger = logging.getLogger(__name__)


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
        self._own: Path | None = None
        self._scores: dict[str, tuple[float, float]] = {}
        self._reported: set[Path] = set()

    def read(self) -> dict[str, tuple[float, float]]:
        """Everything on disk, by ``pair_key``. A line that has changed since it was written is no entry, and is said once."""
        for file in sorted(self.folder.glob("*.jsonl")):
            scores, damaged = _lines(file)
            self._scores.update(scores)
            if damaged and file not in self._reported:
                self._reported.add(file)
                what = (
                    f"line {damaged[0]} has"
                    if len(damaged) == 1
                    else f"{len(damaged)} lines, the first of them {damaged[0]}, have"
                )
                logger.warning("%s: %s changed since written: what they held is computed again", file, what)
        return self._scores

    def missing(self, pairs: Sequence[TokenizedPair]) -> list[TokenizedPair]:
        """Those of these pairs that no file holds, each once."""
        known = self.read()
        return list({key: pair for pair in pairs if (key := pair_key(pair)) not in known}.values())

    def add(self, pairs: Sequence[TokenizedPair], scores: Iterable[tuple[float, float]]) -> None:
        """Write these at once. Raises StorageError where the disk refuses; what was written before is kept."""
        if self._own is None:
            self._own = self.folder / f"{uuid.uuid4().hex}.jsonl"
        entries = [(pair_key(pair), *both) for pair, both in zip(pairs, scores, strict=True)]
        append_text(self._own, "".join(json.dumps([*entry, _check(*entry)]) + "\n" for entry in entries), sync=True)
        self._scores.update({key: (chosen, rejected) for key, chosen, rejected in entries})

    def close(self) -> None:
        """Done writing: what comes later goes to another file."""
        self._own = None


def _check(key: str, chosen: float, rejected: float) -> str:
    """16 digits of the SHA-256 over an entry."""
    return hashlib.sha256(json.dumps([key, chosen, rejected]).encode()).hexdigest()[:16]


def _lines(file: Path) -> tuple[dict[str, tuple[float, float]], list[int]]:
    """The entries of a file, and the numbers of its damaged lines. A last line without its end was cut by a kill."""
    *whole, _ = file.read_bytes().split(b"\n")
    scores, damaged = {}, []
    for number, line in enumerate(whole, start=1):
        try:
            key, chosen, rejected, check = json.loads(line)
        except (ValueError, TypeError):
            check = None
        if check is None or check != _check(key, chosen, rejected):
            damaged.append(number)
        else:
            scores[key] = (float(chosen), float(rejected))
    return scores, damaged
