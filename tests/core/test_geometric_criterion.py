"""Where ``geometric`` exists: exactly where equals teach nothing, ``base(c, c)`` constant in c. A property, not a list."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import logsigmoid, softplus

from paper_table import beta_of, many, pair_of, rows_of_logps
from softpref.core import LOSSES, PairLogps, preference_loss
from softpref.core.losses import BaseLoss
from softpref.core.treatments import resolve
from softpref.errors import OptionError


def simpo(pair, *, beta, gamma=0.5, target_scale=1.0):
    return -logsigmoid(beta * (pair.chosen - pair.rejected) - gamma * target_scale)


def robust(pair, *, beta, noise=0.1):
    scaled = beta * pair.margin
    return (noise * logsigmoid(-scaled) - (1 - noise) * logsigmoid(scaled)) / (1 - 2 * noise)


def exo(pair, *, beta, noise=1e-3):
    scaled = beta * pair.margin
    likely = scaled.sigmoid() * (logsigmoid(scaled) - np.log1p(-noise))
    return likely + (-scaled).sigmoid() * (logsigmoid(-scaled) - np.log(noise))


def discopop(pair, *, beta, tau=0.05):
    scaled = beta * pair.margin
    share = (scaled / tau).sigmoid()
    return -logsigmoid(scaled) * (1 - share) + torch.exp(-scaled) * share


def apo_zero(pair, *, beta):
    return 1 - (beta * pair.chosen_logratio).sigmoid() + (beta * pair.rejected_logratio).sigmoid()


def apo_down(pair, *, beta):
    return (beta * pair.chosen_logratio).sigmoid() + 1 - (beta * pair.margin).sigmoid()


def sppo(pair, *, beta):
    return (pair.chosen_logratio - 0.5 / beta) ** 2 + (pair.rejected_logratio + 0.5 / beta) ** 2


def nca(pair, *, beta):
    chosen, rejected = beta * pair.chosen_logratio, beta * pair.rejected_logratio
    return -logsigmoid(chosen) - 0.5 * logsigmoid(-chosen) - 0.5 * logsigmoid(-rejected)


def bco(pair, *, beta):
    return -logsigmoid(beta * pair.chosen_logratio) - logsigmoid(-beta * pair.rejected_logratio)


def cpo(pair, *, beta, nll_weight=0.0):
    return softplus(-beta * (pair.chosen - pair.rejected)) - nll_weight * pair.chosen


# the paper's §2: where the averaging keeps its promise, and where it does not
KEEPS = {"simpo": simpo, "robust": robust, "exo": exo, "discopop": discopop, "apo_zero": apo_zero, "cpo": cpo}
BREAKS = {"sppo": sppo, "nca": nca, "bco": bco, "apo_down": apo_down}
TOYS = {f"toy_{name}": BaseLoss(function) for name, function in {**KEEPS, **BREAKS}.items()}
EVERY = {**LOSSES, **TOYS}


def is_constant(base, **options):
    """``base(c, c)`` over a grid of equal sides, policy and reference each with its own c."""
    axis = -torch.linspace(0.05, 60, 13, dtype=torch.float64)
    policy, reference = (c.flatten() for c in torch.meshgrid(axis, axis, indexing="ij"))
    values = base.function(PairLogps(policy, policy, reference, reference), **options)
    return bool(values.max() - values.min() < 1e-9)


SUITED = [name for name, base in EVERY.items() if is_constant(base, **beta_of(base))]
UNSUITED = [name for name in EVERY if name not in SUITED]


@pytest.fixture(autouse=True, scope="module")
def toys():
    """The toy losses above, known to ``LOSSES`` while this file is tested."""
    with pytest.MonkeyPatch.context() as patch:
        for name, base in TOYS.items():
            patch.setitem(LOSSES, name, base)
        yield


def accepted(name, **options):
    try:
        resolve(name, treatment="geometric", **options)
    except OptionError as error:
        assert "no geometric form" in str(error)  # noqa: PT017 - any other refusal would be a wrong answer
        return False
    return True


@pytest.mark.parametrize("name", EVERY)
@many
@given(beta=st.floats(0.02, 2.0))
def test_geometric_is_accepted_exactly_where_equal_sides_have_one_loss(name, beta):
    options = beta_of(EVERY[name], beta)
    assert accepted(name, **options) == is_constant(EVERY[name], **options)


@pytest.mark.parametrize("name", ["dpo", "ipo", "ropo", "slic", *(f"toy_{name}" for name in KEEPS)])
def test_the_losses_that_the_paper_s_operation_suits_are_accepted(name):
    assert accepted(name, beta=0.1)


@pytest.mark.parametrize("name", ["sft", *(f"toy_{name}" for name in BREAKS)])
def test_the_losses_that_would_push_equals_are_refused_by_name(name):
    with pytest.raises(OptionError, match=rf"{name} has no geometric form: two equal sides would still be pushed"):
        resolve(name, treatment="geometric", **beta_of(EVERY[name], 0.1))


@many
@given(weight=st.one_of(st.just(0.0), st.floats(1e-6, 10)))
def test_an_argument_can_decide(weight):
    """CPO's margin term qualifies, its NLL term does not: accepted exactly with a weight of 0."""
    assert accepted("toy_cpo", beta=0.1, nll_weight=weight) == (weight == 0)


def test_an_argument_decides_again_after_it_was_decided_once():
    """No answer is remembered for the function alone."""
    answers = [accepted("toy_cpo", beta=0.1, nll_weight=weight) for weight in (0.0, 1.0, 0.0, 1.0)]
    assert answers == [True, False, True, False]


def test_another_function_under_the_same_name_is_judged_anew(monkeypatch):
    assert accepted("toy_simpo", beta=0.1)
    monkeypatch.setitem(LOSSES, "toy_simpo", BaseLoss(bco))
    assert not accepted("toy_simpo", beta=0.1)


@pytest.mark.parametrize("treatment", ["hard", "conservative"])
@pytest.mark.parametrize("name", UNSUITED)
def test_what_is_refused_still_has_the_other_treatments(name, treatment):
    method = resolve(name, treatment=treatment, reduction="sum", **beta_of(EVERY[name], 0.1))
    loss = method(pair_of([(-3, -4, -3.5, -3)]), torch.tensor([0.7]))
    assert loss.isfinite().all()


@pytest.mark.parametrize("name", SUITED)
@many
@given(rows_of_logps(-100), st.floats(0.02, 2.0))
def test_a_tie_has_no_gradient_under_any_accepted_loss(name, logps, beta):
    pair = pair_of(logps, grad=True)
    tie = torch.full_like(pair.chosen, 0.5).detach()
    loss = preference_loss(name, pair, tie, treatment="geometric", reduction="sum", **beta_of(EVERY[name], beta))
    for slope in torch.autograd.grad(loss.sum(), [pair.chosen, pair.rejected]):
        np.testing.assert_allclose(slope, 0, atol=1e-13)


@pytest.mark.parametrize("name", [f"toy_{name}" for name in BREAKS])
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
    loss = {
        scale: preference_loss("toy_simpo", pair, label, treatment="geometric", beta=2.0, scale_target=scale).item()
        for scale in (None, True, False)
    }
    assert loss[None] == loss[True] == pytest.approx(0.16022415, abs=1e-8)
    assert loss[False] == pytest.approx(0.20141328, abs=1e-8)
