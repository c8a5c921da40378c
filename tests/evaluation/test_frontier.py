"""Reward at a given KL by hand, and methods compared equally far from their reference."""

import numpy as np
import pytest

from softpref.evaluation.frontier import reward_at_kl

# -------------------------------------------------------------------------------------------------- reward at a KL

REWARDS = np.array([[0.0, 0.2, 0.1, 0.3], [0.4, 0.6, 0.5, 0.7], [0.8, 0.6, 0.9, 0.7], [0.1, 0.1, 0.1, 0.1]])
CLUSTERS = ["a", "a", "b", "b"]


@pytest.mark.parametrize(
    ("kl", "value"),
    [
        (0.0, 0.15),  # the reference itself
        (0.25, 0.35),  # half way from mean 0.15 at 0 to mean 0.55 at 0.5
        (0.5, 0.55),
        (0.9, 0.2 * 0.55 + 0.8 * 0.75),  # four fifths of the way from 0.5 to 1
        (1.0, 0.75),
    ],
)
def test_reward_between_checkpoints_by_hand(kl, value):
    found = reward_at_kl([0.0, 0.5, 1.0, 0.6], REWARDS, CLUSTERS, kl)
    assert found.value == pytest.approx(value)
    assert (found.n, found.clusters) == (4, 2)
    assert found.low <= found.value <= found.high


def test_the_first_crossing_counts_when_a_run_comes_back():
    """0.7 is passed on the way out (2/5 from 0.5 to 1) and again on the way back, where the reward is lower."""
    found = reward_at_kl([0.0, 0.5, 1.0, 0.6], REWARDS, CLUSTERS, 0.7)
    assert found.value == pytest.approx(0.6 * 0.55 + 0.4 * 0.75)


def test_the_interval_is_that_of_the_interpolated_rewards():
    """At KL 0.75 the rewards are the means of two checkpoints, 0.6 0.6 0.7 0.7: two clusters of 0.6 and 0.7."""
    found = reward_at_kl([0.0, 0.5, 1.0, 0.6], REWARDS, CLUSTERS, 0.75)
    assert (found.value, found.low, found.high) == (pytest.approx(0.65), pytest.approx(0.6), pytest.approx(0.7))


@pytest.mark.parametrize("kl", [-0.1, 1.01])
def test_where_a_run_never_was_there_is_no_reward(kl):
    with pytest.raises(ValueError, match="outside what this run passed"):
        reward_at_kl([0.0, 0.5, 1.0, 0.6], REWARDS, CLUSTERS, kl)
