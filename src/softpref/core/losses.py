"""The losses by one import: ``from softpref.core.losses import PairLogps, geometric_average, preference_loss``.

The table of base losses is in ``base_losses``, the label treatments are in ``treatments``.
"""

from softpref.core.base_losses import LOSSES, BaseLoss
from softpref.core.method import Extras
from softpref.core.pair import PairLogps, geometric_average
from softpref.core.treatments import preference_loss

__all__ = ["LOSSES", "BaseLoss", "Extras", "PairLogps", "geometric_average", "preference_loss"]
