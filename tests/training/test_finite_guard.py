"""The guard stops a run at values that are not finite: at once on a CPU, one look later elsewhere, never without the rows."""

from __future__ import annotations

import math

import pytest
import torch

from softpref.data.tokenization import TokenizedPair
from softpref.errors import NonFiniteError
from softpref.training.finite_guard import FiniteGuard

ROWS = [TokenizedPair([1], [2], [3], 0.7, 1.0, row) for row in (11, 12, 13)]
FINE = torch.tensor([1.0, -2.0, 0.0])


class Elsewhere(torch.Tensor):
    """A tensor that says that it is on a device, where looking at it costs a wait; its looks are counted."""

    device = torch.device("cuda")
    looks = 0

    def any(self):
        Elsewhere.looks += 1
        return torch.Tensor.any(self)


@pytest.fixture
def elsewhere():
    Elsewhere.looks = 0
    return lambda *values: torch.tensor(values).as_subclass(Elsewhere)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_on_a_cpu_at_once(bad):
    """In either of the values that are watched; every row that is wrong is named, and no other."""
    guard = FiniteGuard()
    guard.watch(ROWS, 3, FINE, FINE)
    for values in ((torch.tensor([1.0, bad, bad]), FINE), (FINE, torch.tensor([1.0, bad, bad]))):
        with pytest.raises(NonFiniteError, match=r"step 4: .* rows \[12, 13\] are not finite"):
            guard.watch(ROWS, 4, *values)


def test_elsewhere_no_step_waits_for_itself(elsewhere):
    guard = FiniteGuard()
    guard.watch(ROWS, 1, elsewhere(1.0, 2.0, math.nan))
    assert Elsewhere.looks == 0
    with pytest.raises(NonFiniteError, match=r"step 1: .* rows \[13\]"):
        guard.watch(ROWS, 2, elsewhere(1.0, 2.0, 3.0))


def test_elsewhere_the_last_step_is_looked_at_before_anything_is_kept(elsewhere):
    guard = FiniteGuard()
    guard.watch(ROWS, 1, elsewhere(1.0, 2.0, 3.0))
    guard.watch(ROWS, 2, elsewhere(math.inf, 2.0, 3.0))
    assert Elsewhere.looks == 1
    with pytest.raises(NonFiniteError, match=r"step 2: .* rows \[11\]"):
        guard.check()
    guard.check()


def test_values_with_a_gradient_are_watched_without_one():
    values = FINE.clone().requires_grad_()
    guard = FiniteGuard()
    guard.watch(ROWS, 1, values * 2)
    assert values.grad is None


def test_no_checkpoint_is_made_of_a_step_that_went_wrong(make_trainer, elsewhere, tmp_path):
    """What was not looked at yet is looked at before a checkpoint is written, and before a line is logged."""
    trainer = make_trainer(save_strategy="steps", save_steps=1, max_steps=2)
    trainer._guard.watch(ROWS, 1, elsewhere(1.0, math.nan, 3.0))
    with pytest.raises(NonFiniteError, match=r"rows \[12\]"):
        trainer._save_checkpoint(trainer.model, None)
    trainer._guard.watch(ROWS, 1, elsewhere(1.0, math.nan, 3.0))
    with pytest.raises(NonFiniteError, match=r"rows \[12\]"):
        trainer.log({"loss": 1.0})
    assert not list((tmp_path / "run").glob("checkpoint-*"))
