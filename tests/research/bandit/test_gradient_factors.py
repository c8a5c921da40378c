"""Gradient factors: the loss that trains, by automatic differentiation, against formulas written apart from it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paper_table import TABLE
from softpref.research.bandit.gradient_factors import METHODS, SHOWN_LABELS, by_autograd, closed_form

GRID = np.linspace(-10, 10, 41)


@pytest.mark.parametrize("p", SHOWN_LABELS)
@pytest.mark.parametrize("method", METHODS)
def test_autograd_agrees_with_the_closed_form_on_the_figure(method, p):
    np.testing.assert_allclose(by_autograd(method, GRID, p, 1.0), closed_form(method, GRID, p, 1.0), rtol=0, atol=1e-12)


@given(method=st.sampled_from(METHODS), h=st.floats(-20, 20), p=st.floats(0.5, 1), beta=st.floats(0.05, 3))
@settings(deadline=None, max_examples=200)
def test_autograd_agrees_with_the_closed_form_everywhere(method, h, p, beta):
    np.testing.assert_allclose(by_autograd(method, [h], p, beta), closed_form(method, [h], p, beta), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("method", METHODS)
def test_the_closed_forms_are_the_papers_table(method):
    """The table of the core's tests, written in ρ as the paper has it: ρ is 1 to the last bit where βh is large."""
    h = np.linspace(-3, 3, 13)
    np.testing.assert_allclose(closed_form(method, h, 0.8, 0.7), TABLE[method].factor(h, 0.8, 0.7), rtol=1e-9)


def test_values_by_hand():
    """At h = 0, p = 0.75, β = 0.5: ρ = ρ' = ½, 2p − 1 = ½. DPO 1 − ½; cDPO 0.75 − ½; GDPO ½·½; IPO 1/β² = 4;
    cIPO ½·4; GIPO ¼·4; ROPO (0.1 + 2·½)·½ = 0.55; GROPO ½·0.55."""
    found = {name: by_autograd(name, [0.0], 0.75, 0.5)[0] for name in METHODS}
    by_hand = {"dpo": 0.5, "cdpo": 0.25, "gdpo": 0.25, "ipo": 4, "cipo": 2, "gipo": 1, "ropo": 0.55, "gropo": 0.275}
    assert found == pytest.approx(by_hand, abs=1e-14)


def test_what_the_figure_is_for():
    """At p = 0.55 cDPO pushes back as soon as ρ > p, that is beyond h = log(0.55/0.45) = 0.2007; GDPO never does."""
    h = np.array([0.1, 0.3, 10.0])
    assert (np.sign(by_autograd("cdpo", h, 0.55, 1.0)) == [1, -1, -1]).all()
    assert (by_autograd("gdpo", h, 0.55, 1.0) > 0).all()
    assert by_autograd("gdpo", [-50.0], 0.55, 1.0)[0] < 0.1 < by_autograd("cdpo", [-50.0], 0.55, 1.0)[0]


@pytest.mark.parametrize("method", ["gdpo", "gipo", "gropo"])
def test_equals_are_not_pushed(method):
    assert (by_autograd(method, GRID, 0.5, 1.0) == 0).all()
