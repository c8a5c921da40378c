"""Intervals that cover, and accuracies that know about ties."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from paper_table import many
from softpref.core.statistics import Estimate, auc, cluster_bootstrap, tie_aware_accuracy

PROMPTS, ROWS = 30, 5
PROMPT_OF_ROW = np.repeat(np.arange(PROMPTS), ROWS)


def clustered_rows(rng):
    """30 prompts of 5 rows, mean 0: a prompt effect of s.d. 1 and a row effect of s.d. ½ (intraclass correlation 0.8)."""
    return rng.normal(0, 1, PROMPTS)[PROMPT_OF_ROW] + rng.normal(0, 0.5, PROMPTS * ROWS)


def coverage(clusters, runs=200):
    rng = np.random.default_rng(11)
    estimates = (
        cluster_bootstrap(np.mean, clustered_rows(rng), clusters=clusters, resamples=300, seed=run) for run in range(runs)
    )
    return np.mean([estimate.low <= 0 <= estimate.high for estimate in estimates])


def test_a_nominal_95_percent_covers_when_clusters_are_drawn():
    """Over 200 data sets a coverage of 0.95 has s.e. 0.015, and 30 clusters cost a percentile interval some 0.015."""
    assert 0.89 <= coverage(PROMPT_OF_ROW) <= 0.98


def test_the_same_rows_taken_as_independent_cover_far_too_rarely():
    """The design effect is 1 + 4·0.8 = 4.2, so ±1.96 is really ±1.96/√4.2 = ±0.96 standard errors: 66%."""
    assert 0.55 <= coverage(np.arange(PROMPTS * ROWS)) <= 0.77


def test_the_interval_of_a_mean_has_the_width_that_theory_gives():
    """Equal clusters: ±1.96·sd(cluster means)/√clusters, to within 5% with 4000 resamples."""
    rows = clustered_rows(np.random.default_rng(12))
    estimate = cluster_bootstrap(np.mean, rows, clusters=PROMPT_OF_ROW, resamples=4000)
    expected = 2 * 1.96 * rows.reshape(PROMPTS, ROWS).mean(axis=1).std() / math.sqrt(PROMPTS)
    assert estimate.high - estimate.low == pytest.approx(expected, rel=0.05)


def test_whole_clusters_are_drawn():
    """Two clusters of sums 1 and 5, sizes 1 and 3: a draw of two has sum 2, 6 or 10 and size 2, 4 or 6."""
    seen = set()

    def statistic(rows):
        seen.add((float(rows.sum()), len(rows)))
        return float(rows.mean())

    estimate = cluster_bootstrap(statistic, [1.0, 1.0, 1.0, 3.0], clusters=["b", "a", "a", "a"], resamples=200)
    assert seen == {(6, 4), (2, 2), (10, 6)}
    assert (estimate.value, estimate.n, estimate.clusters) == (1.5, 4, 2)
    assert (estimate.low, estimate.high) == (1.0, pytest.approx(10 / 6))


def test_several_arrays_are_drawn_in_step_and_keep_their_other_axes():
    x = np.arange(24.0).reshape(12, 2)

    def statistic(rows, labels):
        assert rows.shape == (len(labels), 2)
        assert (rows.sum(axis=1) == labels).all()
        return float(labels.mean())

    estimate = cluster_bootstrap(statistic, x, x.sum(axis=1), clusters=np.arange(12) // 3, resamples=50)
    assert estimate.value == 23.0
    assert estimate.low < 23.0 < estimate.high


def test_a_seed_repeats_and_another_differs():
    rows = clustered_rows(np.random.default_rng(13))
    one, again, other = (cluster_bootstrap(np.mean, rows, clusters=PROMPT_OF_ROW, resamples=100, seed=s) for s in (1, 1, 2))
    assert one == again
    assert one != other


def test_a_lower_level_is_a_narrower_interval():
    """For a normal statistic the half-widths at 50% and 95% are as 0.674 to 1.960: 0.344."""
    rows = clustered_rows(np.random.default_rng(14))
    half, most = (cluster_bootstrap(np.mean, rows, clusters=PROMPT_OF_ROW, resamples=4000, level=v) for v in (0.5, 0.95))
    assert (half.high - half.low) / (most.high - most.low) == pytest.approx(0.344, rel=0.08)


def test_a_draw_without_both_classes_is_left_out():
    """Three clusters, one of them the only positive: draws without it have no AUC, the others have 1."""
    estimate = cluster_bootstrap(auc, [3.0, 1.0, 2.0], [1, 0, 0], clusters=[0, 1, 2], resamples=200)
    assert (estimate.value, estimate.low, estimate.high) == (1, 1, 1)


def test_one_cluster_has_no_interval():
    estimate = cluster_bootstrap(np.mean, [1.0, 2.0, 6.0], clusters=[7, 7, 7])
    assert (estimate.value, estimate.n, estimate.clusters) == (3, 3, 1)
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)


def test_no_rows_are_an_error():
    with pytest.raises(ValueError, match="no rows"):
        cluster_bootstrap(np.mean, [], clusters=[])


@pytest.mark.parametrize("clusters", [[0, 1], [0, 1, 1, 2]], ids=["too few", "too many"])
def test_rows_without_a_cluster_of_their_own_are_an_error(clusters):
    """clusters is (N,): with fewer, rows would be left out of every draw in silence."""
    with pytest.raises(ValueError, match="cluster"):
        cluster_bootstrap(np.mean, [1.0, 2.0, 3.0], clusters=clusters, resamples=20)


def test_an_estimate_prints_and_goes_into_json():
    estimate = Estimate(value=0.6124, low=0.5, high=0.71, n=120, clusters=40)
    assert str(estimate) == "0.612 [0.500, 0.710]"
    expected = {"value": 0.6124, "low": 0.5, "high": 0.71, "n": 120, "clusters": 40}
    assert json.loads(json.dumps(estimate.as_dict())) == expected


def test_a_computed_estimate_holds_plain_numbers():
    estimate = cluster_bootstrap(np.mean, np.float32([1, 2, 3]), clusters=np.int64([0, 1, 2]), resamples=20)
    assert [type(value) for value in estimate.as_dict().values()] == [float, float, float, int, int]


# --- accuracy


@pytest.mark.parametrize(
    ("score", "soft_label", "expected"),
    [
        ([2.0, -1.0, 0.5], [0.9, 0.6, 0.8], 2 / 3),
        ([0.0, 1.0], [0.9, 0.6], 0.75),
        ([-2.0, 3.0], [0.1, 0.4], 0.5),
        ([5.0, 5.0, -5.0], [0.5, 0.7, 0.5], 1.0),
        ([0.0, 0.0], [1.0, 0.0], 0.5),
    ],
)
def test_accuracy_by_hand(score, soft_label, expected):
    """Two of three; a half and a whole of two; p < ½ wants a negative score; ties in the label are left out; all equal ½."""
    assert tie_aware_accuracy(score, soft_label) == pytest.approx(expected, rel=1e-15)


def test_accuracy_with_nothing_to_judge_is_nan():
    assert math.isnan(tie_aware_accuracy([1.0, -1.0], [0.5, 0.5]))
    assert math.isnan(tie_aware_accuracy([], []))


@many
@given(st.lists(st.tuples(st.integers(-3, 3), st.sampled_from([0.1, 0.4, 0.8])), min_size=1))
def test_a_score_and_its_opposite_share_the_accuracy(rows):
    score, soft_label = np.array(rows, dtype=np.float64).T
    ours = tie_aware_accuracy(score, soft_label)
    assert tie_aware_accuracy(-score, soft_label) == pytest.approx(1 - ours)
    assert tie_aware_accuracy(score, 1 - soft_label) == pytest.approx(1 - ours)


# --- AUC


@many
@given(st.lists(st.integers(-4, 4), min_size=1), st.lists(st.integers(-4, 4), min_size=1))
def test_auc_is_sklearn_s_ties_and_all(of_positives, of_negatives):
    score = of_positives + of_negatives
    positive = [True] * len(of_positives) + [False] * len(of_negatives)
    assert auc(score, positive) == pytest.approx(roc_auc_score(positive, score), abs=1e-12)


def test_auc_by_hand():
    """Positives 3 and 1, negatives 2 and 1: 3 beats both, 1 loses to 2 and ties with 1: (1 + 1 + 0 + ½)/4 = 0.625."""
    assert auc([3, 1, 2, 1], [1, 1, 0, 0]) == 0.625


@pytest.mark.parametrize("positive", [[1, 1], [0, 0]])
def test_auc_of_one_class_is_nan(positive):
    assert math.isnan(auc([1.0, 2.0], positive))
