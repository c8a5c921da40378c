"""Checkpoints that say what they hold: a manifest of every file's size and SHA-256, written last and checked on resuming."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softpref.data.files import PART, sync_folder, write_json
from softpref.errors import InputError
from softpref.run_folder import checkpoints_of

MANIFEST_FILE = "manifest.json"
FORMAT = 1
STATE_FILE = "trainer_state.json"
# What transformers' Trainer needs to go on, beside the weights and its own state.
OPTIMIZER, SCHEDULER, RNG = "optimizer.pt", "scheduler.pt", "rng_state*.pth"
# How FSDP and DeepSpeed write their parts.
SHARDED = ("optimizer_*", "optimizer.bin", "global_step*", "pytorch_model_fsdp_*", "pytorch_model_fsdp.bin")
_BLOCK = 1 << 22
_READERS = 8

Say = Callable[[str], object]


@dataclass(frozen=True)
class Damage:
    """What is wrong with a checkpoint. ``unfinished``: it was being written when its run ended, so nothing was lost from it."""

    what: str
    unfinished: bool = False


# --- writing --------------------------------------------------------------------------------------------------------------


def begin_checkpoint(folder: Path) -> None:
    """Mark the folder as unfinished, before anything else is written into it."""
    write_json(folder / MANIFEST_FILE, {"format": FORMAT, "complete": False})


def seal_checkpoint(folder: Path) -> None:
    """Have every file of the folder on disk, and write the manifest that says so."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != MANIFEST_FILE and file.suffix != PART]
    described = _described(folder, files, sync=True)
    for inner in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        sync_folder(inner)
    write_json(folder / MANIFEST_FILE, {"format": FORMAT, "complete": True, "files": described, "digest": _digest(described)})
    sync_folder(folder.parent)


def _described(folder: Path, files: Iterable[Path], sync: bool = False) -> dict[str, dict[str, Any]]:
    ordered = sorted(files)
    with ThreadPoolExecutor(_READERS) as readers:
        digests = list(readers.map(lambda file: _sha256(file, sync), ordered))
    return {
        file.relative_to(folder).as_posix(): {"bytes": file.stat().st_size, "sha256": digest}
        for file, digest in zip(ordered, digests, strict=True)
    }


def _sha256(file: Path, sync: bool) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        if sync:
            os.fsync(opened.fileno())
        while block := opened.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _digest(described: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


# --- choosing -------------------------------------------------------------------------------------------------------------


def checkpoints(run: str | Path) -> list[Path]:
    """The checkpoint folders of a run, whole or not, the newest first."""
    return [folder for folder in reversed(checkpoints_of(Path(run)).values()) if folder.is_dir()]


def last_whole_checkpoint(run: str | Path, say: Say = lambda _: None) -> Path | None:
    """The newest checkpoint whose files are as they were written; None where there is none, and nothing was damaged.

    ``say`` takes what is wrong with each newer one. A checkpoint without a manifest, of an earlier version, counts as whole
    where no file is missing or cut short.

    Raises InputError where checkpoints are damaged and none is whole: starting anew would be a loss that nobody asked for.
    """
    faults: dict[Path, Damage] = {}
    for folder in checkpoints(run):
        fault = checkpoint_fault(folder, say)
        if fault is None:
            return folder
        faults[folder] = fault
        say(f"{folder}: {'is unfinished' if fault.unfinished else 'is damaged'} and left out ({fault.what})")
    damaged = [f"{folder.name}: {fault.what}" for folder, fault in faults.items() if not fault.unfinished]
    if damaged:
        raise InputError(
            f"{run}: no whole checkpoint is left to go on from ({'; '.join(damaged)}); restore its files, remove the "
            "checkpoints to begin anew, or give another output_dir"
        )
    return None


def checkpoint_fault(folder: Path, say: Say = lambda _: None) -> Damage | None:
    """What is wrong with a checkpoint's files; None where it is whole. Every file is read once."""
    file = folder / MANIFEST_FILE
    if not file.is_file():
        fault = _fault_of_listing(folder)
        if fault is None:
            say(f"{folder}: has no {MANIFEST_FILE} (an earlier version wrote it): that no byte has changed cannot be checked")
        return fault
    try:
        manifest = json.loads(file.read_bytes())
        if not manifest["complete"]:
            return Damage("its run ended while it was written", unfinished=True)
        files = manifest["files"]
        whole = manifest["digest"] == _digest(files)
    except (ValueError, KeyError, TypeError):
        whole = False
    return _fault_of_files(folder, files) if whole else Damage(f"{MANIFEST_FILE} is damaged")


def _fault_of_files(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> Damage | None:
    for name, told in files.items():
        if not (folder / name).is_file():
            return Damage(f"{name} is missing")
        size = (folder / name).stat().st_size
        if size != told["bytes"]:
            return Damage(f"{name} holds {size} bytes, and {told['bytes']} were written")
    now = _described(folder, [folder / name for name in files])
    changed = [name for name, told in files.items() if now[name] != told]
    return Damage(f"{changed[0]} has changed since it was written") if changed else None


# --- without a manifest ---------------------------------------------------------------------------------------------------


def _fault_of_listing(folder: Path) -> Damage | None:
    if not (folder / STATE_FILE).is_file():
        return Damage(f"{STATE_FILE} is missing", unfinished=True)
    missing = _missing(folder)
    if missing:
        return Damage(f"{missing} is missing")
    cut = [file.relative_to(folder) for file in sorted(folder.rglob("*")) if file.is_file() and not _is_readable(file)]
    return Damage(f"{cut[0]} is cut short or damaged") if cut else None


def _missing(folder: Path) -> str | None:
    sharded = any(True for pattern in SHARDED for _ in folder.glob(pattern))
    if not sharded and not any(folder.glob("*.safetensors")):
        return "the weights' file (*.safetensors)"
    for index in folder.glob("*.safetensors.index.json"):
        for shard in sorted(_shards(index)):
            if not (folder / shard).is_file():
                return shard
    kept = {name: any(folder.glob(name)) for name in (OPTIMIZER, SCHEDULER, RNG)}
    if sharded:
        kept.pop(OPTIMIZER)
    # without any of them it was saved by save_only_model, which is said elsewhere
    return next((name for name, there in kept.items() if not there), None) if any(kept.values()) else None


def _shards(index: Path) -> set[str]:
    try:
        return {str(name) for name in json.loads(index.read_bytes())["weight_map"].values()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {f"what {index.name} names"}


def _is_readable(file: Path) -> bool:
    """Whether the file's own format finds it whole: safetensors' header, a zip file's checksums (torch.save), JSON."""
    try:
        if file.suffix == ".safetensors":
            return _safetensors_bytes(file) == file.stat().st_size
        if file.suffix in (".pt", ".pth"):
            with zipfile.ZipFile(file) as archive:
                return archive.testzip() is None
        if file.suffix == ".json":
            json.loads(file.read_bytes())
    except (ValueError, KeyError, TypeError, OSError, zipfile.BadZipFile, NotImplementedError):
        return False
    return True


def _safetensors_bytes(file: Path) -> int:
    """What the header says that the file holds: 8 bytes of length, the header, the tensors."""
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        header = json.loads(opened.read(length))
    ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
    return 8 + length + max(ends, default=0)


def can_resume(folder: Path) -> bool:
    """Whether the optimizer was saved with the model; save_only_model leaves it out."""
    return any(True for pattern in (OPTIMIZER, *SHARDED) for _ in folder.glob(pattern))
