"""Means over pairs, with intervals that draw whole prompts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from softpref.core.statistics import cluster_bootstrap
from softpref.data.pairs import PreferencePair, text_of
from softpref.records.figures import Interval


def mean_by_prompt(values: Any, prompts: Iterable[str]) -> Interval:
    """The mean and its interval. Raises ValueError without a value."""
    return Interval.of(cluster_bootstrap(lambda x: float(np.mean(x)), values, clusters=list(prompts)))


def prompt_of(pair: PreferencePair) -> str:
    """What pairs are clustered by."""
    return text_of(pair.prompt)
