"""Other label distributions from a labelled set: pairs left out by their p, or labels made noisy; always seeded.

Everything here sees oriented pairs, as reading gives them: p ≥ ½ is how sure the label is of the better side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softpref.core.arrays import Floats
from softpref.core.soft_labels import binary_flip, soft_averaging, soft_flip
from softpref.data.pairs import PairSet, PreferencePair
from softpref.data.written import as_written
from softpref.errors import InputError, OptionError, nearest

Places: TypeAlias = NDArray[np.intp]

# Labels are turned round on reading, and 1 − 0.3 is not 0.7 to the last bit; thresholds are compared to this many decimals.
DECIMALS = 12
# 1 − 0.8 is written as 0.2
LABEL_DECIMALS = 15
FLIPS = {"binary_flip": binary_flip, "soft_flip": soft_flip}
NOISE = (*FLIPS, "soft_averaging")


class Shape(Protocol):
    """One way of shaping a set of labels."""

    def __call__(self, p: Floats, rng: np.random.Generator) -> tuple[Places, Floats]:
        """From oriented labels (N,): the places that stay, rising (K,), and the labels of all (N,)."""
        ...


@dataclass(frozen=True)
class Skewed:
    """Plasma Skewed (arXiv 2409.06691, §4): pairs with p ≥ ``below`` are left out."""

    below: float

    def __post_init__(self) -> None:
        if not 0.5 < self.below <= 1:
            raise OptionError(f"skewed is {self.below:g}; it must lie in (0.5, 1]: pairs from there on are left out")

    def __call__(self, p: Floats, rng: np.random.Generator) -> tuple[Places, Floats]:
        """See ``Shape``. Nothing is drawn."""
        return np.flatnonzero(np.round(p, DECIMALS) < self.below), p


@dataclass(frozen=True)
class Stairs:
    """Plasma Stairs (arXiv 2409.06691, §4): the count falls step by step over p ∈ [0.65, 0.9), other pairs are left out.

    The paper gives neither the number of steps nor their heights, nor says what became of the pairs outside [?]. Ours: equal
    widths, five heights 5:4:3:2:1, as many pairs as the scarcest step allows. ``steps`` are relative heights, from
    the least sure to the surest.
    """

    steps: tuple[float, ...] = (5, 4, 3, 2, 1)
    low: float = 0.65
    high: float = 0.9

    def __post_init__(self) -> None:
        if not self.steps or not all(np.isfinite(step) and step > 0 for step in self.steps):
            raise OptionError(f"steps is {list(self.steps)}; give the steps' relative heights, each above 0")
        if not 0.5 <= self.low < self.high <= 1:
            raise OptionError(f"the stairs reach from {self.low:g} to {self.high:g}; give 0.5 ≤ low < high ≤ 1")

    def __call__(self, p: Floats, rng: np.random.Generator) -> tuple[Places, Floats]:
        """See ``Shape``. Raises InputError where a step has no pair."""
        bins = _binned(p, self.low, self.high, len(self.steps))
        scale = min(len(bin_) / step for bin_, step in zip(bins.values(), self.steps, strict=True))
        # 3 · (2/3) must be 2, also where it comes out a hair below
        counts = [int(scale * step + 1e-9) for step in self.steps]
        return _drawn(bins, counts, rng), p


@dataclass(frozen=True)
class Balanced:
    """The same number of pairs in each of ``bins`` equal bins of p over [0.5, 1]: as many as the scarcest has."""

    bins: int

    def __post_init__(self) -> None:
        if self.bins < 1:
            raise OptionError(f"balance is {self.bins}; give a number of bins, at least 1")

    def __call__(self, p: Floats, rng: np.random.Generator) -> tuple[Places, Floats]:
        """See ``Shape``. Raises InputError where a bin has no pair."""
        bins = _binned(p, 0.5, 1.0, self.bins)
        fewest = min(map(len, bins.values()))
        return _drawn(bins, [fewest] * self.bins, rng), p


@dataclass(frozen=True)
class Noise:
    """Label noise (arXiv 2409.06691, §7): one of ``NOISE`` at ``rate``, the mean flip probability; no pair is left out."""

    kind: str
    rate: float

    def __post_init__(self) -> None:
        if self.kind not in NOISE:
            raise OptionError(f"noise is {self.kind!r}{nearest(self.kind, NOISE)}")
        if not 0 <= self.rate <= 1:
            raise OptionError(f"rate is {self.rate:g}; it must lie in [0, 1]")

    def __call__(self, p: Floats, rng: np.random.Generator) -> tuple[Places, Floats]:
        """See ``Shape``. ``soft_averaging`` draws nothing."""
        noisy = soft_averaging(p, self.rate) if self.kind == "soft_averaging" else FLIPS[self.kind](p, self.rate, rng)
        return np.arange(len(p)), np.round(noisy, LABEL_DECIMALS)


def shape_pairs(pairs: PairSet, shape: Shape, seed: int) -> list[PreferencePair]:
    """The pairs that stay, in the file's order, each with its new label and a record of how it came by it.

    The sides stay as reading oriented them, so that a label below ½ is one that noise has turned round.
    ``label_source["shaped"]`` gains one entry: the shape, its settings, the seed, and the label before (for the file's first
    side). A set may be shaped again and again; the entries tell the way in order.

    Raises InputError where the file has no labels, or no pair is left.
    """
    if not pairs.labelled:
        raise InputError(f"{pairs.name}: holds no soft_label to shape; label the pairs first (softpref label)")
    labels = np.array([pair.soft_label for pair in pairs], dtype=np.float64)
    try:
        kept, shaped = shape(labels, np.random.default_rng(seed))
    except InputError as error:
        raise InputError(f"{pairs.name}: {error}") from None
    if not len(kept):
        raise InputError(f"{pairs.name}: none of the {len(pairs)} pairs is left with {record_of(shape)}")
    record = {**record_of(shape), "seed": seed}
    return [_relabelled(pairs[place], float(shaped[place]), record) for place in kept]


def record_of(shape: Shape) -> dict[str, Any]:
    """The shape's name and settings as plain values."""
    settings: dict[str, Any] = asdict(shape)  # type: ignore[call-overload]
    return {"shape": type(shape).__name__.lower(), **settings}


def _relabelled(pair: PreferencePair, p: float, record: Mapping[str, Any]) -> PreferencePair:
    step = {**record, "soft_label_before": as_written(pair).soft_label}
    source = {**pair.label_source, "shaped": [*pair.label_source.get("shaped", ()), step]}
    return replace(pair, soft_label=p, label_source=source)


def _binned(p: Floats, low: float, high: float, bins: int) -> dict[tuple[float, float], Places]:
    """Places (in order) of the labels in each equal bin of [low, high); p = 1 belongs to a last bin that ends there."""
    edges = np.round(np.linspace(low, high, bins + 1), DECIMALS)
    p = np.round(p, DECIMALS)
    which = np.searchsorted(edges, p, side="right") - 1
    if edges[-1] == 1:
        which[p == 1] = bins - 1
    found = {(float(edges[k]), float(edges[k + 1])): np.flatnonzero(which == k) for k in range(bins)}
    empty = ", ".join(f"[{start:g}, {end:g})" for (start, end), places in found.items() if not len(places))
    if empty:
        raise InputError(f"no pair has p in {empty}; give other or fewer bins")
    return found


def _drawn(bins: Mapping[Any, Places], counts: Sequence[int], rng: np.random.Generator) -> Places:
    """So many places of each bin, drawn without replacement, all together in rising order."""
    drawn = [rng.choice(places, n, replace=False) for places, n in zip(bins.values(), counts, strict=True)]
    return np.sort(np.concatenate(drawn))
