"""Preference training when preferences are a degree, not a yes or no.

The public names are loaded on first use: ``import softpref`` imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from softpref.core import LOSSES as LOSSES
    from softpref.core import PairLogps as PairLogps
    from softpref.core import geometric_average as geometric_average
    from softpref.core import preference_loss as preference_loss
    from softpref.data.formats import read_pairs as read_pairs
    from softpref.data.pairs import PairSet as PairSet
    from softpref.data.pairs import PreferencePair as PreferencePair
    from softpref.data.read_options import ReadOptions as ReadOptions
    from softpref.errors import DataError as DataError
    from softpref.errors import InputError as InputError
    from softpref.errors import InterruptedRunError as InterruptedRunError
    from softpref.errors import NonFiniteError as NonFiniteError
    from softpref.errors import OptionError as OptionError
    from softpref.errors import ReferenceMismatchError as ReferenceMismatchError
    from softpref.errors import SoftprefError as SoftprefError
    from softpref.evaluation.classify import classify as classify
    from softpref.evaluation.evaluate import evaluate as evaluate
    from softpref.evaluation.head_to_head import head_to_head as head_to_head
    from softpref.generation.sampling import Sampling as Sampling
    from softpref.judges.base import Judge as Judge
    from softpref.judges.labelling import LabelOptions as LabelOptions
    from softpref.judges.labelling import label_pairs as label_pairs
    from softpref.judges.prompt import JudgePrompt as JudgePrompt
    from softpref.judges.prompt import load_prompt as load_prompt
    from softpref.training.config import SoftPreferenceConfig as SoftPreferenceConfig
    from softpref.training.online import OnlineSoftPreferenceTrainer as OnlineSoftPreferenceTrainer
    from softpref.training.online_options import OnlineOptions as OnlineOptions
    from softpref.training.recipe import TrainRecipe as TrainRecipe
    from softpref.training.reward_model import RewardModelTrainer as RewardModelTrainer
    from softpref.training.run import train as train
    from softpref.training.trainer import SoftPreferenceTrainer as SoftPreferenceTrainer

__version__ = "0.1.0.dev0"

_HOMES = {
    "LOSSES": "softpref.core",
    "DataError": "softpref.errors",
    "InputError": "softpref.errors",
    "InterruptedRunError": "softpref.errors",
    "Judge": "softpref.judges.base",
    "JudgePrompt": "softpref.judges.prompt",
    "LabelOptions": "softpref.judges.labelling",
    "NonFiniteError": "softpref.errors",
    "OnlineOptions": "softpref.training.online_options",
    "OnlineSoftPreferenceTrainer": "softpref.training.online",
    "OptionError": "softpref.errors",
    "PairLogps": "softpref.core",
    "PairSet": "softpref.data.pairs",
    "PreferencePair": "softpref.data.pairs",
    "ReadOptions": "softpref.data.read_options",
    "ReferenceMismatchError": "softpref.errors",
    "RewardModelTrainer": "softpref.training.reward_model",
    "Sampling": "softpref.generation.sampling",
    "SoftPreferenceConfig": "softpref.training.config",
    "SoftPreferenceTrainer": "softpref.training.trainer",
    "SoftprefError": "softpref.errors",
    "TrainRecipe": "softpref.training.recipe",
    "classify": "softpref.evaluation.classify",
    "evaluate": "softpref.evaluation.evaluate",
    "geometric_average": "softpref.core",
    "head_to_head": "softpref.evaluation.head_to_head",
    "label_pairs": "softpref.judges.labelling",
    "load_prompt": "softpref.judges.prompt",
    "preference_loss": "softpref.core",
    "read_pairs": "softpref.data.formats",
    "train": "softpref.training.run",
}

__all__ = [
    "LOSSES",
    "DataError",
    "InputError",
    "InterruptedRunError",
    "Judge",
    "JudgePrompt",
    "LabelOptions",
    "NonFiniteError",
    "OnlineOptions",
    "OnlineSoftPreferenceTrainer",
    "OptionError",
    "PairLogps",
    "PairSet",
    "PreferencePair",
    "ReadOptions",
    "ReferenceMismatchError",
    "RewardModelTrainer",
    "Sampling",
    "SoftPreferenceConfig",
    "SoftPreferenceTrainer",
    "SoftprefError",
    "TrainRecipe",
    "classify",
    "evaluate",
    "geometric_average",
    "head_to_head",
    "label_pairs",
    "load_prompt",
    "preference_loss",
    "read_pairs",
    "train",
]

if not TYPE_CHECKING:  # a type checker would take any name for Any

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)
