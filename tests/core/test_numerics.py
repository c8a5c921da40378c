"""Finite where margins are huge, right to the second digit in bf16, and differentiable as claimed, for every method."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from loss_family import METHODS, treatment_option
from paper_table import EIGHT, TABLE, beta_of, tensor
from softpref.core import LOSSES, PairLogps, preference_loss


def options_of(name, treatment, like):
    """Sums, so that margins are what the test says; a P(tie) of 0.15 where one is read."""
    tie = {"tie": torch.full_like(like, 0.15).detach()} if LOSSES[name].reads_tie else {}
    return {**beta_of(LOSSES[name]), **tie, "treatment": treatment_option(treatment), "reduction": "sum"}


def loss_and_slopes(name, treatment, logps, label, dtype):
    sides = [torch.tensor(column, dtype=dtype, requires_grad=True) for column in zip(*logps, strict=True)]
    soft_label = torch.full((len(logps),), label, dtype=dtype)
    lengths = [torch.full_like(soft_label, n) for n in (2, 3)]
    loss = preference_loss(name, PairLogps(*sides, *lengths), soft_label, **options_of(name, treatment, soft_label))
    return loss, torch.autograd.grad(loss.sum(), sides, allow_unused=True)


@pytest.mark.parametrize("label", [0.5, 0.7, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("name", "treatment"), METHODS)
def test_loss_and_gradient_are_finite_at_margins_of_ten_thousand(name, treatment, dtype, label):
    """h = ±10 000 from the policy, and the same from the reference."""
    huge = [(-1.0, -10001.0, -1.0, -1.0), (-10001.0, -1.0, -1.0, -1.0), (-1.0, -1.0, -10001.0, -1.0)]
    loss, slopes = loss_and_slopes(name, treatment, huge, label, dtype)
    assert loss.isfinite().all()
    assert loss.dtype == dtype
    assert [slope.isfinite().all().item() for slope in slopes if slope is not None] == [True] * sum(s is not None for s in slopes)
    assert any(slope is not None for slope in slopes)


@pytest.mark.parametrize(("h", "expected"), [(-1e4, 1000.0), (1e4, 0.0)])
def test_the_logistic_is_linear_far_below_and_nought_far_above(h, expected):
    """−log s(0.1·h): 0.1·10 000 = 1000 where exp would have overflowed, and 0."""
    pair = PairLogps(*(torch.tensor([x]) for x in (h, 0.0, 0.0, 0.0)))
    assert preference_loss("dpo", pair, beta=0.1).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-4), (torch.bfloat16, 0.06)])
@pytest.mark.parametrize("name", EIGHT)
def test_every_dtype_agrees_with_the_table(name, dtype, within):
    """Relative to the loss plus one; h = 6, −2 and 0.5 are exact in bf16, so are p = ¾ and b = ½."""
    h = np.array([6.0, -2.0, 0.5])
    nought = torch.zeros(3, dtype=dtype)
    pair = PairLogps(torch.tensor(h, dtype=dtype), nought, nought, nought)
    ours = preference_loss(name, pair, torch.full((3,), 0.75, dtype=dtype), beta=0.5)
    expected = TABLE[name].loss(h, 0.75, 0.5)
    assert ours.dtype == dtype
    assert_allclose((ours.double().numpy() - expected) / (1 + expected), 0, atol=within)


@pytest.mark.parametrize("name", EIGHT)
def test_a_label_in_double_precision_does_not_change_the_dtype_of_the_loss(name):
    pair = PairLogps(*(torch.tensor([x]) for x in (-10.0, -14.0, -11.0, -12.0)))
    ours = preference_loss(name, pair, tensor(0.75), beta=0.5)
    assert ours.dtype == torch.float32
    assert ours.item() == pytest.approx(TABLE[name].loss(3.0, 0.75, 0.5), rel=1e-5)


@pytest.mark.parametrize("label", [0.5, 0.65, 0.9, 1.0])
@pytest.mark.parametrize(("name", "treatment"), METHODS)
def test_the_gradient_is_the_slope_of_the_loss(name, treatment, label):
    """torch's gradcheck in float64, over all four log-probs and the label, away from the hinge's corner.

    p = ½ is |2p − 1|'s corner, so there the label itself is held fixed.
    """
    sides = [
        tensor(*column, grad=True)
        for column in ((-10.0, -30.5, -7.25), (-14.0, -20.0, -7.5), (-11.0, -24.0, -9.0), (-12.0, -21.0, -8.0))
    ]
    p = torch.full((3,), label, dtype=torch.float64, requires_grad=label > 0.5)
    options = options_of(name, treatment, p)
    lengths = tensor(4, 9, 3), tensor(6, 7, 3)

    def loss(*inputs):
        return preference_loss(name, PairLogps(*inputs[:4], *lengths), inputs[4], **options)

    assert torch.autograd.gradcheck(loss, (*sides, p))


def test_no_loss_changes_its_inputs():
    """The trainer logs the same tensors afterwards."""
    for name, base in LOSSES.items():
        pair = PairLogps(tensor(-10), tensor(-14), tensor(-11), tensor(-12), tensor(4), tensor(7))
        label = tensor(0.75)
        for treatment in ("hard", "conservative"):
            if not base.reads_label:
                preference_loss(name, pair, label, treatment=treatment, tie=label, **beta_of(base))
        assert [value.item() for value in vars(pair).values()] == [-10, -14, -11, -12, 4, 7]
        assert label.item() == 0.75


def test_the_hinge_s_corner_is_where_it_should_be():
    """b = 0.3, δ = 1: the corner lies at h = 1/0.3 = 3.333; slope −b just below, 0 just above."""
    slopes = []
    for h in (1 / 0.3 - 1e-6, 1 / 0.3 + 1e-6):
        side = tensor(h, grad=True)
        loss = preference_loss("slic", PairLogps(side, tensor(0), tensor(0), tensor(0)), beta=0.3)
        slopes.append(torch.autograd.grad(loss.sum(), [side])[0].item())
    assert slopes == [pytest.approx(-0.3), 0.0]
    assert math.isclose(preference_loss("slic", PairLogps(*[tensor(0)] * 4), beta=0.3).item(), 1.0)
