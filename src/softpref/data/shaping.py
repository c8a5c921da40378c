"""Other label distributions from a labelled set: pairs left out by their p, or labels made noisy; always seeded.

Everything here sees oriented pairs, as reading gives them: p ≥ ½ is how sure the label is of the better side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softpref.core.soft_labels import binary_flip, soft_averaging, soft_flip
from softpref.data.pairs import PairSet, PreferencePair, swap_sides
from softpref.errors import InputError, OptionError, nearest

Floats: TypeAlias = NDArray[np.float64]
Places: TypeAlias = NDArray[np.intp]

# Labels are turned round on reading, and 1 − 0.3 is not 0.7 to the last bit; thresholds are compared to this many decimals.
DECIMALS = 12
NOISE = ("binary_flip", "soft_flip", "soft_averaging")


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
        return np.flatnonzero(p < self.below), p


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
    """Label noise (arXiv 2409.06691, §7): ``binary_flip``, ``soft_flip`` or ``soft_averaging`` at ``rate``; no pair is left out."""

    kind: str
    rate: float

    def __post_init__(self) -> None:
        if self.kind not in NOISE:
            raise OptionError(f"noise is {self.kind!r}{nearest(self.kind, NOISE)}")
        if not 0 <= self.rate <= 1:
            raise OptionError(f"rate is {self.rate:g}; it must lie in [0, 1]")

    def __call__(self, p: Floats, rng: np.random.Generator) -> tuple[Places, Floats]:
        """See ``Shape``. ``soft_averaging`` draws nothing."""
        everyone = np.arange(len(p))
        if self.kind == "soft_averaging":
            return everyone, soft_averaging(p, self.rate)
        return everyone, (binary_flip if self.kind == "binary_flip" else soft_flip)(p, self.rate, rng)


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
        kept, shaped = shape(np.round(labels, DECIMALS), np.random.default_rng(seed))
    except InputError as error:
        raise InputError(f"{pairs.name}: {error}") from None
    if not len(kept):
        raise InputError(f"{pairs.name}: none of the {len(pairs)} pairs is left with {record_of(shape)}")
    # where the shape changed no label, the label keeps the digits that rounding took
    changed = shaped != np.round(labels, DECIMALS)
    record = {**record_of(shape), "seed": seed}
    return [_relabelled(pairs[i], float(shaped[i] if changed[i] else labels[i]), record) for i in kept]


def record_of(shape: Shape) -> dict[str, Any]:
    """The shape's name and settings as plain values."""
    settings: dict[str, Any] = asdict(shape)  # type: ignore[call-overload]
    return {"shape": type(shape).__name__.lower(), **settings}


def _relabelled(pair: PreferencePair, p: float, record: Mapping[str, Any]) -> PreferencePair:
    step = {**record, "soft_label_before": _first_side(pair.soft_label, pair.swapped)}
    source = {**pair.label_source, "shaped": [*pair.label_source.get("shaped", ()), step]}
    return replace(pair, soft_label=p, label_source=source)


def shaped_row(pair: PreferencePair) -> dict[str, Any]:
    """A shaped pair as a row that ``read_pairs`` reads, with the sides in the order of the file that it came from."""
    written = swap_sides(pair) if pair.swapped else pair
    return row_as_written(written, _first_side(pair.soft_label, pair.swapped), pair.label_source)


def row_as_written(pair: PreferencePair, soft_label: float | None, label_source: Mapping[str, Any]) -> dict[str, Any]:
    """A pair whose sides stand as its file had them, as the row that ``softpref label`` would write.

    The sides are called ``response_1`` and ``response_2``, which claims no preference, and ``meta`` (a gold label in it, say)
    stays about the side that it was about.
    """
    row: dict[str, Any] = {"prompt": pair.prompt, "response_1": pair.chosen, "response_2": pair.rejected}
    row |= {"id": pair.id} if pair.id else {}
    row |= {"weight": pair.weight} if pair.weight != 1.0 else {}
    return {**row, "soft_label": soft_label, "label_source": dict(label_source), "meta": dict(pair.meta)}


def _first_side(p: float | None, swapped: bool) -> float | None:
    """p for the file's first side; turning it round twice costs the last bit, so it is given to 15 decimals."""
    return round(1 - p, 15) if swapped and p is not None else p


def _binned(p: Floats, low: float, high: float, bins: int) -> dict[tuple[float, float], Places]:
    """Places (in order) of the labels in each equal bin of [low, high); 1 belongs to a last bin that ends there."""
    edges = np.round(np.linspace(low, high, bins + 1), DECIMALS)
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
