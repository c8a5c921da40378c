"""What the trainers rest on in transformers and accelerate is as it was when it was read. A failure names what changed."""

from __future__ import annotations

import inspect
from types import SimpleNamespace

import pytest
from accelerate.state import GradientState
from transformers import Trainer
from transformers.trainer_utils import EvalLoopOutput, rotate_checkpoints

from softpref.training.online import OnlineSoftPreferenceTrainer
from softpref.training.reward_model import RewardModelTrainer
from softpref.training.trainer import SoftPreferenceTrainer
from softpref.training.trainer_seam import CALLED, OVERRIDDEN, READ, own_rows

TRAINERS = (SoftPreferenceTrainer, OnlineSoftPreferenceTrainer, RewardModelTrainer)


@pytest.mark.parametrize("name", [*OVERRIDDEN, *CALLED])
def test_a_method_of_transformers_takes_what_it_took(name):
    assert tuple(inspect.signature(getattr(Trainer, name)).parameters)[1:] == {**OVERRIDDEN, **CALLED}[name]


@pytest.mark.parametrize("kind", TRAINERS)
def test_nothing_else_is_overridden(kind):
    own = {name for name, value in vars(kind).items() if callable(value) and hasattr(Trainer, name)} - {"__init__"}
    assert own <= OVERRIDDEN.keys()


@pytest.mark.parametrize("kind", TRAINERS)
@pytest.mark.parametrize("name", OVERRIDDEN)
def test_an_override_takes_what_transformers_passes(kind, name):
    """By name, in transformers' order; a keyword may go on in ``**kwargs``."""
    parameters = inspect.signature(getattr(kind, name)).parameters.values()
    names = [parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD][1:]
    upstream = list(OVERRIDDEN[name])
    assert names == upstream[: len(names)]
    assert names == upstream or any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


@pytest.mark.parametrize("name", READ)
def test_accelerate_says_where_a_loader_ends(name):
    assert hasattr(GradientState(), name)


def test_attributes_of_transformers_that_are_read():
    assert EvalLoopOutput._fields == ("predictions", "label_ids", "metrics", "num_samples")
    assert {"output_dir", "save_total_limit", "best_model_checkpoint", "use_mtime"} <= {
        *inspect.signature(rotate_checkpoints).parameters
    }


@pytest.mark.parametrize(
    ("ranks", "rank", "ended", "remainder", "own"),
    [
        (1, 0, True, 1, 4),  # one rank has no repeats
        (2, 0, False, -1, 4),  # within an epoch
        (2, 1, True, 0, 4),  # the rows divide evenly
        (2, 0, True, 5, 4),  # 5 rows: four and one
        (2, 1, True, 5, 1),
        (2, 0, True, 3, 3),  # 3 rows: three and none
        (2, 1, True, 3, 0),
    ],
)
def test_rows_of_a_rank_that_are_no_repeats(ranks, rank, ended, remainder, own):
    state = SimpleNamespace(end_of_dataloader=ended, remainder=remainder)
    accelerator = SimpleNamespace(num_processes=ranks, process_index=rank, gradient_state=state)
    assert own_rows(accelerator, 4) == own
