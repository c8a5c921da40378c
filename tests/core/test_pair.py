"""A pair of responses, its margin, and the paper's one operation on it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from numpy.testing import assert_allclose

from paper_table import labels, many, margins, pair_of, rows_of_logps, tensor
from softpref.core import PairLogps, geometric_average, swap
from softpref.core.pair import reduce

FIELDS = ("chosen", "rejected", "ref_chosen", "ref_rejected")


def by_hand():
    """Policy −10 and −14, reference −11 and −12; 4 and 7 tokens."""
    return PairLogps(tensor(-10), tensor(-14), tensor(-11), tensor(-12), tensor(4), tensor(7))


def test_margin_by_hand():
    """log-ratios −10 + 11 = 1 and −14 + 12 = −2, h = 1 − (−2) = 3."""
    pair = by_hand()
    assert [pair.chosen_logratio.item(), pair.rejected_logratio.item(), pair.margin.item()] == [1, -2, 3]


def test_margin_without_a_reference_is_the_policy_s_own():
    """−10 − (−14) = 4."""
    pair = PairLogps(tensor(-10), tensor(-14))
    assert [pair.chosen_logratio.item(), pair.rejected_logratio.item(), pair.margin.item()] == [-10, -14, 4]


def test_geometric_average_by_hand():
    """p = ¾. Policy: ¾·−10 + ¼·−14 = −11 and ¼·−10 + ¾·−14 = −13. Reference: −11.25 and −11.75.

    h' = (−11 + 11.25) − (−13 + 11.75) = 0.25 + 1.25 = 1.5 = (2·¾ − 1)·3.
    """
    averaged = geometric_average(by_hand(), tensor(0.75))
    assert [getattr(averaged, field).item() for field in FIELDS] == [-11, -13, -11.25, -11.75]
    assert averaged.margin.item() == 1.5


@many
@given(rows_of_logps(-200), labels())
def test_averaging_multiplies_the_margin_by_2p_minus_1_and_keeps_each_model_s_total(logps, p):
    pair = pair_of(logps)
    averaged = geometric_average(pair, torch.full_like(pair.chosen, p))
    assert_allclose(averaged.margin, (2 * p - 1) * margins(logps), rtol=1e-9, atol=1e-10)
    assert_allclose(averaged.chosen + averaged.rejected, pair.chosen + pair.rejected, rtol=1e-12)
    assert_allclose(averaged.ref_chosen + averaged.ref_rejected, pair.ref_chosen + pair.ref_rejected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_ends_and_the_middle_of_the_label_are_exact(dtype):
    """p = 1 changes nothing, p = 0 swaps, p = ½ makes two equal sides, in whatever precision."""
    pair = pair_of([(-310.7, -12.3, -300.1, -15.9)], dtype=dtype)
    sure, inverted, equal = (geometric_average(pair, tensor(p, dtype=dtype)) for p in (1, 0, 0.5))
    swapped = swap(pair)
    for field in FIELDS:
        assert getattr(sure, field) == getattr(pair, field)
        assert getattr(inverted, field) == getattr(swapped, field)
    assert equal.chosen == equal.rejected
    assert equal.ref_chosen == equal.ref_rejected


def test_each_row_has_its_own_label():
    """h = 3 in three rows; 2p − 1 = 1, 0, −½."""
    pair = pair_of([(-10, -14, -11, -12)] * 3)
    assert geometric_average(pair, tensor(1, 0.5, 0.25)).margin.tolist() == [3, 0, -1.5]


def test_averaging_without_a_reference_invents_none():
    averaged = geometric_average(PairLogps(tensor(-10), tensor(-14)), tensor(0.75))
    assert (averaged.chosen.item(), averaged.rejected.item()) == (-11, -13)
    assert averaged.ref_chosen is None
    assert averaged.ref_rejected is None


def test_swap_exchanges_everything_and_undoes_itself():
    pair = by_hand()
    swapped = swap(pair)
    assert [value.item() for value in vars(swapped).values()] == [-14, -10, -12, -11, 7, 4]
    assert swapped.margin.item() == -3
    assert vars(swap(swapped)) == vars(pair)


def test_mean_divides_each_side_by_its_own_length_the_reference_too():
    """−12/4 = −3, −10/2 = −5, −16/4 = −4, −8/2 = −4."""
    pair = PairLogps(tensor(-12), tensor(-10), tensor(-16), tensor(-8), tensor(4), tensor(2))
    assert [getattr(reduce(pair, "mean"), field).item() for field in FIELDS] == [-3, -5, -4, -4]
    assert [getattr(reduce(pair, "sum"), field).item() for field in FIELDS] == [-12, -10, -16, -8]


@pytest.mark.parametrize(
    "operation",
    [
        lambda pair: reduce(pair, "mean"),
        lambda pair: reduce(pair, "sum"),
        lambda pair: geometric_average(pair, tensor(0.75)),
    ],
    ids=["mean", "sum", "average"],
)
def test_lengths_do_not_survive(operation):
    left = operation(by_hand())
    assert left.chosen_length is None
    assert left.rejected_length is None


def test_mean_needs_lengths():
    with pytest.raises(ValueError, match="chosen_length and rejected_length"):
        reduce(pair_of([(-1, -2, -3, -4)]), "mean")


def test_an_unknown_reduction_names_the_two():
    with pytest.raises(ValueError, match="'sum' or 'mean'"):
        reduce(by_hand(), "average")


@pytest.mark.parametrize("alone", [*FIELDS[2:], "chosen_length", "rejected_length"])
def test_references_and_lengths_come_in_twos(alone):
    with pytest.raises(ValueError, match="go together"):
        PairLogps(tensor(-1), tensor(-2), **{alone: tensor(-3)})


@pytest.mark.parametrize("field", [*FIELDS[1:], "chosen_length", "rejected_length"])
def test_a_field_of_another_shape_is_named(field):
    good = dict.fromkeys([*FIELDS, "chosen_length", "rejected_length"], tensor(1, 2, 3))
    with pytest.raises(ValueError, match=rf"{field} has shape \(2,\), chosen has \(3,\)"):
        PairLogps(**{**good, field: tensor(1, 2)})


def test_the_average_is_differentiable_in_both_sides():
    """∂(chosen')/∂(chosen, rejected) = (p, 1 − p) = (0.7, 0.3)."""
    pair = pair_of([(-10, -14, -11, -12)], grad=True)
    chosen = geometric_average(pair, tensor(0.7)).chosen
    slopes = torch.autograd.grad(chosen.sum(), [pair.chosen, pair.rejected])
    assert_allclose(np.array([slope.item() for slope in slopes]), [0.7, 0.3], rtol=1e-12)
