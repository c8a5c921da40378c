"""Pure arithmetic: tensors or arrays in, tensors or arrays out. No files, no config, no transformers, no prints.

The parts that need torch are loaded on first use, so that labels can be made on a machine without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "PairLogps": "softpref.core.pair",
    "geometric_average": "softpref.core.pair",
    "swap": "softpref.core.pair",
    "LOSSES": "softpref.core.losses",
    "ALIASES": "softpref.core.treatments",
    "TREATMENTS": "softpref.core.treatments",
    "preference_loss": "softpref.core.treatments",
}

__all__ = ["ALIASES", "LOSSES", "TREATMENTS", "PairLogps", "geometric_average", "preference_loss", "swap"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
