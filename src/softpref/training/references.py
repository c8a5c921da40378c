"""Which reference a run has, and its log-probs before training: scored once, over all ranks, and kept on disk."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tqdm.auto import tqdm

from softpref.data.files import cache_folder, write_json
from softpref.data.tokenization import TokenizedPair
from softpref.errors import InputError, OptionError
from softpref.loading.adapters import base_of
from softpref.loading.models import load_model
from softpref.run_folder import read_json
from softpref.scoring.adapter_tensors import has_adapter
from softpref.scoring.attention import causal_lm
from softpref.scoring.randomness import disable_dropout
from softpref.scoring.reference import (
    CachedReference,
    Reference,
    frozen,
    frozen_copy,
    score_once,
    start_of_adapter,
    starts_at_its_base,
)
from softpref.scoring.reference_cache import ReferenceCache, pair_key, reference_key
from softpref.scoring.self_check import CheckedScorer
from softpref.training.config import SoftPreferenceConfig

if TYPE_CHECKING:
    from torch import nn

logger = logging.getLogger(__name__)


def precomputes(args: SoftPreferenceConfig, rows: Sequence[TokenizedPair] | None) -> bool:
    """Whether the reference is scored before training: as asked for, or else where the run sees every pair."""
    if args.precompute_ref_log_probs is not None or not args.method().needs_reference:
        return bool(args.precompute_ref_log_probs)
    if rows is None or args.fsdp or args.deepspeed:
        return False
    update = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
    return bool(args.max_steps * update >= len(rows) if args.max_steps > 0 else args.num_train_epochs >= 1)


def open_cache(reference: Reference, args: SoftPreferenceConfig) -> ReferenceCache:
    """The cache of this reference's scores in the precision that these arguments train in."""
    return ReferenceCache(_folder(args), _key(reference, args))


def _folder(args: SoftPreferenceConfig) -> Path:
    return Path(args.reference_cache or cache_folder() / "reference")


def _key(reference: Reference, args: SoftPreferenceConfig) -> str:
    config = causal_lm(reference.model).config.to_diff_dict()
    precision = _precision(args, next(reference.model.parameters()).dtype)
    return reference_key(reference.identity, config, precision)


def _precision(args: SoftPreferenceConfig, dtype: torch.dtype) -> str:
    return "bf16" if args.bf16 else "fp16" if args.fp16 else str(dtype)


def make_reference(
    model: nn.Module,
    ref_model: nn.Module | str | None,
    args: SoftPreferenceConfig,
    pairs: Sequence[TokenizedPair],
    identity: str,
    once: bool,
) -> Reference | CachedReference | None:
    """The reference of a run: what is given, or the policy as it is now.

    Args:
        model: the policy, and ``identity`` its own.
        once: the reference is scored before training.

    Raises OptionError for a reference that is not needed, or that training would change.
    """
    method = args.method()
    if not method.needs_reference:
        if ref_model is not None:
            raise OptionError(f"{method.name} needs no reference: leave ref_model out")
        return None
    if ref_model is model:
        raise OptionError("ref_model is the policy itself, which training would change: leave it out")
    if isinstance(ref_model, str):
        dtype = next(model.parameters()).dtype
        known = known_reference(ref_model, args, pairs, dtype) if once else None
        return known or _given(load_model(ref_model, str(dtype).removeprefix("torch.")))
    if ref_model is not None:
        _refuse_shared(model, ref_model)
        return _given(ref_model)
    if once:
        # Scored before the first update, the policy is its own reference, and no copy is made.
        return Reference(model, identity)
    if not has_adapter(model):
        return frozen_copy(model, identity)
    if (args.fsdp or args.deepspeed) and not starts_at_its_base(model):
        raise OptionError(
            "the start of the policy's adapter is the reference, and a copy of it cannot be kept with FSDP or DeepSpeed yet: "
            "merge the adapter into the base and begin a new one, or give ref_model"
        )
    return start_of_adapter(model, identity)


def _refuse_shared(model: nn.Module, ref_model: nn.Module) -> None:
    """PEFT puts an adapter into the very model that it is given: kept as the reference, that one would be trained too."""
    trained = {id(value) for value in model.parameters() if value.requires_grad}
    if any(id(value) in trained for value in ref_model.parameters()):
        raise OptionError(
            "ref_model shares parameters with the policy, which training would change: leave it out for the policy's own start, "
            "or load the reference a second time"
        )


def _given(model: nn.Module) -> Reference:
    disable_dropout(model)
    return frozen(model)


def known_reference(
    folder: str, args: SoftPreferenceConfig, pairs: Sequence[TokenizedPair], dtype: torch.dtype
) -> CachedReference | None:
    """The reference in this folder where it was met before and has scored all these pairs: it need not be loaded."""
    note = _note(folder, args, dtype)
    told = None if note is None else _read_note(note)
    if told is None:
        return None
    cache = ReferenceCache(_folder(args), told["key"])
    if cache.missing(pairs):
        return None
    return CachedReference(told["identity"], cache.read())


def remember_reference(folder: str, args: SoftPreferenceConfig, reference: Reference) -> None:
    """Note under which key the scores of the model in this folder lie."""
    note = _note(folder, args, next(reference.model.parameters()).dtype)
    if note is not None:
        content = {"identity": reference.identity, "key": _key(reference, args)}
        write_json(note, {**content, "check": _check(content)})


def _check(content: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _read_note(note: Path) -> dict[str, str] | None:
    """What a note holds; None where there is none, or, with a warning, where it has changed: the reference is then loaded."""
    try:
        told = read_json(note)
        if told is None:
            return None
        content = {name: told[name] for name in ("identity", "key")}
        whole = told["check"] == _check(content)
    except (InputError, KeyError, TypeError):
        whole = False
    if not whole:
        logger.warning("%s: has changed since it was written: the reference is loaded again", note)
        return None
    return content


def _deciding_files(folder: str) -> list[Path]:
    names = ("*.safetensors", "config.json", "adapter_config.json")
    return sorted(file for name in names for file in Path(folder).glob(name))


def _note(folder: str, args: SoftPreferenceConfig, dtype: torch.dtype) -> Path | None:
    """Named by the bytes of the folder's weights and configuration, and of an adapter's base; None for a Hub name."""
    base = base_of(folder)
    parts = [_deciding_files(one) for one in (folder, base) if one is not None]
    if not all(parts):
        return None
    files = [file for part in parts for file in part]
    digest = hashlib.sha256(_precision(args, dtype).encode())
    for file in files:
        with file.open("rb") as opened:
            digest.update(f"{file.name} {file.stat().st_size}\n".encode())
            while block := opened.read(1 << 22):
                digest.update(block)
    return _folder(args) / "models" / f"{digest.hexdigest()[:32]}.json"


def precomputed(
    reference: Reference,
    checked: CheckedScorer,
    pairs: Sequence[TokenizedPair],
    args: SoftPreferenceConfig,
    accelerator: Any,
) -> CachedReference:
    """These pairs' scores, each rank computing its share of what is not on disk yet."""
    cache = open_cache(reference, args)
    own = pairs[accelerator.process_index :: accelerator.num_processes]
    # None: on a terminal only
    hidden = None if accelerator.is_main_process else True
    bar = tqdm(total=len(own), desc="reference", unit="pair", leave=False, disable=hidden)
    reference.model.eval()
    try:
        missing = cache.missing(own)
        with accelerator.autocast(), bar:
            bar.update(len(own) - len(missing))
            score_once(reference, checked.scorer, checked.micro_batches(missing, args.token_budget()), cache, bar.update)
    finally:
        cache.close()
    keys = {pair_key(pair) for pair in own}
    mine = {key: scores for key, scores in cache.read().items() if key in keys}
    return CachedReference(reference.identity, _of_all_ranks(mine, accelerator.num_processes))


def _of_all_ranks(mine: dict[str, tuple[float, float]], ranks: int) -> dict[str, tuple[float, float]]:
    if ranks == 1:
        return mine
    gathered: list[Any] = [None] * ranks
    torch.distributed.all_gather_object(gathered, mine)
    return dict(chain.from_iterable(part.items() for part in gathered))
