"""Paired tests against published tables and brute force, Holm's correction, and the bootstrap over seeds and prompts."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paper_table import many
from softpref.core.statistics import (
    cluster_bootstrap,
    codes_of,
    holm,
    seed_and_cluster_bootstrap,
    sign_flip_test,
    signed_rank_test,
)

# Darwin's maize, cross- less self-fertilised heights in eighths of an inch (Fisher 1935, The Design of Experiments, §17-21).
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]

# --- Wilcoxon


def test_wilcoxon_of_darwins_maize():
    """Negative ranks: 48 is the 10th and 67 the 14th of 15, so W = 24, whose exact two-sided p is 0.0413."""
    found = signed_rank_test(DARWIN)
    assert (found.n, found.zeros, found.statistic) == (15, 0, 24.0)
    assert found.p_value == pytest.approx(0.0413, abs=5e-5)


def exact_signed_rank(differences):
    """Two-sided p by all signs: the share of sign assignments whose smaller rank sum is no larger."""
    d = np.array([x for x in differences if x])
    ranks = np.argsort(np.argsort(np.abs(d))) + 1
    total = ranks.sum()
    seen = min(ranks[d > 0].sum(), ranks[d < 0].sum())
    sums = [sum(r for r, up in zip(ranks, signs, strict=True) if up) for signs in itertools.product((0, 1), repeat=len(d))]
    return np.mean([min(s, total - s) <= seen for s in sums])


@many
@given(st.lists(st.integers(1, 60), min_size=1, max_size=8, unique=True), st.integers(0, 255))
def test_wilcoxon_by_all_signs(sizes, bits):
    signed = [size if bits >> i & 1 else -size for i, size in enumerate(sizes)]
    assert signed_rank_test(signed).p_value == pytest.approx(exact_signed_rank(signed), abs=1e-12)


def test_zeros_are_left_out_and_counted():
    found, without = signed_rank_test([0.0, 3, -1, 2, 0]), signed_rank_test([3, -1, 2])
    assert (found.n, found.zeros) == (5, 2)
    assert (found.p_value, found.statistic) == (without.p_value, without.statistic)


def test_what_rounding_makes_of_a_tie_is_a_tie():
    """0.7 − ½ and 0.3 − ½ have a mean of 3e-17 and no better side."""
    mean = float(np.mean([0.7 - 0.5, 0.3 - 0.5]))
    assert mean != 0
    assert (signed_rank_test([mean, mean]).zeros, sign_flip_test([mean, mean]).zeros) == (2, 2)


@pytest.mark.parametrize("test", [signed_rank_test, sign_flip_test])
def test_nothing_but_ties_is_no_evidence(test):
    assert test([0.0, 0.0, 0.0]).p_value == 1.0
    assert test([0.4]).p_value == 1.0
    with pytest.raises(ValueError, match="no differences"):
        test([])


# --- the permutation test


def test_fishers_permutation_test_of_darwins_maize():
    """Of the 2^15 signs 1726 give a total as far from 0 as the 314 that was seen: p = 0.0527 (Fisher 1935, §21)."""
    found = sign_flip_test(DARWIN, draws=2**15)
    assert found.draws == 2**15
    assert found.p_value == pytest.approx(1726 / 32768)


def test_a_sample_of_the_signs_comes_near_and_repeats():
    """9999 of 32768 signs: the standard error at p = 0.0527 is 0.0022."""
    found = sign_flip_test(DARWIN)
    assert found.draws == 9999
    assert found.p_value == pytest.approx(1726 / 32768, abs=4 * 0.0022)
    assert sign_flip_test(DARWIN) == found
    assert sign_flip_test(DARWIN, seed=1) != found


def test_a_sampled_p_is_never_zero():
    """Two-sided, and what was seen is counted: 2/(9999 + 1)."""
    assert sign_flip_test([1.0] * 60).p_value == pytest.approx(2 / 10_000)


def test_both_tests_keep_their_level():
    """400 data sets without any effect: 5% are rejected, to within three standard errors of 1.1%."""
    rng = np.random.default_rng(0)
    data = [rng.normal(size=9) for _ in range(400)]
    for test in (signed_rank_test, lambda d: sign_flip_test(d, draws=2**9)):
        assert np.mean([test(d).p_value <= 0.05 for d in data]) == pytest.approx(0.05, abs=0.033)


def test_tests_are_plain_numbers():
    for found in (signed_rank_test(DARWIN), sign_flip_test(DARWIN)):
        assert json.loads(json.dumps(found.as_dict())) == found.as_dict()
    assert "draws" not in signed_rank_test(DARWIN).as_dict()


# --- Holm


def test_holm_by_hand():
    """0.01·4 = 0.04; 0.03·3 = 0.09; 0.04·2 = 0.08 rises to 0.09; 0.2·1. In the order that they were given."""
    assert holm([0.04, 0.01, 0.2, 0.03]) == pytest.approx([0.09, 0.04, 0.2, 0.09])


def test_holm_stops_at_one():
    assert holm([0.6, 0.7]).tolist() == [1.0, 1.0]
    assert holm([0.03]).tolist() == [0.03]


def rejected_by_holm(p_values, alpha):
    """Holm's own words (1979): step through the sorted p-values while p ≤ α/(M − i + 1); stop at the first that fails."""
    rejected = set()
    for i, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[place] > alpha / (len(p_values) - i):
            break
        rejected.add(place)
    return rejected


@many
@given(st.lists(st.integers(0, 1000).map(lambda n: n / 1009), min_size=1, max_size=12), st.sampled_from([0.01, 0.05, 0.3]))
def test_holm_rejects_what_holm_rejects(p_values, alpha):
    assert {i for i, p in enumerate(holm(p_values)) if p <= alpha} == rejected_by_holm(p_values, alpha)


# --- seeds and prompts

SEEDS, PROMPTS = 3, 40


def crossed(rng, seed_sd, seeds=SEEDS):
    """Every seed meets every prompt: prompt effects of s.d. 1, seed effects, and noise of s.d. ½. The mean is 0."""
    noise = rng.normal(0, 0.5, (seeds, PROMPTS))
    rows = rng.normal(0, seed_sd, seeds)[:, None] + rng.normal(0, 1, PROMPTS)[None] + noise
    return {"rows": rows.ravel(), "seeds": np.repeat(range(seeds), PROMPTS), "clusters": np.tile(range(PROMPTS), seeds)}


def covered(seed_sd, bootstrap, runs=200):
    rng, hits = np.random.default_rng(21), 0
    for run in range(runs):
        data = crossed(rng, seed_sd)
        estimate = bootstrap(data, run)
        hits += estimate.low <= 0 <= estimate.high
    return hits / runs


def over_both(data, run):
    return seed_and_cluster_bootstrap(
        np.mean, data["rows"], seeds=data["seeds"], clusters=data["clusters"], resamples=300, seed=run
    )


def over_prompts(data, run):
    return cluster_bootstrap(np.mean, data["rows"], clusters=data["clusters"], resamples=300, seed=run)


@pytest.mark.parametrize("seed_sd", [0.0, 0.3])
def test_the_interval_over_three_seeds_covers(seed_sd):
    """200 data sets; a coverage of 0.95 has s.e. 0.015. Seeds of s.d. 0.3 add as much to the error as prompts do."""
    assert 0.88 <= covered(seed_sd, over_both) <= 0.99


def test_prompts_alone_cover_too_rarely_when_seeds_differ():
    """The interval knows an error of 0.165 where there is one of √(0.165² + 0.3²/3) = 0.24: ±1.96 is ±1.35, 82%."""
    assert covered(0.3, over_prompts) <= 0.87


def test_seeds_widen_the_interval_by_their_share():
    """No prompt differs, three seeds do: drawing two of three gives a variance of s²/3, s² over S − 1."""
    seeds = np.array([0.0, 1.0, 5.0])
    data = np.repeat(seeds, PROMPTS)
    means = []

    def noted(rows):
        means.append(rows.mean())
        return means[-1]

    seed_and_cluster_bootstrap(
        noted, data, seeds=np.repeat(range(3), PROMPTS), clusters=np.tile(range(PROMPTS), 3), resamples=4000
    )
    assert np.var(means[:-1]) == pytest.approx(seeds.var(ddof=1) / 3, rel=0.1)


def test_one_seed_is_the_bootstrap_over_prompts():
    data = crossed(np.random.default_rng(1), 0.3, seeds=1)
    assert over_both(data, 5) == over_prompts(data, 5)


def test_the_value_is_that_of_all_rows_and_prompts_are_counted():
    data = crossed(np.random.default_rng(2), 0.3)
    found = over_both(data, 0)
    assert found.value == pytest.approx(data["rows"].mean())
    assert (found.n, found.clusters) == (SEEDS * PROMPTS, PROMPTS)
    assert found.low < found.value < found.high


def test_rows_and_names_must_fit():
    with pytest.raises(ValueError, match="were named for"):
        seed_and_cluster_bootstrap(np.mean, [1.0, 2.0, 3.0], seeds=[1, 2], clusters=[1, 2])
    with pytest.raises(ValueError, match="no rows"):
        seed_and_cluster_bootstrap(np.mean, [], seeds=[], clusters=[])


def test_an_undefined_draw_is_left_out():
    """A ratio whose denominator is 0 on one prompt."""

    def ratio(x, y):
        return float(x.sum() / y.sum()) if y.sum() else math.nan

    found = seed_and_cluster_bootstrap(
        ratio, [1.0, 2, 1, 2], [0.0, 1, 0, 1], seeds=[0, 0, 1, 1], clusters=[0, 1, 0, 1], resamples=100
    )
    assert math.isfinite(found.low)
    assert math.isfinite(found.high)


@given(st.lists(st.text(max_size=3), max_size=8))
def test_names_become_the_codes_of_numpy(names):
    assert codes_of(names).tolist() == np.unique(np.array(names, dtype=object), return_inverse=True)[1].tolist()
