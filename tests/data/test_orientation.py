"""A swap is an involution that flips p and keeps the pair together; orientation happens once."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softpref.data.pairs import PreferencePair, orient, swap_sides

labels = st.floats(0, 1)
pairs = st.builds(
    PreferencePair,
    prompt=st.text(max_size=5),
    chosen=st.text(max_size=5),
    rejected=st.text(max_size=5),
    soft_label=st.none() | labels,
    weight=st.floats(0, 10),
    id=st.text(max_size=3),
    meta=st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    swapped=st.booleans(),
    row=st.integers(1, 99),
)


def test_a_swap_flips_p_and_keeps_everything_else_together():
    pair = PreferencePair("q", "good", "bad", 0.75, weight=2.0, id="7", meta={"k": 1}, label_source={"m": 1}, row=3)
    assert swap_sides(pair) == replace(pair, chosen="bad", rejected="good", soft_label=0.25, swapped=True)


@given(pairs)
def test_swapping_twice_gives_the_pair_back(pair):
    """1 − (1 − p) is exact for p ≥ ½ (Sterbenz); below, 1 − p is rounded to half a unit of the last place of 1."""
    twice = swap_sides(swap_sides(pair))
    if pair.soft_label is None or pair.soft_label >= 0.5:
        assert twice == pair
    else:
        assert twice.soft_label == pytest.approx(pair.soft_label, abs=2**-53)
        assert replace(twice, soft_label=pair.soft_label) == pair


@given(pairs)
def test_orienting_does_not_care_which_side_stood_first(pair):
    """orient(swapped pair) = orient(pair), the record of the swap included. A tie has no better side and stays put."""
    if pair.soft_label is None or pair.soft_label == 0.5 or 1 - pair.soft_label == 0.5:
        return
    one, other = orient(pair), orient(swap_sides(pair))
    assert one.soft_label == pytest.approx(other.soft_label, abs=2**-53)
    assert replace(one, soft_label=None) == replace(other, soft_label=None)


@given(pairs)
def test_orienting_once_is_enough(pair):
    assert orient(orient(pair)) == orient(pair)
    assert orient(pair).soft_label is None or orient(pair).soft_label >= 0.5


@pytest.mark.parametrize("label", [None, 0.5, 0.5000001, 1.0])
def test_what_is_oriented_already_is_left_alone(label):
    pair = PreferencePair("q", "a", "b", label)
    assert orient(pair) is pair
