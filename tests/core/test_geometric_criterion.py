"""Where ``geometric`` exists: exactly where equals teach nothing, ``base(c, c)`` constant in c. A property, not a list."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import logsigmoid, softplus

from loss_family import ANCHORED, TREATED
from paper_table import beta_of, many, pair_of, rows_of_logps
from softpref.core import LOSSES, Extras, PairLogps, preference_loss
from softpref.core.losses import BaseLoss
from softpref.core.treatments import resolve
from softpref.errors import OptionError

KEEPS = [name for name, letters in TREATED.items() if "g" in letters]
BREAKS = [name for name, letters in TREATED.items() if "c" in letters and "g" not in letters]


def toy_cpo(pair, *, beta, nll_weight=0.0):
    return softplus(-beta * (pair.chosen - pair.rejected)) - nll_weight * pair.chosen


def toy_bco(pair, *, beta):
    return -logsigmoid(beta * pair.chosen_logratio) - logsigmoid(-beta * pair.rejected_logratio)


def is_constant(name, **options):
    """``base(c, c)`` over a grid of equal sides, policy and reference each with its own c, other parts held still."""
    axis = -torch.linspace(0.05, 60, 13, dtype=torch.float64)
    policy, reference = (c.flatten() for c in torch.meshgrid(axis, axis, indexing="ij"))
    still = torch.full_like(policy, -3.0)
    if name == "dpop":
        options["anchor"] = PairLogps(still, still, still + 1, still + 1)
    if name in ("dpo_rk", "dpo_d"):
        options["tie"] = torch.full_like(policy, 0.4)
    values = LOSSES[name].function(PairLogps(policy, policy, reference, reference), **options)
    return bool(values.max() - values.min() < 1e-9)


@pytest.fixture(autouse=True, scope="module")
def toy():
    """A loss of two parts, known to ``LOSSES`` while this file is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(LOSSES, "toy_cpo", BaseLoss(toy_cpo))
        yield


def accepted(name, **options):
    try:
        resolve(name, treatment="geometric", **options)
    except OptionError as error:
        assert "no geometric form" in str(error)  # noqa: PT017 - any other refusal would be a wrong answer
        return False
    return True


@pytest.mark.parametrize("name", [*KEEPS, *BREAKS, "sft", "toy_cpo"])
@many
@given(beta=st.floats(0.02, 2.0))
def test_geometric_is_accepted_exactly_where_equal_sides_have_one_loss(name, beta):
    options = beta_of(LOSSES[name], beta)
    assert accepted(name, **options) == is_constant(name, **options)


@pytest.mark.parametrize("name", KEEPS)
def test_the_losses_that_the_paper_s_operation_suits_are_accepted(name):
    assert accepted(name, beta=0.1)


@pytest.mark.parametrize("name", ["sft", *BREAKS])
def test_the_losses_that_would_push_equals_are_refused_by_name(name):
    with pytest.raises(OptionError, match=rf"{name} has no geometric form: two equal sides would still be pushed"):
        resolve(name, treatment="geometric", **beta_of(LOSSES[name], 0.1))


@many
@given(weight=st.one_of(st.just(0.0), st.floats(1e-6, 10)))
def test_an_argument_can_decide(weight):
    """The margin term qualifies, an NLL term does not: accepted exactly with a weight of 0."""
    assert accepted("toy_cpo", beta=0.1, nll_weight=weight) == (weight == 0)


def test_an_argument_decides_again_after_it_was_decided_once():
    """No answer is remembered for the function alone."""
    answers = [accepted("toy_cpo", beta=0.1, nll_weight=weight) for weight in (0.0, 1.0, 0.0, 1.0)]
    assert answers == [True, False, True, False]


def test_another_function_under_the_same_name_is_judged_anew(monkeypatch):
    assert accepted("toy_cpo", beta=0.1)
    monkeypatch.setitem(LOSSES, "toy_cpo", BaseLoss(toy_bco))
    assert not accepted("toy_cpo", beta=0.1)


@pytest.mark.parametrize("treatment", ["hard", "conservative"])
@pytest.mark.parametrize("name", ["sft", *BREAKS])
def test_what_is_refused_still_has_the_other_treatments(name, treatment):
    method = resolve(name, treatment=treatment, reduction="sum", **beta_of(LOSSES[name], 0.1))
    loss = method(pair_of([(-3, -4, -3.5, -3)]), torch.tensor([0.7]))
    assert loss.isfinite().all()


@pytest.mark.parametrize("name", [name for name in KEEPS if name not in ANCHORED])
@many
@given(rows_of_logps(-100), st.floats(0.02, 2.0))
def test_a_tie_has_no_gradient_under_any_accepted_loss(name, logps, beta):
    pair = pair_of(logps, grad=True)
    half = torch.full_like(pair.chosen, 0.5).detach()
    options = {**beta_of(LOSSES[name], beta), "treatment": "geometric", "reduction": "sum", "tie": half}
    loss = preference_loss(name, pair, half, **options)
    for slope in torch.autograd.grad(loss.sum(), [pair.chosen, pair.rejected]):
        np.testing.assert_allclose(slope, 0, atol=1e-13)


@pytest.mark.parametrize(("name", "options"), [("dpop", {"penalty": 0}), ("cpo", {}), ("orpo", {})])
@many
@given(rows_of_logps(-100), st.floats(0.02, 2.0))
def test_without_its_anchor_a_tie_has_no_gradient_either(name, options, logps, beta):
    pair = pair_of(logps, grad=True)
    half = torch.full_like(pair.chosen, 0.5).detach()
    options = {**options, "treatment": "geometric", "reduction": "sum", "extras": Extras(sft_weight=0.0)}
    loss = preference_loss(name, pair, half, beta=beta, **options)
    for slope in torch.autograd.grad(loss.sum(), [pair.chosen, pair.rejected]):
        np.testing.assert_allclose(slope, 0, atol=1e-13)


def test_an_anchor_is_all_that_a_tie_leaves():
    """cpo, p = ½, 4 and 2 tokens: the NLL's −1/4 on the chosen side. dpop, β = 0.1, λ = 50, c = −1: at p = ½ the logit is
    −0.1·50·1 = −5, so the slope on chosen is −(1 − s(−5))·0.1·50 = −4.96654, and 0 on rejected.
    """
    lengths = torch.tensor([4.0]), torch.tensor([2.0])
    for name, expected in (("cpo", -0.25), ("dpop", -4.966536)):
        sides = [torch.tensor([x], dtype=torch.float64, requires_grad=True) for x in (-9.0, -5.0)]
        pair = PairLogps(*sides, torch.tensor([-8.0]), torch.tensor([-5.5]), *lengths)
        loss = preference_loss(name, pair, torch.tensor([0.5]), treatment="geometric", beta=0.1)
        chosen, rejected = torch.autograd.grad(loss.sum(), sides)
        assert chosen.item() == pytest.approx(expected, abs=1e-6)
        assert rejected.item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", BREAKS)
def test_a_tie_would_have_taught_under_a_refused_loss(name):
    """What the refusal prevents: the function itself, on an averaged tie, has a gradient."""
    side = torch.tensor([-7.0], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([-9.0], dtype=torch.float64)
    loss = LOSSES[name].function(PairLogps(side, side, reference, reference), beta=0.1)
    (slope,) = torch.autograd.grad(loss.sum(), [side])
    assert abs(slope.item()) > 1e-3


def test_a_target_that_a_loss_declares_is_scaled_with_the_margin():
    """SimPO, chosen −1 and rejected −3, β = 2, γ = 0.5, p = ¾: h' = 1 so βh' = 2; γ·½ = 0.25; −log s(1.75) = 0.16022415.

    Kept fixed: −log s(2 − 0.5) = 0.20141328.
    """
    pair, label = pair_of([(-1, -3, -1, -1)]), torch.tensor([0.75])
    options = {"treatment": "geometric", "reduction": "sum", "beta": 2.0}
    loss = {scale: preference_loss("simpo", pair, label, scale_target=scale, **options).item() for scale in (None, True, False)}
    assert loss[None] == loss[True] == pytest.approx(0.16022415, abs=1e-8)
    assert loss[False] == pytest.approx(0.20141328, abs=1e-8)
