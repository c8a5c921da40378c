"""Cohen's kappa and Krippendorff's alpha: published values, hand-worked ones, and scikit-learn as a peer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from softpref.core.agreement import cohen_kappa, krippendorff_alpha, value_counts

MISSING = np.nan


def test_kappa_of_fifty_grant_proposals():
    """20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: o = 0.7, e = ½·0.6 + ½·0.4 = 0.5, kappa = 0.2 / 0.5 = 0.4."""
    one = [1] * 25 + [0] * 25
    other = [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15
    assert cohen_kappa(one, other) == pytest.approx(0.4)


def test_kappa_of_raters_who_always_disagree_is_minus_one():
    """o = 0, e = ½: −½ / ½."""
    assert cohen_kappa([0, 1], [1, 0]) == pytest.approx(-1)


def test_kappa_of_one_value_throughout_is_undefined():
    assert cohen_kappa([1, 1, 1], [1, 1, 1]) is None


@given(st.lists(st.tuples(st.integers(-1, 1), st.integers(-1, 1)), min_size=1, max_size=40))
def test_kappa_is_scikit_learns(pairs):
    one, other = np.array(pairs).T
    if len(np.unique([one, other])) == 1:
        assert cohen_kappa(one, other) is None
    else:
        assert cohen_kappa(one, other) == pytest.approx(cohen_kappa_score(one, other), abs=1e-12)


@pytest.mark.parametrize(("one", "other"), [([], []), ([1], [1, 2]), ([[1]], [[1]])])
def test_kappa_refuses_unequal_or_no_values(one, other):
    with pytest.raises(ValueError, match="same number of values"):
        cohen_kappa(one, other)


# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", section C: four observers, twelve units, values 1 to 5.
FOUR_OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, MISSING, MISSING, MISSING],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, MISSING, 3],
        [MISSING, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, MISSING],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, MISSING],
    ]
)


def test_alpha_of_four_observers_as_published():
    assert krippendorff_alpha(value_counts(FOUR_OBSERVERS)) == pytest.approx(0.743, abs=5e-4)


def test_alpha_of_two_observers_as_published():
    """Section B of the same paper: alpha = 0.095."""
    meg, owen = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    assert krippendorff_alpha(value_counts(np.array([meg, owen], dtype=float))) == pytest.approx(0.095, abs=5e-4)


def test_alpha_by_hand():
    """Votes 2, 1, 0 and 0, 0, 3: D_o = (9 − 5)/2 / 6 = ⅓; D_e = (36 − 4 − 1 − 9) / 30 = 22/30; alpha = 1 − 10/22."""
    assert krippendorff_alpha([[2, 1, 0], [0, 0, 3]]) == pytest.approx(1 - 10 / 22)


def test_alpha_is_one_where_all_agree_and_below_zero_where_none_do():
    """Two values, two units: D_o = 0; each unit split: D_o = 1, D_e = (16 − 8) / 12 = ⅔, alpha = −½."""
    assert krippendorff_alpha([[2, 0], [0, 2]]) == 1
    assert krippendorff_alpha([[1, 1], [1, 1]]) == pytest.approx(-0.5)


@pytest.mark.parametrize("counts", [[[2, 0], [3, 0]], [[1, 0], [0, 1]], np.zeros((0, 0)), np.zeros((3, 2))])
def test_alpha_where_nothing_could_disagree_is_undefined(counts):
    assert krippendorff_alpha(counts) is None


@given(st.lists(st.lists(st.integers(0, 5), min_size=3, max_size=3), min_size=1, max_size=20), st.randoms())
def test_alpha_ignores_order_names_and_lone_ratings(rows, random):
    shuffled = random.sample(rows, len(rows))
    renamed = [[row[2], row[0], row[1]] for row in shuffled] + [[1, 0, 0], [0, 0, 0]]
    plain, other = krippendorff_alpha(rows), krippendorff_alpha(renamed)
    assert (plain is None) == (other is None)
    if plain is not None:
        assert other == pytest.approx(plain, abs=1e-12)


@pytest.mark.parametrize("counts", [[1, 2], [[1, -1]]])
def test_alpha_refuses_what_is_not_counts(counts):
    with pytest.raises(ValueError, match="counts must be"):
        krippendorff_alpha(counts)
