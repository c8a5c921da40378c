"""What a label does to a loss: the laws that follow from the paper's formulas."""

import numpy as np
import pytest
import torch
from hypothesis import given
from numpy.testing import assert_allclose

from paper_table import (
    ALPHA,
    GAMMA,
    TABLE,
    beta_of,
    betas,
    labels,
    many,
    margins,
    pair_of,
    pair_with_margin,
    rows_of_logps,
    s,
    tensor,
)
from softpref.core import LOSSES, TREATMENTS, Extras, PairLogps, geometric_average, preference_loss, swap

BASE_OF = {"gdpo": "dpo", "gipo": "ipo", "gropo": "ropo", "cdpo": "dpo", "cipo": "ipo"}
SYMMETRIC = ("gdpo", "gropo", "gipo", "cdpo", "cipo")


def filled(pair, p):
    return torch.full_like(pair.chosen, p).detach()


def slope_in_h(name, h, p, **options):
    """dL/dh at a single margin, by autograd."""
    pair = pair_with_margin(h, grad=True)
    (slope,) = torch.autograd.grad(preference_loss(name, pair, filled(pair, p), **options).sum(), [pair.chosen])
    return slope.item()


# --- the label's ends


@pytest.mark.parametrize(("name", "base"), BASE_OF.items())
@many
@given(rows_of_logps(-200), betas)
def test_a_sure_label_gives_the_base_method(name, base, logps, b):
    pair = pair_of(logps)
    assert_allclose(preference_loss(name, pair, filled(pair, 1.0), beta=b), preference_loss(base, pair, beta=b), rtol=1e-12)


@pytest.mark.parametrize(("name", "constant"), [("gdpo", np.log(2)), ("gropo", ALPHA / 2 + GAMMA * np.log(2)), ("gipo", 0.0)])
@many
@given(rows_of_logps(-200), betas)
def test_a_tie_teaches_the_geometric_losses_nothing(name, constant, logps, b):
    """p = ½: log 2 = 0.693147, 2/2 + 0.1·log 2 = 1.069315, and 0; every gradient is exactly 0."""
    pair = pair_of(logps, grad=True)
    loss = preference_loss(name, pair, filled(pair, 0.5), beta=b)
    assert_allclose(loss.detach(), constant, rtol=1e-14)
    for slope in torch.autograd.grad(loss.sum(), list(vars(pair).values())[:4]):
        assert_allclose(slope, 0, atol=0)


@pytest.mark.parametrize("h", [-8.0, -0.5, 0.5, 8.0])
@pytest.mark.parametrize("name", ["cdpo", "cipo"])
def test_a_tie_pulls_the_conservative_losses_to_a_margin_of_nought(name, h):
    """dL/dh has the sign of h, so descent takes h towards 0; at 0 it rests. cDPO: b·(s(b·h) − ½). cIPO: 2h."""
    expected = {"cdpo": 0.3 * (s(0.3 * h) - 0.5), "cipo": 2 * h}[name]
    assert slope_in_h(name, h, 0.5, beta=0.3) == pytest.approx(expected, rel=1e-10)
    assert np.sign(expected) == np.sign(h)
    assert slope_in_h(name, 0.0, 0.5, beta=0.3) == 0


# --- geometric as a base method with another beta or weight


@pytest.mark.parametrize(("name", "base"), [("gdpo", "dpo"), ("gropo", "ropo")])
@many
@given(rows_of_logps(-200), labels(0.55), betas)
def test_geometric_is_the_base_with_beta_times_2p_minus_1(name, base, logps, p, b):
    pair = pair_of(logps)
    assert_allclose(
        preference_loss(name, pair, filled(pair, p), beta=b),
        preference_loss(base, pair, beta=b * (2 * p - 1)),
        rtol=1e-9,
        atol=1e-10,
    )


@many
@given(rows_of_logps(-200), labels(0.5), betas)
def test_gipo_is_ipo_weighted_by_2p_minus_1_squared(logps, p, b):
    pair = pair_of(logps)
    expected = (2 * p - 1) ** 2 * preference_loss("ipo", pair, beta=b)
    assert_allclose(preference_loss("gipo", pair, filled(pair, p), beta=b), expected, rtol=1e-9, atol=1e-9)


@many
@given(rows_of_logps(-200), labels(0.5), betas)
def test_gipo_is_what_the_averages_make_of_cipo(logps, p, b):
    pair = pair_of(logps)
    averaged = geometric_average(pair, filled(pair, p))
    from_cipo = preference_loss("cipo", averaged, filled(pair, p), beta=b)
    assert_allclose(preference_loss("gipo", pair, filled(pair, p), beta=b), from_cipo, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("p", [0.55, 0.75, 0.9])
def test_the_tempting_form_is_not_gipo(p):
    """b = ¼: GIPO rests at h = 1/(2b) = 2 whatever the label; ((2p−1)h − 1/(2b))² at 2/(2p−1): 20, 4, 2.5."""
    exploded = 2 / (2 * p - 1)
    assert slope_in_h("gipo", 2.0, p, beta=0.25) == pytest.approx(0, abs=1e-12)
    tempting = {"beta": 0.25, "scale_target": False}
    assert slope_in_h("gipo", exploded, p, **tempting) == pytest.approx(0, abs=1e-12)
    assert slope_in_h("gipo", 2.0, p, **tempting) == pytest.approx(2 * (2 * p - 1) * ((2 * p - 1) * 2 - 2), rel=1e-9)
    pair = pair_with_margin(2.0)
    assert preference_loss("gipo", pair, filled(pair, p), **tempting).item() == pytest.approx((4 * p - 4) ** 2)


@many
@given(rows_of_logps(-50), labels(), betas)
def test_a_target_shrinks_with_the_margin_unless_told_not_to(logps, p, b):
    """Hinge's δ = 1 becomes |2p − 1|, so the hinge is |2p − 1| times itself; kept, only the margin shrinks."""
    pair, h = pair_of(logps), margins(logps)
    scaled = preference_loss("hinge", pair, filled(pair, p), treatment="geometric", beta=b)
    kept = preference_loss("hinge", pair, filled(pair, p), treatment="geometric", beta=b, scale_target=False)
    assert_allclose(scaled, abs(2 * p - 1) * np.maximum(0, 1 - np.sign(2 * p - 1) * b * h), rtol=1e-9, atol=1e-9)
    assert_allclose(kept, np.maximum(0, 1 - b * (2 * p - 1) * h), rtol=1e-9, atol=1e-9)


# --- conservative as a mixture


@pytest.mark.parametrize("base", [name for name, base in LOSSES.items() if base.conservative is None and not base.reads_label])
@many
@given(rows_of_logps(-100), labels())
def test_conservative_is_the_linear_mixture_of_both_directions(base, logps, p):
    pair = pair_of(logps)
    options = {**beta_of(LOSSES[base]), "reduction": "sum", **({"extras": Extras(sft_weight=0.0)} if base != "sft" else {})}
    mixture = p * preference_loss(base, pair, **options) + (1 - p) * preference_loss(base, swap(pair), **options)
    ours = preference_loss(base, pair, filled(pair, p), treatment="conservative", **options)
    assert_allclose(ours, mixture, rtol=1e-10, atol=1e-10)


@many
@given(rows_of_logps(-100), labels(), betas)
def test_cipo_is_the_mixture_less_a_constant(logps, p, b):
    """``p·IPO(h) + (1−p)·IPO(−h) − p(1−p)/b²``: by hand at h = 3, b = ½, p = ¾: ¾·4 + ¼·16 − 0.1875/0.25 = 6.25."""
    pair = pair_of(logps)
    mixture = p * preference_loss("ipo", pair, beta=b) + (1 - p) * preference_loss("ipo", swap(pair), beta=b)
    ours = preference_loss("cipo", pair, filled(pair, p), beta=b)
    assert_allclose(ours, mixture - p * (1 - p) / b**2, rtol=1e-8, atol=1e-8)


@many
@given(rows_of_logps(-100), labels(), betas)
def test_that_constant_has_no_gradient(logps, p, b):
    pair = pair_of(logps, grad=True)
    sides = [pair.chosen, pair.rejected]
    mixture = p * preference_loss("ipo", pair, beta=b) + (1 - p) * preference_loss("ipo", swap(pair), beta=b)
    ours = preference_loss("cipo", pair, filled(pair, p), beta=b)
    for left, right in zip(torch.autograd.grad(ours.sum(), sides), torch.autograd.grad(mixture.sum(), sides), strict=True):
        assert_allclose(left, right, rtol=1e-9, atol=1e-8)


# --- which side is called the first


@pytest.mark.parametrize("name", SYMMETRIC)
@many
@given(rows_of_logps(-200), labels(), betas)
def test_swapping_the_sides_and_the_label_changes_nothing(name, logps, p, b):
    pair = pair_of(logps)
    ours = preference_loss(name, pair, filled(pair, p), beta=b)
    assert_allclose(ours, preference_loss(name, swap(pair), filled(pair, 1 - p), beta=b), rtol=1e-9, atol=1e-9)


@many
@given(rows_of_logps(-200), labels(), betas)
def test_gipo_has_the_absolute_value_in_its_target(logps, p, b):
    """``((2p−1)h − |2p−1|/(2b))²``: the printed form for p ≥ ½, and its mirror image below."""
    pair, h = pair_of(logps), margins(logps)
    expected = ((2 * p - 1) * h - abs(2 * p - 1) / (2 * b)) ** 2
    assert_allclose(preference_loss("gipo", pair, filled(pair, p), beta=b), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "here", "there"), [("dpo", 0.2014, 1.7014), ("ipo", 4, 16), ("ropo", 0.3850, 1.8053)])
def test_the_base_methods_do_change_when_the_sides_are_swapped(name, here, there):
    """h = ±3, b = ½. −log s(±1.5); (±3 − 1)²; 2·0.81757 + 0.1·1.70141 = 1.80529."""
    pair = pair_with_margin(3.0)
    assert preference_loss(name, pair, tensor(0.75), beta=0.5).item() == pytest.approx(here, abs=1e-4)
    assert preference_loss(name, swap(pair), tensor(0.25), beta=0.5).item() == pytest.approx(there, abs=1e-4)


# --- hard, and labels that are not there


@pytest.mark.parametrize("name", [name for name, base in LOSSES.items() if not base.reads_label and not base.reads_tie])
def test_hard_never_reads_the_label(name):
    """It is the base loss of the reduced pair: −3/2, −9/3, −4/2, −5/3, or the sums as they are."""
    pair = PairLogps(tensor(-3), tensor(-9), tensor(-4), tensor(-5), tensor(2), tensor(3))
    options = beta_of(LOSSES[name])
    without = preference_loss(name, pair, **options)
    reduced = pair_of([(-1.5, -3, -2, -5 / 3)]) if LOSSES[name].reduction == "mean" else pair_of([(-3, -9, -4, -5)])
    nll = LOSSES[name].sft_weight * 1.5
    assert without == LOSSES[name].function(reduced, **options) + nll
    assert preference_loss(name, pair, tensor(0.6), treatment="hard", **options) == without


@pytest.mark.parametrize("treatment", [treatment for treatment in TREATMENTS if treatment != "hard"])
def test_only_hard_does_without_a_label(treatment):
    with pytest.raises(ValueError, match=rf"{treatment}.*soft_label.*hard"):
        preference_loss("dpo", pair_with_margin(1.0), treatment=treatment, beta=0.1)


def test_a_label_of_another_shape_is_refused():
    """The contract is (B,) with (B,) in and (B,) out. A label of (B, 1) would broadcast to B·B losses."""
    with pytest.raises(ValueError, match=r"soft_label has shape \(2, 1\), chosen has \(2,\)"):
        preference_loss("gdpo", pair_with_margin([1.0, 2.0]), torch.tensor([[0.7], [0.9]]), beta=0.1)


# --- lengths: reduce, then average, then the base loss


def test_means_are_taken_before_the_average():
    """−12/4 = −3, −10/2 = −5, reference −16/4 = −4, −8/2 = −4: h = 1 − (−1) = 2; p = ¾: h' = 1.

    b = ½: GIPO (1 − ½)² = 0.25 = ¼·(2 − 1)². GDPO −log s(0.5) = 0.47407698. Averaging first would give
    chosen' = −11.5 and ref' = −14, over 4 tokens, and another number.
    """
    pair = PairLogps(tensor(-12), tensor(-10), tensor(-16), tensor(-8), tensor(4), tensor(2))
    assert preference_loss("gipo", pair, tensor(0.75), beta=0.5, reduction="mean").item() == pytest.approx(0.25)
    gdpo = preference_loss("gdpo", pair, tensor(0.75), beta=0.5, reduction="mean").item()
    assert gdpo == pytest.approx(0.47407698, abs=1e-8)


@pytest.mark.parametrize("name", TABLE)
@many
@given(rows_of_logps(-200), labels(0.5), betas)
def test_the_mean_of_a_method_is_the_method_of_the_means(name, logps, p, b):
    """Lengths 3 and 7 as a field and ``mean``, or log-probs divided beforehand and ``sum``."""
    lengths = np.array([3.0, 7.0, 3.0, 7.0])
    plain, divided = pair_of(logps), pair_of((np.array(logps) / lengths).tolist())
    sides = torch.full_like(plain.chosen, 3), torch.full_like(plain.chosen, 7)
    ours = preference_loss(name, PairLogps(*list(vars(plain).values())[:4], *sides), filled(plain, p), beta=b, reduction="mean")
    assert_allclose(ours, preference_loss(name, divided, filled(plain, p), beta=b), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", TABLE)
def test_the_eight_work_on_sums_unless_told_otherwise(name):
    """Lengths that are there but not asked for change nothing."""
    pair = pair_with_margin(3.0)
    with_lengths = PairLogps(*list(vars(pair).values())[:4], tensor(5), tensor(9))
    plain = preference_loss(name, pair, tensor(0.75), beta=0.5)
    assert preference_loss(name, with_lengths, tensor(0.75), beta=0.5) == plain
    assert preference_loss(name, with_lengths, tensor(0.75), beta=0.5, reduction="mean") != plain


@pytest.mark.parametrize("options", [{"loss_type": "dpo", "beta": 0.1, "reduction": "mean"}, {"loss_type": "sft"}])
def test_a_mean_without_lengths_is_an_error(options):
    with pytest.raises(ValueError, match="chosen_length and rejected_length"):
        preference_loss(pair=pair_with_margin(1.0), **options)


# --- labels that the policy gives itself


@pytest.mark.parametrize("h", [-4.0, 0.0, 2.5])
def test_cdpo_never_moves_on_its_own_preference(h):
    """p = s(b·h) with a stop-gradient: w = p − ρ ≡ 0."""
    assert slope_in_h("cdpo", h, s(0.3 * h), beta=0.3) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("name", ["gdpo", "gipo", "gropo"])
def test_the_geometric_losses_never_leave_the_reference_on_their_own_preference(name):
    """Policy = reference makes p = s(b·0) = ½, which teaches nothing."""
    assert slope_in_h(name, 0.0, s(0.0), beta=0.3) == 0
