"""Several judges together, worked by hand; and agreement against textbook numbers."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softpref.errors import InputError, OptionError
from softpref.judges.both_orders import Judgement
from softpref.judges.ensemble import PairAgreement, Share, agreement, combine

probabilities = st.floats(0.0, 1.0)


def judged(*p):
    """One judge's judgements; None is a failure."""
    return [
        Judgement(str(i), None, None, None, ("outage",)) if x is None else Judgement(str(i), x, x, 1 - x, mass=0.9)
        for i, x in enumerate(p)
    ]


# ------------------------------------------------------------------------------------------------------ combining


def test_on_the_probability_scale_by_hand():
    """(0.9 + 0.6) / 2 = 0.75, and each judge has half of it."""
    [found] = combine({"a": judged(0.9), "b": judged(0.6)}, "probability")
    assert found.judgement == Judgement("0", pytest.approx(0.75), pytest.approx(0.75), pytest.approx(0.25), mass=0.9)
    assert found.shares == {"a": Share(0.9, 0.5), "b": Share(0.6, 0.5)}


def test_on_the_log_odds_scale_by_hand():
    """Odds 9 and 1.5: their geometric mean is √13.5 = 3.674, p = 3.674 / 4.674 = 0.786: the surer judge counts for more."""
    [found] = combine({"a": judged(0.9), "b": judged(0.6)}, "log_odds")
    odds = math.sqrt(13.5)
    assert found.judgement.p == pytest.approx(odds / (1 + odds))


def test_position_bias_is_averaged_too():
    """0.8 and 0.6 for whatever is shown first, against 0.5 twice: biases 0.4 and 0 make 0.2."""
    biased, fair = [Judgement("0", 0.6, 0.8, 0.6)], [Judgement("0", 0.5, 0.5, 0.5)]
    [found] = combine({"biased": biased, "fair": fair}, "probability")
    assert found.judgement.p == pytest.approx(0.55)
    assert found.judgement.position_bias == pytest.approx(0.2)


def test_a_judge_asked_in_one_order_leaves_no_bias_to_know():
    one_order, both = [Judgement("0", 0.8, 0.8, None)], judged(0.6)
    [found] = combine({"one": one_order, "both": both}, "probability")
    assert (found.judgement.p, found.judgement.second_shown) == (pytest.approx(0.7), None)


def test_the_least_mass_is_kept():
    judgements = {name: [Judgement("0", 0.5, 0.5, 0.5, mass=mass)] for name, mass in (("a", 0.9), ("b", 0.6), ("c", None))}
    assert combine(judgements, "probability")[0].judgement.mass == 0.6


@given(p=st.lists(probabilities, min_size=1, max_size=5))
@pytest.mark.parametrize("average", ["probability", "log_odds"])
def test_exchanging_the_responses_gives_one_minus_p(average, p):
    one, other = (
        combine({str(i): judged(x) for i, x in enumerate(values)}, average)[0].judgement.p for values in (p, [1 - x for x in p])
    )
    assert one + other == pytest.approx(1, abs=1e-9)


@given(p=st.floats(1e-5, 1 - 1e-5))
@pytest.mark.parametrize("average", ["probability", "log_odds"])
def test_judges_that_agree_say_what_each_says(average, p):
    [found] = combine({name: judged(p) for name in "abc"}, average)
    assert found.judgement.p == pytest.approx(p, abs=1e-9)


@pytest.mark.parametrize("average", ["probability", "log_odds"])
def test_ties_stay_ties_exactly(average):
    assert combine({name: judged(0.5) for name in "abc"}, average)[0].judgement.p == 0.5


def test_a_certain_judge_does_not_outvote_all_others():
    """p = 1 counts as 1 − 1e-6: log-odds 13.8; with two at −4.6 the mean is (13.8155 − 2 · 4.5951) / 3 = 1.5418."""
    [found] = combine({"a": judged(1.0), "b": judged(0.01), "c": judged(0.01)}, "log_odds")
    mean = (math.log(1e6 - 1) - 2 * math.log(99)) / 3
    assert found.judgement.p == pytest.approx(1 / (1 + math.exp(-mean)))


# ------------------------------------------------------------------------------------------------------ failure


def test_without_enough_judges_the_whole_has_failed():
    """Comparison 0: a alone. Comparison 1: nobody. Comparison 2: both. By default all must answer."""
    judgements = {"a": judged(0.9, None, 0.9), "b": judged(None, None, 0.6)}
    strict, lenient = combine(judgements, "probability"), combine(judgements, "probability", min_judges=1)
    assert [one.judgement.p for one in strict] == [None, None, pytest.approx(0.75)]
    assert [one.judgement.p for one in lenient] == [pytest.approx(0.9), None, pytest.approx(0.75)]
    assert [one.judgement.id for one in strict] == ["0", "1", "2"]
    assert strict[0].judgement.failures == ("b: outage",)
    assert strict[1].judgement.failures == ("a: outage", "b: outage")
    assert strict[0].judgement.first_shown is None


def test_the_share_of_a_failed_judge_is_none_and_never_a_half():
    judgements = {"a": judged(0.9), "b": judged(None), "c": judged(0.6)}
    [found] = combine(judgements, "probability", min_judges=2)
    assert found.judgement.p == pytest.approx(0.75)
    assert found.judgement.failures == ()
    assert found.shares == {"a": Share(0.9, 0.5), "b": Share(None, 0.0, ("outage",)), "c": Share(0.6, 0.5)}
    assert found.shares["b"].as_dict() == {"p": None, "weight": 0.0, "failures": ("outage",)}
    [failed] = combine(judgements, "probability")
    assert {name: share.weight for name, share in failed.shares.items()} == {"a": 0.0, "b": 0.0, "c": 0.0}


@pytest.mark.parametrize("min_judges", [0, 3])
def test_min_judges_lies_between_one_and_all(min_judges):
    with pytest.raises(OptionError, match=f"min_judges is {min_judges}"):
        combine({"a": judged(0.9), "b": judged(0.6)}, "probability", min_judges)


def test_an_unknown_average_is_refused():
    with pytest.raises(OptionError, match="did you mean 'log_odds'"):
        combine({"a": judged(0.9)}, "logodds")


@pytest.mark.parametrize("other", [judged(0.9), list(reversed(judged(0.9, 0.8)))])
@pytest.mark.parametrize("use", [agreement, lambda by_judge: combine(by_judge, "probability")])
def test_judgements_of_other_comparisons_are_never_mixed(use, other):
    with pytest.raises(InputError, match="'a' and 'b' did not judge the same comparisons"):
        use({"a": judged(0.9, 0.8), "b": other})


def test_no_judges_are_refused():
    with pytest.raises(InputError, match="no judge"):
        agreement({})


# ------------------------------------------------------------------------------------------------------ agreement


def test_agreement_by_hand():
    """Verdicts 1 1 1 1 2 2 and 1 1 1 2 2 1: 4 of 6 equal. Chance: ⅔·⅔ + ⅓·⅓ = 5/9, so kappa = (6/9 − 5/9) / (4/9) = ¼.

    alpha: of the 12 verdicts 8 are for response 1. Observed disagreement 4/12; expected 2·8·4 / (12·11) = 64/132;
    alpha = 1 − (4/12)·(132/64) = 0.3125.
    """
    found = agreement({"a": judged(0.9, 0.8, 0.7, 0.6, 0.1, 0.2), "b": judged(0.6, 0.9, 0.8, 0.3, 0.4, 0.9)})
    assert found.pairs == {("a", "b"): PairAgreement(6, pytest.approx(4 / 6), pytest.approx(0.25))}
    assert found.alpha == pytest.approx(0.3125)


def test_a_tie_is_a_verdict_of_its_own():
    """Verdicts 1, tie, 2, 1 and 1, tie, 1, tie: two of four equal; chance ½·½ + ¼·½ = ⅜, kappa = (½ − ⅜) / ⅝ = 0.2."""
    found = agreement({"a": judged(0.9, 0.5, 0.1, 0.8), "b": judged(0.9, 0.5, 0.6, 0.5)})
    assert found.pairs["a", "b"] == PairAgreement(4, 0.5, pytest.approx(0.2))


def test_failures_are_missing_values_as_in_the_textbook():
    """Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", B: binary data, two observers, alpha = 0.095; with
    comparisons appended that one judge alone answered, which change nothing."""
    meg = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0]
    owen = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    found = agreement({"meg": judged(*meg, 1, None), "owen": judged(*owen, None, None)})
    assert found.alpha == pytest.approx(0.095, abs=5e-4)
    assert found.pairs["meg", "owen"].comparisons == 10
    assert found.pairs["meg", "owen"].accuracy == pytest.approx(0.6)


def test_three_judges_with_gaps_as_in_the_encyclopedia():
    """Wikipedia's example restricted to its values 1 and 3 … is checked by the formula itself, written out here.

    alpha = 1 − (n − 1)·Σ o_ck / Σ n_c·n_k over c ≠ k, with o_ck = Σ_u (ordered pairs c, k in unit u) / (m_u − 1).
    """
    rng = np.random.default_rng(0)
    p = rng.choice([0.1, 0.5, 0.9], size=(3, 40))
    missing = rng.random(p.shape) < 0.3
    rows = [[None if m else x for x, m in zip(row, gone, strict=True)] for row, gone in zip(p, missing, strict=True)]
    units = [[x for x in unit if x is not None] for unit in zip(*rows, strict=True)]
    units = [unit for unit in units if len(unit) > 1]
    observed = sum(sum(x != y for x in unit for y in unit) / (len(unit) - 1) for unit in units)
    counts = [sum(unit.count(value) for unit in units) for value in (0.1, 0.5, 0.9)]
    expected = sum(counts) ** 2 - sum(count**2 for count in counts)
    found = agreement({name: judged(*row) for name, row in zip("abc", rows, strict=True)})
    assert found.alpha == pytest.approx(1 - (sum(counts) - 1) * observed / expected)
    assert list(found.pairs) == [("a", "b"), ("a", "c"), ("b", "c")]


def test_where_nothing_could_disagree_there_is_no_kappa():
    found = agreement({"a": judged(0.9, 0.8), "b": judged(0.6, 0.7)})
    assert found.pairs["a", "b"] == PairAgreement(2, 1.0, None)
    assert found.alpha is None


def test_judges_with_no_comparison_in_common():
    found = agreement({"a": judged(0.9, None), "b": judged(None, 0.1)})
    assert (found.pairs, found.alpha) == ({}, None)


def test_it_needs_no_torch():
    script = "import sys; import softpref.judges.ensemble; assert not {'torch', 'transformers', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
