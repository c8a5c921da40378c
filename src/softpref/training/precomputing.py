"""The reference before training: every pair scored once, over all ranks, and kept on disk for the next run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from tqdm.auto import tqdm

from softpref.data.files import cache_folder
from softpref.data.tokenization import TokenizedPair
from softpref.scoring.attention import causal_lm
from softpref.scoring.reference import CachedReference, Reference, score_once
from softpref.scoring.reference_cache import ReferenceCache, pair_key, reference_key
from softpref.scoring.self_check import CheckedScorer
from softpref.training.config import SoftPreferenceConfig


def precomputes(args: SoftPreferenceConfig, rows: Sequence[TokenizedPair] | None) -> bool:
    """Whether the reference is scored before training: as asked for, or else where the run sees every pair."""
    if args.precompute_ref_log_probs is not None or not args.method().base.needs_reference:
        return bool(args.precompute_ref_log_probs)
    if rows is None or args.fsdp or args.deepspeed:
        return False
    update = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
    return bool(args.max_steps * update >= len(rows) if args.max_steps > 0 else args.num_train_epochs >= 1)


def open_cache(reference: Reference, args: SoftPreferenceConfig) -> ReferenceCache:
    """The cache of this reference's scores in the precision that these arguments train in."""
    precision = "bf16" if args.bf16 else "fp16" if args.fp16 else str(next(reference.model.parameters()).dtype)
    config = causal_lm(reference.model).config.to_diff_dict()
    return ReferenceCache(
        args.reference_cache or cache_folder() / "reference", reference_key(reference.identity, config, precision)
    )


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
    bar = tqdm(
        total=len(own), desc="reference", unit="pair", disable=args.disable_tqdm or not accelerator.is_main_process
    )
    reference.model.eval()
    try:
        missing = cache.missing(own)
        with accelerator.autocast(), bar:
            bar.update(len(own) - len(missing))
            score_once(
                reference, checked.scorer, checked.micro_batches(missing, args.token_budget()), cache, bar.update
            )
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
