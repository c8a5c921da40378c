"""The losses by one import: ``from softpref.core.losses import PairLogps, geometric_average, preference_loss``.

The base losses stand in ``base_losses``, the label treatments in ``treatments``.
"""

from softpref.core.base_losses import LOSSES, BaseLoss
from softpref.core.pair import PairLogps, geometric_average
from softpref.core.treatments import preference_loss

__all__ = ["LOSSES", "BaseLoss", "PairLogps", "geometric_average", "preference_loss"]
