"""What a model computes otherwise for a longer row: windows, chunks, position tables, and ropes that the longest row chooses.

A rope of the kinds ``dynamic`` and ``longrope`` takes its frequencies from the longest row of a batch, in transformers. So
the log-prob of a row would depend on its company: rows are only computed together where each would have the same rope alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import nn

# Parts of the configuration's keys whose integers are lengths in tokens.
LENGTH_KEYS = re.compile(
    r"window|chunk|position_embeddings|positions|n_ctx|seq_len|context_length|max_length|floor_scale|block_size|topk"
)
POSITION_TABLE = re.compile(r"(^|_)(wpe|pos|position|positions)(_|$)")


class RopeSwitch(NamedTuple):
    """Up to ``limit`` tokens a rope is one; beyond it another, and for ``every_length`` one for each length."""

    limit: int
    every_length: bool

    def kind(self, length: int) -> int:
        """0 up to the limit; two lengths of the same kind have the same rope."""
        return 0 if length <= self.limit else length if self.every_length else 1


def thresholds(model: nn.Module) -> list[int]:
    """Lengths in tokens that the configuration names, rising: a longer row may be computed otherwise than a shorter one."""
    config: Any = getattr(model, "config", None)
    named = config.to_dict() if hasattr(config, "to_dict") else {}
    return sorted(set(_lengths(named)))


def _lengths(config: Mapping[str, Any]) -> Iterator[int]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _lengths(value)
        elif LENGTH_KEYS.search(str(key)):
            several = value if isinstance(value, list | tuple) else [value]
            yield from (one for one in several if type(one) is int and one > 1)


def shows_more(length: int, checked: int, limits: Sequence[int]) -> bool:
    """Whether a row goes as far beyond a limit as none that was checked: the first does, and then what is twice as far."""
    return any(length > limit and length - limit >= 2 * max(0, checked - limit) for limit in (0, *limits))


def rope_switches(model: nn.Module) -> set[RopeSwitch]:
    """Of all the ropes in a model, those that depend on the longest row."""
    found = set()
    for module in model.modules():
        for kind, parameters in _ropes(module):
            if "dynamic" in kind:
                found.add(RopeSwitch(int(module.original_max_seq_len), every_length=True))  # type: ignore[arg-type]
            elif "long_mscale" in parameters or kind == "longrope":
                found.add(RopeSwitch(int(parameters["original_max_position_embeddings"]), every_length=False))
    return found


def _ropes(module: nn.Module) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Type and parameters of a module's ropes; a model may have one for each type of its layers."""
    kinds = getattr(module, "rope_type", None)
    config = getattr(module, "config", None)
    parameters = getattr(config, "rope_parameters", None) or {}
    if isinstance(kinds, str):
        yield kinds, parameters
    elif isinstance(kinds, Mapping):
        yield from ((kind, parameters.get(layer, {})) for layer, kind in kinds.items())


def reset_ropes(model: nn.Module) -> None:
    """Dynamic ropes as they are at the beginning: transformers keeps that of the longest row so far."""
    for module in model.modules():
        for prefix in ("", *(f"{layer}_" for layer in getattr(module, "layer_types", None) or ())):
            first = getattr(module, f"{prefix}original_inv_freq", None)
            now = getattr(module, f"{prefix}inv_freq", None)
            if first is None or now is None or not any("dynamic" in kind for kind, _ in _ropes(module)):
                continue
            module.register_buffer(f"{prefix}inv_freq", first.to(now.device), persistent=False)
            setattr(module, f"{prefix}max_seq_len_cached", module.original_max_seq_len)


def alike(model: nn.Module, lengths: Sequence[int]) -> list[list[int]]:
    """Places of N rows of these lengths in tokens, in groups that may be computed together: all, for nearly every model."""
    switches = sorted(rope_switches(model))
    groups: dict[tuple[int, ...], list[int]] = {}
    for place, length in enumerate(lengths):
        groups.setdefault(tuple(switch.kind(length) for switch in switches), []).append(place)
    return list(groups.values())


def one_rope_length(model: nn.Module) -> int | None:
    """Tokens up to which all rows may be computed together; None where that is any number."""
    return min((switch.limit for switch in rope_switches(model)), default=None)


def position_limit(model: nn.Module) -> int | None:
    """Tokens for which the model has positions, as its tables of learned or computed positions say; None without a table."""
    sizes = [size for module in model.named_modules() for size in _table_sizes(*module)]
    config: Any = getattr(model, "config", None)
    if getattr(getattr(config, "attn_config", None), "alibi", False):
        sizes.append(int(config.max_seq_len))
    return min(sizes, default=None)


def _table_sizes(name: str, module: nn.Module) -> Iterator[int]:
    own = name.rpartition(".")[2]
    if POSITION_TABLE.search(own) and hasattr(module, "num_embeddings"):
        padding: Any = getattr(module, "padding_idx", None)
        # positions begin after an offset (OPT), or after the padding's (RoBERTa)
        taken: Any = getattr(module, "offset", 0 if padding is None else padding + 1)
        size: Any = module.num_embeddings
        yield int(size) - int(taken)
    computed: list[Any] = [getattr(module, table, None) for table in ("embed_positions", "pos_encoding")]
    yield from (len(table) for table in computed if getattr(table, "ndim", 0) == 2)
