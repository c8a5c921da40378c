"""Win rates by hand: the binary one counts ties as wins, the tie-aware one halves, failures are left out and counted."""

import math

import numpy as np
import pytest

from softpref.errors import InputError
from softpref.evaluation.win_rates import paired_tests, win_rates
from softpref.judges.both_orders import Judgement


def judged(p, first_shown=None, identifier="0"):
    """A judgement of this p; ``first_shown`` is free, the other order follows from p = ½ + (first − second)/2."""
    first = p if first_shown is None else first_shown
    return Judgement(identifier, p, first, first - 2 * p + 1)


FAILED = Judgement("x", None, None, None, ("timeout",))


def test_rates_by_hand():
    """p = 0.9, 0.5, 0.2, 0.5, 0.8: binary 4/5, percentage 2.9/5, tie-aware (1 + ½ + 0 + ½ + 1)/5, ties 2/5."""
    found = win_rates([judged(p) for p in (0.9, 0.5, 0.2, 0.5, 0.8)], list("abcde"))
    assert found.binary.value == pytest.approx(4 / 5)
    assert found.percentage.value == pytest.approx(2.9 / 5)
    assert found.tie_aware.value == pytest.approx(3 / 5)
    assert found.tie_rate == pytest.approx(2 / 5)
    assert (found.coverage, found.failed) == (1.0, 0)
    assert (found.binary.n, found.binary.clusters) == (5, 5)


def test_identical_outputs_score_a_hundred_percent_and_all_are_ties():
    """arXiv 2409.06691, §5: hence the tie rate beside it."""
    found = win_rates([judged(0.5, first) for first in (0.5, 0.7, 0.31)], list("abc"))
    assert (found.binary.value, found.percentage.value, found.tie_aware.value, found.tie_rate) == (1.0, 0.5, 0.5, 1.0)


def test_just_below_a_half_is_a_loss():
    found = win_rates([judged(math.nextafter(0.5, 0)), judged(math.nextafter(0.5, 1))], ["a", "b"])
    assert (found.binary.value, found.tie_aware.value, found.tie_rate) == (0.5, 0.5, 0.0)


def test_failures_are_left_out_and_counted():
    """Two of five failed: 3/5 covered, rates over the three. A failure taken for ½ would give a percentage of 0.66."""
    found = win_rates([judged(0.9), FAILED, judged(0.8), FAILED, judged(0.6)], list("abcde"))
    assert (found.coverage, found.failed) == (0.6, 2)
    assert found.percentage.value == pytest.approx(2.3 / 3)
    assert (found.binary.value, found.tie_rate, found.binary.n) == (1.0, 0.0, 3)


def test_position_bias_by_hand():
    """0.9 + 0.4 − 1 = 0.3 and 0.5 + 0.6 − 1 = 0.1."""
    found = win_rates([Judgement("0", 0.75, 0.9, 0.4), FAILED, Judgement("1", 0.45, 0.5, 0.6)], list("abc"))
    assert found.position_bias == pytest.approx(0.2)


@pytest.mark.parametrize("judgements", [[], [FAILED, FAILED]])
def test_nothing_judged_is_an_error_and_not_a_rate(judgements):
    with pytest.raises(InputError, match=f"all {len(judgements)} judgements failed"):
        win_rates(judgements, ["a"] * len(judgements))


def test_rows_of_one_prompt_do_not_narrow_the_interval():
    """The same 40 judgements three times: taken as 120 prompts the interval shrinks by √3, taken as 40 it stays."""
    rng = np.random.default_rng(5)
    once = [judged(float(p)) for p in rng.random(40)]
    single = win_rates(once, range(40)).percentage
    clustered = win_rates(once * 3, list(range(40)) * 3).percentage
    naive = win_rates(once * 3, range(120)).percentage
    width = {name: e.high - e.low for name, e in (("single", single), ("clustered", clustered), ("naive", naive))}
    assert clustered.value == pytest.approx(single.value) == pytest.approx(naive.value)
    assert width["clustered"] == pytest.approx(width["single"], rel=1e-9)
    assert width["clustered"] / width["naive"] == pytest.approx(math.sqrt(3), rel=0.12)
    assert (clustered.n, clustered.clusters) == (120, 40)


def test_the_interval_of_a_mean_by_theory():
    """60 draws of s.d. s: ±1.96·s/√60."""
    p = np.random.default_rng(6).random(60)
    found = win_rates([judged(float(x)) for x in p], range(60)).percentage
    half = 1.96 * p.std() / math.sqrt(60)
    assert (found.low, found.high) == (
        pytest.approx(p.mean() - half, abs=0.01),
        pytest.approx(p.mean() + half, abs=0.01),
    )


# -------------------------------------------------------------------------------------------------- tests and seeds


def test_paired_tests_take_one_difference_per_prompt():
    """a: 0.9 and 0.5, mean 0.7; b: 0.2; c: 0.8, one of whose judgements failed. Signs of 0.2, −0.3, 0.3: W = 2.5 of 6."""
    judgements = [judged(0.9), judged(0.5), judged(0.2), judged(0.8), FAILED]
    found = paired_tests(judgements, list("aabcc"))
    assert (found["wilcoxon"].n, found["wilcoxon"].statistic) == (3, 2.5)
    assert found["permutation"].statistic == pytest.approx((0.2 - 0.3 + 0.3) / 3)
    assert found["permutation"].draws == 8


def test_a_prompt_whose_samples_cancel_is_a_tie():
    found = paired_tests([judged(0.7), judged(0.3), judged(0.9)], list("aab"))
    assert (found["wilcoxon"].n, found["wilcoxon"].zeros) == (2, 1)


def test_identical_outputs_are_no_evidence():
    found = paired_tests([judged(0.5, first) for first in (0.5, 0.7, 0.31)], list("abc"))
    assert (found["wilcoxon"].p_value, found["permutation"].p_value) == (1.0, 1.0)


def test_seeds_that_differ_widen_the_interval():
    """The same 30 prompts under two seeds, one of which always wins by more."""
    rng = np.random.default_rng(7)
    p = rng.uniform(0.3, 0.5, 30)
    judgements = [judged(float(x)) for x in (*p, *(p + 0.4))]
    prompts, seeds = [*range(30)] * 2, ["1"] * 30 + ["2"] * 30
    over_both, over_prompts = win_rates(judgements, prompts, seeds=seeds), win_rates(judgements, prompts)
    assert over_both.percentage.value == over_prompts.percentage.value
    width = {e: e.high - e.low for e in (over_both.percentage, over_prompts.percentage)}
    assert width[over_both.percentage] > 5 * width[over_prompts.percentage]
