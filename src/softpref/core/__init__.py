"""Pure arithmetic: tensors or arrays in, tensors or arrays out. No files, no config, no transformers, no prints.

The parts that need torch are loaded on first use, so that labels can be made on a machine without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from softpref.core.base_losses import LOSSES as LOSSES
    from softpref.core.method import Extras as Extras
    from softpref.core.pair import PairLogps as PairLogps
    from softpref.core.pair import geometric_average as geometric_average
    from softpref.core.pair import swap as swap
    from softpref.core.treatments import ALIASES as ALIASES
    from softpref.core.treatments import TREATMENTS as TREATMENTS
    from softpref.core.treatments import preference_loss as preference_loss

_HOMES = {
    "ALIASES": "softpref.core.treatments",
    "Extras": "softpref.core.method",
    "LOSSES": "softpref.core.base_losses",
    "TREATMENTS": "softpref.core.treatments",
    "PairLogps": "softpref.core.pair",
    "geometric_average": "softpref.core.pair",
    "preference_loss": "softpref.core.treatments",
    "swap": "softpref.core.pair",
}

__all__ = ["ALIASES", "LOSSES", "TREATMENTS", "Extras", "PairLogps", "geometric_average", "preference_loss", "swap"]


if not TYPE_CHECKING:  # a type checker would take any name for Any

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)
