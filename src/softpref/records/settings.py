"""Small files beside others: what made generated responses, and what a checkpoint was trained with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from softpref.records.record import Record


@dataclass(frozen=True, kw_only=True)
class ResponseSettings(Record):
    """``FILE.settings.json``: the model, the digest of its files, the sampling, and the digest of the prompts."""

    kind: ClassVar[str] = "responses"
    written_by: ClassVar[str] = "softpref evaluate"
    model: str
    files: str
    sampling: Mapping[str, Any]
    prompts: str


@dataclass(frozen=True, kw_only=True)
class ReferenceRecord(Record):
    """``reference.json`` in a checkpoint: the reference that it was trained against."""

    kind: ClassVar[str] = "reference"
    written_by: ClassVar[str] = "softpref train"
    identity: str


@dataclass(frozen=True, kw_only=True)
class OnlineSettings(Record):
    """``online.json`` in a checkpoint: what decides the responses and labels of an online run."""

    kind: ClassVar[str] = "online"
    written_by: ClassVar[str] = "softpref train"
    described: Mapping[str, Any]
    prompts: str
