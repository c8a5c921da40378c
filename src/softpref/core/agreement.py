"""How far judges, or people, agree: Cohen's kappa of two, Krippendorff's alpha of any number. NumPy in, numbers out."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def cohen_kappa(one: ArrayLike, other: ArrayLike) -> float | None:
    """Agreement of two raters beyond chance, (o − e) / (1 − e), for nominal values of shape (N,).

    o is the share of equal values, e the share expected of raters who keep their own frequencies and ignore the item
    (Cohen 1960, "A Coefficient of Agreement for Nominal Scales", eq. 1). None where e = 1: both gave one value throughout.

    Raises ValueError without a value, or with unequal numbers of values.
    """
    first, second = np.asarray(one), np.asarray(other)
    if first.shape != second.shape or first.ndim != 1 or first.size == 0:
        raise ValueError(f"two raters need the same number of values, at least one: {first.shape} and {second.shape}")
    values, codes = np.unique(np.concatenate([first, second]), return_inverse=True)
    table = np.zeros((len(values), len(values)))
    np.add.at(table, (codes[: len(first)], codes[len(first) :]), 1 / len(first))
    expected = float(table.sum(axis=1) @ table.sum(axis=0))
    if len(values) == 1:
        return None
    return (float(np.trace(table)) - expected) / (1 - expected)


def krippendorff_alpha(counts: ArrayLike) -> float | None:
    """Krippendorff's alpha of nominal values, 1 − D_o / D_e, for any number of raters and any gaps.

    ``counts`` (N, V): how many raters gave unit n the value v. With m_u values in unit u, n_v values v and n in all, over
    units of two values or more (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section C)::

        D_o = Σ_u (m_u² − Σ_v n_uv²) / (m_u − 1) / n        D_e = (n² − Σ_v n_v²) / (n (n − 1))

    None where nothing could disagree: no unit has two values, or all values are equal.

    Raises ValueError for negative counts or another shape.
    """
    table = np.asarray(counts, dtype=np.float64)
    if table.ndim != 2 or (table < 0).any():
        raise ValueError(f"counts must be (units, values) and not negative, got shape {table.shape}")
    table = table[table.sum(axis=1) >= 2]
    total, per_value = table.sum(), table.sum(axis=0)
    possible = total**2 - (per_value**2).sum()
    if possible == 0:
        return None
    size = table.sum(axis=1)
    observed = ((size**2 - (table**2).sum(axis=1)) / (size - 1)).sum()
    return float(1 - (total - 1) * observed / possible)


def value_counts(ratings: NDArray[np.float64]) -> NDArray[np.int64]:
    """(N, V): how many of the raters of ``ratings`` (raters, N) gave each unit each value; nan is no rating."""
    values = np.unique(ratings[~np.isnan(ratings)])
    return np.stack([(ratings == value).sum(axis=0) for value in values], axis=1) if len(values) else np.zeros((0, 0), np.int64)
