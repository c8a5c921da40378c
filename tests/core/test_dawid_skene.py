"""Dawid and Skene's model: by hand, by its laws, against an independent form, and where the truth is known."""

import itertools

import numpy as np
import pytest

from softpref.core.dawid_skene import FIRST, LEANING, SECOND, TIE, dawid_skene, intervals, worth_asking
from softpref.core.soft_labels import fit_beta_prior, from_votes

P_OF = np.array([1.0, 0.5, 0.0])


def simulated(seed, pairs=1000, people=20, each=4):
    """Votes of people who name the true verdict with probabilities from 0.5 to 0.95, and else either of the others."""
    rng = np.random.default_rng(seed)
    right = rng.uniform(0.5, 0.95, people)
    truth = rng.choice(3, pairs, p=[0.45, 0.1, 0.45])
    votes = []
    for pair in range(pairs):
        for who in rng.choice(people, each, replace=False):
            verdict = truth[pair] if rng.random() < right[who] else (truth[pair] + rng.integers(1, 3)) % 3
            votes.append((pair, who, verdict))
    return right, truth, tuple(np.array(votes).T)


def counts_of(votes, pairs):
    counts = np.zeros((pairs, 3))
    np.add.at(counts, (votes[0], votes[2]), 1)
    return counts


@pytest.mark.parametrize("seed", range(5))
def test_reliabilities_and_labels_where_the_truth_is_known(seed):
    """200 votes of a person give a reliability of 0.7 a standard error of 0.033; that the truth is not known adds to it."""
    right, truth, votes = simulated(seed)
    fit = dawid_skene(*votes)
    assert np.abs(fit.reliability - right).max() < 0.15
    assert np.corrcoef(fit.reliability, right)[0, 1] > 0.9
    counts = counts_of(votes, len(truth))
    named = counts[:, [0, 2, 1]].T
    others = {"mean": from_votes(*named), "prior": from_votes(*named, fit_beta_prior(*named))}
    brier = {name: np.mean((p - P_OF[truth]) ** 2) for name, p in {**others, "model": fit.soft_labels}.items()}
    assert brier["model"] < 0.8 * min(brier["mean"], brier["prior"])


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    """100 intervals of 95%: 5 misses are expected, 20 or more would be a chance of 1e-7 (binomial)."""
    misses = 0
    for seed in range(5):
        right, _, votes = simulated(seed)
        low, high = intervals(dawid_skene(*votes), np.random.default_rng(0))[1].T
        misses += int(np.sum((right < low) | (right > high)))
    assert misses < 20


def test_an_interval_holds_its_label_and_narrows_with_votes():
    few, many = (simulated(0, pairs=300, each=each)[2] for each in (3, 15))
    widths = []
    for votes in (few, many):
        fit = dawid_skene(*votes)
        ends, _ = intervals(fit, np.random.default_rng(0))
        assert np.all((ends[:, 0] <= ends[:, 1]) & (ends >= 0).all(axis=1) & (ends <= 1).all(axis=1))
        widths.append(np.mean(ends[:, 1] - ends[:, 0]))
    assert widths[1] < widths[0]


def naive(votes, pairs, people):
    """The same model in plain loops, from its definition."""
    p = [[sum(v == k for i, _, v in votes if i == pair) for k in range(3)] for pair in range(pairs)]
    p = [[x / sum(row) for x in row] for row in p]
    for _ in range(3000):
        mean = [sum(row[k] for row in p) / pairs for k in range(3)]
        prior = [(mean[k] + mean[2 - k]) / 2 for k in range(3)]
        raw = [
            [[sum(p[i][t] for i, w, v in votes if w == who and v == s) for s in range(3)] for t in range(3)]
            for who in range(people)
        ]
        even = [[[(one[t][s] + one[2 - t][2 - s]) / 2 for s in range(3)] for t in range(3)] for one in raw]
        pooled = [[sum(one[t][s] for one in even) for s in range(3)] for t in range(3)]
        lean = [[LEANING * x / sum(row) for x in row] for row in pooled]
        whole = [[[one[t][s] + lean[t][s] for s in range(3)] for t in range(3)] for one in even]
        table = [[[x / sum(row) for x in row] for row in one] for one in whole]
        before = p
        p = [[prior[t] * np.prod([table[w][t][v] for i, w, v in votes if i == pair]) for t in range(3)] for pair in range(pairs)]
        p = [[x / sum(row) for x in row] for row in p]
        if max(abs(a - b) for one, other in zip(p, before, strict=True) for a, b in zip(one, other, strict=True)) < 1e-8:
            break
    return np.array(p)


def test_the_definition_in_plain_loops():
    rng = np.random.default_rng(3)
    votes = [(pair, int(who), int(rng.integers(0, 3))) for pair in range(6) for who in rng.choice(4, 3, replace=False)]
    fit = dawid_skene(*zip(*votes, strict=True))
    np.testing.assert_allclose(fit.posterior, naive(votes, 6, 4), rtol=0, atol=1e-6)


def test_exchanging_the_sides_exchanges_the_answer():
    _, _, (pairs, who, verdicts) = simulated(1, pairs=100)
    one, other = dawid_skene(pairs, who, verdicts), dawid_skene(pairs, who, 2 - verdicts)
    np.testing.assert_allclose(other.posterior[:, ::-1], one.posterior, rtol=0, atol=1e-9)
    np.testing.assert_allclose(other.reliability, one.reliability, rtol=0, atol=1e-9)


def test_the_order_of_the_votes_does_not_matter():
    _, _, votes = simulated(2, pairs=100)
    order = np.random.default_rng(0).permutation(len(votes[0]))
    one, other = dawid_skene(*votes), dawid_skene(*(x[order] for x in votes))
    np.testing.assert_allclose(other.soft_labels, one.soft_labels, rtol=0, atol=1e-9)


def test_equal_votes_of_like_people_are_half():
    """Two people, each of whom is contradicted as often as the other."""
    votes = [
        (0, 0, FIRST),
        (0, 1, SECOND),
        (1, 0, SECOND),
        (1, 1, FIRST),
        (2, 0, FIRST),
        (2, 1, FIRST),
        (3, 0, SECOND),
        (3, 1, SECOND),
    ]
    p = dawid_skene(*zip(*votes, strict=True)).soft_labels
    np.testing.assert_allclose(p[:2], 0.5, rtol=0, atol=1e-12)
    assert p[2] > 0.5
    assert p[2] == pytest.approx(1 - p[3], abs=1e-12)


def test_without_ties_there_are_none():
    votes = [(pair, who, FIRST if pair % 2 else SECOND) for pair, who in itertools.product(range(4), range(3))]
    fit = dawid_skene(*zip(*votes, strict=True))
    assert np.all(fit.posterior[:, TIE] == 0)
    assert np.all(np.isfinite(fit.tables))


def test_what_one_more_vote_says():
    """Of a divided pair it says more than of a unanimous one, and never less than nothing."""
    votes = [(pair, who, FIRST) for pair, who in itertools.product(range(20), range(4))]
    votes += [(pair, who, SECOND) for pair, who in itertools.product(range(20, 40), range(4))]
    votes += [(40, 0, FIRST), (40, 1, FIRST), (40, 2, SECOND), (40, 3, SECOND)]
    worth = worth_asking(dawid_skene(*zip(*votes, strict=True)))
    assert worth.argmax() == 40
    assert worth.min() >= 0
    assert worth[40] <= np.log(2)


@pytest.mark.parametrize(
    ("votes", "message"),
    [
        (([], [], []), "no vote"),
        (([0], [0], [3]), "none of first"),
        (([0, 2], [0, 0], [0, 0]), "pair"),
        (([0], [1], [0]), "annot"),
    ],
)
def test_what_is_no_set_of_votes(votes, message):
    with pytest.raises(ValueError, match=message):
        dawid_skene(*votes)
