"""Votes, scores, a judge's answers and noise, each as a soft label p = P(response 1 preferred)."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from paper_table import labels, many, s
from softpref.core.soft_labels import (
    BetaPrior,
    average_orders,
    binary_flip,
    fit_beta_prior,
    from_answer_logprobs,
    from_scores,
    from_votes,
    soft_averaging,
    soft_flip,
)

counts = st.integers(0, 40)
vote_rows = st.lists(st.tuples(counts, counts, counts).filter(any), min_size=1, max_size=8)
priors = st.builds(BetaPrior, st.floats(0.01, 50), st.floats(0.01, 50))


def simulated_votes(a, pairs, voters, seed):
    """Beta-binomial: each pair's true p from Beta(a, a), then ``voters`` votes on it."""
    rng = np.random.default_rng(seed)
    for_first = rng.binomial(voters, rng.beta(a, a, pairs))
    return for_first, voters - for_first


# --- votes


@pytest.mark.parametrize(
    ("votes", "prior", "expected"),
    [
        ((3, 1), None, 0.75),
        ((3, 1, 2), None, 4 / 6),
        ((0, 0, 3), None, 0.5),
        ((0, 5), None, 0.0),
        ((3, 1), BetaPrior(2, 2), 5 / 8),
        ((3, 1, 2), BetaPrior(1, 1), 5 / 8),
        ((3, 1), BetaPrior(4, 1), 7 / 9),
        ((1, 0), BetaPrior(1, 1), 2 / 3),
    ],
)
def test_votes_by_hand(votes, prior, expected):
    """``(v1 + t/2 + a)/(n + a + b)``: 3 of 4; (3 + 1)/6; all ties; unanimity; (3+2)/(4+4); (4+1)/(6+2); (3+4)/(4+5); 2/3."""
    assert from_votes(*votes, prior=prior).item() == pytest.approx(expected, rel=1e-15)


def test_votes_work_row_by_row():
    assert_allclose(from_votes([3, 0, 1], [1, 2, 1], [0, 0, 4]), [0.75, 0.0, 0.5])


@many
@given(vote_rows, st.none() | st.floats(0.01, 50).map(lambda a: BetaPrior(a, a)))
def test_exchanging_the_responses_turns_the_label_round(rows, prior):
    first, second, tie = np.array(rows).T
    ours = from_votes(first, second, tie, prior)
    assert_allclose(ours, 1 - from_votes(second, first, tie, prior), atol=1e-14)
    assert ((ours >= 0) & (ours <= 1)).all()


@many
@given(vote_rows, priors)
def test_a_prior_draws_the_mean_towards_its_own_by_its_own_weight(rows, prior):
    """``(k + a)/(n + a + b)`` is the average of k/n, weight n, and a/(a+b), weight a + b."""
    first, second, tie = np.array(rows).T
    total = first + second + tie
    weight = (prior.a + prior.b) / (total + prior.a + prior.b)
    expected = (1 - weight) * from_votes(first, second, tie) + weight * prior.a / (prior.a + prior.b)
    assert_allclose(from_votes(first, second, tie, prior), expected, rtol=1e-12)


@many
@given(counts.filter(bool), counts, st.none() | st.floats(1e-3, 1e3).map(lambda a: BetaPrior(a, a)))
def test_even_votes_are_exactly_a_half(each, tie, prior):
    """(n + t/2 + a) / (2n + t + 2a), to the last bit: a tie is told by p == 0.5."""
    assert from_votes(each, each, tie, prior) == 0.5


@pytest.mark.parametrize(("prior", "expected"), [(None, 0.375), (BetaPrior(2, 2), 0.375 * 5 / 9)])
def test_five_votes_on_equals_exaggerate(prior, expected):
    """E|2p̂ − 1| at a true p of ½, over k ~ Binomial(5, ½): (2·1·1 + 2·5·0.6 + 2·10·0.2)/32 = 12/32 = 0.375.

    Beta(2, 2) makes |2k/5 − 1| into |2k − 5|/9, that is 5/9 of it.
    """
    k = np.arange(6)
    chance = np.array([math.comb(5, i) for i in k]) / 32
    assert chance @ np.abs(2 * from_votes(k, 5 - k, prior=prior) - 1) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("call", [from_votes, fit_beta_prior])
@pytest.mark.parametrize(
    ("votes", "message"),
    [
        (([3, -1], [1, 2]), "not negative"),
        (([3, math.nan], [1, 2]), "finite"),
        (([3, math.inf], [1, 2]), "finite"),
        (([3, 0], [1, 0]), "at least one vote"),
        (([3, 0], [1, 0], [-1, 1]), "not negative"),
    ],
)
def test_votes_that_are_none_are_refused(call, votes, message):
    with pytest.raises(ValueError, match=message):
        call(*votes)


@pytest.mark.parametrize(("a", "b"), [(0, 1), (1, 0), (-1, 1), (math.nan, 1)])
def test_a_prior_is_positive(a, b):
    with pytest.raises(ValueError, match="a > 0 and b > 0"):
        BetaPrior(a, b)


# --- the prior fitted to a file


@pytest.mark.parametrize("voters", [2, 5])
@pytest.mark.parametrize("a", [0.4, 1.0, 3.0])
def test_the_fit_recovers_the_beta_that_the_votes_came_from(a, voters):
    """20 000 simulated pairs: within 10%, about three standard errors in the hardest case here (a = 3, two voters)."""
    fitted = fit_beta_prior(*simulated_votes(a, 20_000, voters, seed=3))
    assert fitted.a == fitted.b
    assert fitted.a == pytest.approx(a, rel=0.1)


def test_the_fit_is_the_maximum_of_the_beta_binomial_likelihood():
    """Against a grid, with B(x, y) = Γ(x)Γ(y)/Γ(x + y); ties and uneven numbers of votes included."""
    first, second, tie = np.array([[4, 1, 0], [0, 3, 0], [2, 2, 1], [5, 0, 0], [1, 0, 0], [1, 1, 2], [0, 6, 1]]).T

    def log_likelihood(a):
        def log_beta(x, y):
            return math.lgamma(x) + math.lgamma(y) - math.lgamma(x + y)

        return sum(
            log_beta(v1 + t / 2 + a, v2 + t / 2 + a) - log_beta(a, a) for v1, v2, t in zip(first, second, tie, strict=True)
        )

    grid = np.exp(np.linspace(math.log(0.05), math.log(50), 4001))
    best = max(grid, key=log_likelihood)
    assert fit_beta_prior(first, second, tie).a == pytest.approx(best, rel=2e-3)


def test_the_fit_does_not_see_which_response_stands_first():
    first, second = simulated_votes(1.5, 300, 5, seed=4)
    ours = fit_beta_prior(first, second).a
    for turned in (True, np.arange(300) % 2 == 0):
        again = fit_beta_prior(np.where(turned, second, first), np.where(turned, first, second))
        assert again.a == pytest.approx(ours, rel=1e-6)


def test_unanimous_votes_are_believed_and_split_votes_are_not():
    """Three of three in every pair: a near 0, so 3:0 stays above 0.999. 1:1 everywhere: a near its end, so 2:0 is a coin."""
    unanimous = fit_beta_prior([3, 0, 3, 0], [0, 3, 0, 3])
    split = fit_beta_prior([1] * 9, [1] * 9)
    assert from_votes(3, 0, prior=unanimous) > 0.999
    assert from_votes(2, 0, prior=split) == pytest.approx(0.5, abs=2e-3)


def test_fitted_labels_are_calibrated():
    """The posterior mean is calibrated: among pairs with the same votes, the mean of the true p is the label, to 0.01."""
    rng = np.random.default_rng(5)
    truth = rng.beta(2, 2, 40_000)
    first = rng.binomial(3, truth)
    ours = from_votes(first, 3 - first, prior=fit_beta_prior(first, 3 - first))
    for k in range(4):
        assert ours[first == k][0] == pytest.approx(truth[first == k].mean(), abs=0.01)


def test_single_votes_cannot_fit_a_prior():
    with pytest.raises(ValueError, match="two votes"):
        fit_beta_prior([1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1])


def test_one_pair_with_two_votes_is_enough_and_single_votes_add_nothing():
    """A single vote has the likelihood ½ under every symmetric prior."""
    alone = fit_beta_prior([4, 3, 1], [0, 1, 3])
    assert fit_beta_prior([4, 3, 1, 1, 0], [0, 1, 3, 0, 1]).a == pytest.approx(alone.a, rel=1e-4)


# --- scores


def test_scores_by_hand():
    """s(2·(1.5 − 1)) = s(1) = 0.73105858; equal scores ½; log-odds of 3:1 are log 3."""
    assert from_scores(1.5, 1.0, scale=2.0).item() == pytest.approx(0.73105858, abs=1e-8)
    assert_allclose(from_scores([7, math.log(3)], [7, 0]), [0.5, 0.75], rtol=1e-14)


@many
@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.floats(0.01, 10))
def test_scores_are_bradley_terry(first, second, scale):
    p = from_scores(first, second, scale)
    assert_allclose(p, s(scale * (first - second)), rtol=1e-9, atol=1e-300)
    assert_allclose(p, 1 - from_scores(second, first, scale), atol=1e-15)


@pytest.mark.parametrize("scale", [0, -1, math.nan])
def test_a_scale_is_positive(scale):
    with pytest.raises(ValueError, match="above 0"):
        from_scores(1, 0, scale)


# --- a judge's answers


def test_answers_by_hand():
    """exp(s1) = 0.6, exp(s2) = 0.2: 0.6/0.8 = 0.75; the mass on other tokens plays no part."""
    assert from_answer_logprobs(math.log(0.6), math.log(0.2)).item() == pytest.approx(0.75, rel=1e-14)


@many
@given(st.floats(-30, 0), st.floats(-30, 0))
def test_answers_are_a_softmax_of_two(first, second):
    expected = math.exp(first) / (math.exp(first) + math.exp(second))
    assert_allclose(from_answer_logprobs(first, second), expected, rtol=1e-12)


def test_answers_far_out_of_exp_s_range_are_still_exact():
    """exp(−2000) is 0 in float64, and 0/0 no label; s(−2000 + 2001) = s(1) is."""
    assert from_answer_logprobs(-2000, -2001).item() == pytest.approx(0.73105858, abs=1e-8)


def test_an_answer_that_was_not_listed_counts_as_impossible():
    assert_array_equal(from_answer_logprobs([-0.1, -math.inf], [-math.inf, -0.1]), [1, 0])


@pytest.mark.parametrize("answers", [(-math.inf, -math.inf), (math.nan, -1.0), (-1.0, math.nan)])
def test_a_judgement_without_an_answer_is_no_label(answers):
    first, second = ([-0.5, bad] for bad in answers)
    with pytest.raises(ValueError, match="has failed"):
        from_answer_logprobs(first, second)


@pytest.mark.parametrize(
    ("shown_first", "shown_second", "expected"), [(0.8, 0.4, 0.7), (0.9, 0.9, 0.5), (1.0, 0.0, 1.0), (0.5, 0.7, 0.4)]
)
def test_both_orders_by_hand(shown_first, shown_second, expected):
    """(0.8 + 1 − 0.4)/2 = 0.7; a judge that always likes the first by 0.9 has no opinion; 1; (0.5 + 0.3)/2 = 0.4."""
    assert average_orders(shown_first, shown_second).item() == pytest.approx(expected, rel=1e-14)


@many
@given(labels(0.2, 0.8), labels(-0.2, 0.2))
def test_a_bias_to_a_position_cancels_over_both_orders(p, bias):
    assert average_orders(p + bias, 1 - p + bias) == pytest.approx(p, abs=1e-15)


@many
@given(labels(), labels())
def test_exchanging_the_responses_exchanges_the_orders(one, two):
    assert average_orders(one, two) == pytest.approx(1 - average_orders(two, one), abs=1e-15)


# --- noise


@many
@given(st.lists(labels(), min_size=1, max_size=6), labels())
def test_soft_averaging_is_the_paper_s_mixture(p, noise):
    """``(1 − e)·p + e·(1 − p)``; by hand at p = 0.9, e = 0.2: 0.72 + 0.02 = 0.74."""
    expected = [(1 - noise) * x + noise * (1 - x) for x in p]
    assert_allclose(soft_averaging(p, noise), expected, rtol=1e-12, atol=1e-15)
    assert soft_averaging(0.9, 0.2).item() == pytest.approx(0.74)


@pytest.mark.parametrize("noise", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("p", [0.55, 0.8, 1.0])
def test_soft_flips_average_to_soft_averaging(p, noise):
    """100 000 draws: the standard error is at most ½·|2p − 1|/316, the band three of these."""
    flipped = soft_flip(np.full(100_000, p), noise, np.random.default_rng(7))
    assert set(np.round(np.unique(flipped), 12)) == {round(p, 12), round(1 - p, 12)}
    assert flipped.mean() == pytest.approx(soft_averaging(p, noise), abs=0.0048 * (2 * p - 1))


@pytest.mark.parametrize("noise", [0.1, 0.3])
def test_binary_flips_threshold_first(noise):
    """p > ½ is 1 and p < ½ is 0, then wrong at the rate of the noise; a tie stays one."""
    p = np.repeat([0.51, 0.99, 0.2, 0.5], 50_000)
    flipped = binary_flip(p, noise, np.random.default_rng(8)).reshape(4, -1)
    assert_allclose(flipped.mean(axis=1), [1 - noise, 1 - noise, noise, 0.5], atol=0.0065)
    assert_array_equal(np.unique(flipped[:3]), [0, 1])
    assert (flipped[3] == 0.5).all()


@pytest.mark.parametrize("flip", [soft_flip, binary_flip])
def test_flips_at_nought_and_one_are_sure(flip):
    rng = np.random.default_rng(9)
    sure = np.array([1.0, 0.0, 0.5] * 50)
    assert_array_equal(flip(sure, 0.0, rng), sure)
    assert_array_equal(flip(sure, 1.0, rng), 1 - sure)


@pytest.mark.parametrize("flip", [soft_flip, binary_flip])
def test_flips_repeat_with_their_seed(flip):
    p = np.linspace(0.5, 1, 200)
    one, again, other = (flip(p, 0.3, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert_array_equal(one, again)
    assert (one != other).any()


@pytest.mark.parametrize("noise", [-0.01, 1.01, math.nan])
@pytest.mark.parametrize(
    "call",
    [
        lambda noise: soft_averaging([0.7], noise),
        lambda noise: soft_flip([0.7], noise, np.random.default_rng(0)),
        lambda noise: binary_flip([0.7], noise, np.random.default_rng(0)),
    ],
    ids=["soft_averaging", "soft_flip", "binary_flip"],
)
def test_a_rate_lies_between_nought_and_one(call, noise):
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        call(noise)


def test_noise_leaves_the_caller_s_labels_alone():
    p = np.array([0.6, 0.9])
    for change in (soft_flip, binary_flip):
        change(p, 1.0, np.random.default_rng(0))
    soft_averaging(p, 1.0)
    assert_array_equal(p, [0.6, 0.9])
