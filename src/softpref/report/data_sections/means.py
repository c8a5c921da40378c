"""Means over pairs, with intervals that draw whole prompts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from softpref.core.statistics import cluster_bootstrap
from softpref.data.pairs import PreferencePair, text_of


def mean_by_prompt(values: Any, prompts: Iterable[str]) -> dict[str, float | int]:
    """An estimate as a dictionary. Raises ValueError without a value."""
    return cluster_bootstrap(lambda x: float(np.mean(x)), values, clusters=list(prompts)).as_dict()


def prompt_of(pair: PreferencePair) -> str:
    """What pairs are clustered by."""
    return text_of(pair.prompt)
