"""Preference training when preferences are a degree, not a yes or no.

The public names are loaded on first use: ``import softpref`` imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0.dev0"

_HOMES = {
    "OnlineOptions": "softpref.training.online_options",
    "OnlineSoftPreferenceTrainer": "softpref.training.online",
    "PairLogps": "softpref.core",
    "PreferencePair": "softpref.data.pairs",
    "SoftPreferenceConfig": "softpref.training.config",
    "SoftPreferenceTrainer": "softpref.training.trainer",
    "geometric_average": "softpref.core",
    "preference_loss": "softpref.core",
    "read_pairs": "softpref.data.formats",
}

__all__ = [
    "OnlineOptions",
    "OnlineSoftPreferenceTrainer",
    "PairLogps",
    "PreferencePair",
    "SoftPreferenceConfig",
    "SoftPreferenceTrainer",
    "geometric_average",
    "preference_loss",
    "read_pairs",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
