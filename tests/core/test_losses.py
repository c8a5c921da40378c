"""The paper's table of eight: each loss and its gradient factor against NumPy forms, and numbers worked out by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from paper_table import EIGHT, TABLE, beta_of, betas, labels, many, margins, pair_of, rows_of_logps, s, tensor
from softpref.core import LOSSES, PairLogps, preference_loss

# h = (−10 + 11) − (−14 + 12) = 1 + 2 = 3
THREE = [(-10, -14, -11, -12)]


@pytest.mark.parametrize("name", EIGHT)
@many
@given(rows_of_logps(-200), labels(0.5), betas)
def test_each_loss_is_the_table_s(name, logps, p, b):
    """Per pair, (B,), on rows that differ; ``p`` is the first row's label, the others' spread evenly up to 1."""
    soft_label = np.linspace(p, 1, len(logps))
    ours = preference_loss(name, pair_of(logps), torch.from_numpy(soft_label), beta=b)
    assert ours.shape == (len(logps),)
    assert_allclose(ours, TABLE[name].loss(margins(logps), soft_label, b), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", EIGHT)
@many
@given(rows_of_logps(-3), labels(0.5), st.floats(0.05, 2.0))
def test_each_gradient_is_minus_beta_w_along_the_difference_of_the_sides(name, logps, p, b):
    """``∇L = −b·w·(∇log π(y1) − ∇log π(y2))``: −b·w on chosen, +b·w on rejected, and opposite for the reference.

    |h| ≤ 6 and b ≤ 2 keep ρ away from 0 and 1, where the table's log(ρ/(1 − ρ)) has no digits left.
    """
    pair = pair_of(logps, grad=True)
    loss = preference_loss(name, pair, torch.full_like(pair.chosen, p).detach(), beta=b)
    chosen, rejected, ref_chosen, ref_rejected = torch.autograd.grad(loss.sum(), list(vars(pair).values())[:4])
    expected = -b * TABLE[name].factor(margins(logps), p, b)
    for slope, sign in ((chosen, 1), (rejected, -1), (ref_chosen, -1), (ref_rejected, 1)):
        assert_allclose(slope, sign * expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dpo", 0.20141328),
        ("cdpo", 0.57641328),
        ("gdpo", 0.38687100),
        ("ipo", 4.0),
        ("cipo", 6.25),
        ("gipo", 1.0),
        ("ropo", 0.38499237),
        ("gropo", 0.68032970),
    ],
)
def test_by_hand(name, expected):
    """h = 3, b = ½, p = ¾: b·h = 1.5, 2p − 1 = ½, b·(2p − 1)·h = 0.75, 1/(2b) = 1.

    s(1.5) = 0.81757448, −log s(1.5) = 0.20141328, −log s(−1.5) = 1.5 + 0.20141328 = 1.70141328
    s(0.75) = 0.67917870, −log s(0.75) = 0.38687100

    dpo 0.20141328 · cdpo ¾·0.20141328 + ¼·1.70141328 = 0.57641328 · gdpo 0.38687100
    ipo (3 − 1)² = 4 · cipo (3 − ½)² = 6.25 · gipo ¼·4 = 1
    ropo 2·(1 − 0.81757448) + 0.1·0.20141328 = 0.36485104 + 0.02014133 = 0.38499237
    gropo 2·(1 − 0.67917870) + 0.1·0.38687100 = 0.64164260 + 0.03868710 = 0.68032970
    """
    loss = preference_loss(name, pair_of(THREE), tensor(0.75), beta=0.5)
    assert loss.item() == pytest.approx(expected, abs=2e-7)


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("dpo", 0.18242552),
        ("cdpo", -0.06757448),
        ("gdpo", 0.16041065),
        ("ipo", -8.0),
        ("cipo", -10.0),
        ("gipo", -2.0),
        ("ropo", 0.31653545),
        ("gropo", 0.23393606),
    ],
)
def test_gradient_factors_by_hand(name, factor):
    """h = 3, b = ½, p = ¾ as above: ρ = 0.81757448, 1 − ρ = 0.18242552, ρ' = 0.67917870, 1 − ρ' = 0.32082130.

    dpo 1 − ρ · cdpo ¾ − ρ = −0.06757448 · gdpo ½·0.32082130 = 0.16041065
    ipo 1/b² − 2h/b = 4 − 12 = −8 · cipo ½·4 − 12 = −10 · gipo ¼·−8 = −2
    ropo (0.1 + 2·0.81757448)·0.18242552 = 1.73514896·0.18242552 = 0.31653545
    gropo ½·(0.1 + 2·0.67917870)·0.32082130 = ½·1.45835740·0.32082130 = 0.23393606
    """
    pair = pair_of(THREE, grad=True)
    (slope,) = torch.autograd.grad(preference_loss(name, pair, tensor(0.75), beta=0.5).sum(), [pair.chosen])
    assert -slope.item() / 0.5 == pytest.approx(factor, abs=2e-7)


@pytest.mark.parametrize(
    ("treatment", "options", "expected"),
    [
        ("hard", {}, 0.0),
        ("hard", {"delta": 2.0}, 0.5),
        ("conservative", {}, 0.625),
        ("geometric", {"delta": 2.0}, 0.25),
        ("geometric", {"delta": 2.0, "scale_target": False}, 1.25),
    ],
)
def test_hinge_by_hand(treatment, options, expected):
    """``max(0, δ − b·h)`` with b·h = 1.5, p = ¾.

    hard: max(0, 1 − 1.5) = 0, and with δ = 2: 0.5. conservative: ¾·0 + ¼·max(0, 1 + 1.5) = 0.625.
    geometric, δ = 2: ½·2 − ½·1.5 = 0.25, and with the target kept: 2 − 0.75 = 1.25.
    """
    loss = preference_loss("hinge", pair_of(THREE), tensor(0.75), treatment=treatment, beta=0.5, **options)
    assert loss.item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("treatment", "reduction", "expected"),
    [("hard", None, 3.0), ("hard", "sum", 12.0), ("conservative", None, 3.5), ("conservative", "sum", 11.5)],
)
def test_sft_by_hand(treatment, reduction, expected):
    """Chosen −12 over 4 tokens, rejected −10 over 2: −log π per token is 3 and 5, and the mean is sft's own reduction.

    conservative at p = ¾: ¾·3 + ¼·5 = 3.5; on sums ¾·12 + ¼·10 = 11.5.
    """
    pair = PairLogps(tensor(-12), tensor(-10), chosen_length=tensor(4), rejected_length=tensor(2))
    loss = preference_loss("sft", pair, tensor(0.75), treatment=treatment, reduction=reduction)
    assert loss.item() == pytest.approx(expected, abs=1e-12)


def test_sft_on_the_hard_label_leaves_the_rejected_side_alone():
    pair = PairLogps(tensor(-12, grad=True), tensor(-10, grad=True), chosen_length=tensor(4), rejected_length=tensor(2))
    chosen, rejected = torch.autograd.grad(preference_loss("sft", pair).sum(), [pair.chosen, pair.rejected], allow_unused=True)
    assert chosen.item() == -0.25
    assert rejected is None


def test_ropo_s_constants_are_the_paper_s_and_can_be_set():
    """b·h = 1.5: with α = 3, γ = 0.5: 3·0.18242552 + 0.5·0.20141328 = 0.64798320; by default α = 2, γ = 0.1."""
    pair = pair_of(THREE)
    free = preference_loss("ropo", pair, beta=0.5, alpha=3.0, gamma=0.5)
    assert free.item() == pytest.approx(0.64798320, abs=2e-8)
    assert preference_loss("ropo", pair, beta=0.5) == preference_loss("ropo", pair, beta=0.5, alpha=2.0, gamma=0.1)


@many
@given(rows_of_logps(-50), betas, st.floats(0.1, 20))
def test_ropo_s_own_paper_is_one_choice_of_alpha_and_gamma(logps, b, a):
    """``4a/(1+a)²·L_DPO + 4a²/(1+a)²·s(−b·h)`` (arXiv 2404.04102)."""
    h = margins(logps)
    one_parameter = 4 * a / (1 + a) ** 2 * TABLE["dpo"].loss(h, 1, b) + 4 * a**2 / (1 + a) ** 2 * s(-b * h)
    ours = preference_loss("ropo", pair_of(logps), beta=b, alpha=4 * a**2 / (1 + a) ** 2, gamma=4 * a / (1 + a) ** 2)
    assert_allclose(ours, one_parameter, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("name", "base"), LOSSES.items(), ids=list(LOSSES))
def test_a_base_loss_says_whether_it_reads_a_reference(name, base):
    """``needs_reference`` is true exactly where moving the reference of one side moves the loss."""
    here, moved = pair_of([(-3, -4, -3.5, -3)]), pair_of([(-3, -4, -2.5, -3)])
    filled = {name: tensor(0.7) for name in ("soft_label", "tie") if name in base.parameters}
    changes = bool(base.function(here, **beta_of(base), **filled) != base.function(moved, **beta_of(base), **filled))
    assert changes == base.needs_reference


@pytest.mark.parametrize("name", [name for name, base in LOSSES.items() if base.needs_reference])
def test_a_missing_reference_is_an_error_that_names_both_fields(name):
    with pytest.raises(ValueError, match="ref_chosen and ref_rejected"):
        preference_loss(name, PairLogps(tensor(-1), tensor(-2)), beta=0.1)
