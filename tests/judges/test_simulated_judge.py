"""The simulated judge: its settings show in its answers, and it says the same thing twice."""

import math
from dataclasses import replace

import numpy as np
import pytest

from softpref.judges.base import Question
from softpref.judges.simulated import ANSWER_MASS, SimulatedJudge

MANY = [Question("q", str(i % 7), str(i % 5), {"n": i}) for i in range(4000)]


def gold(prompt, response):
    assert prompt == "q"
    return float(response)


JUDGE = SimulatedJudge("test", gold, scale=2.0)


def log_odds(judge, questions):
    return np.array([a.first_logp - a.second_logp for a in judge.answer(questions)])


def truth(questions):
    return np.array([2.0 * (gold("q", q.first) - gold("q", q.second)) for q in questions])


def test_without_faults_it_tells_the_truth():
    """Gold 3 against 2 at scale 2: log-odds 2. Its two answers share a mass of 0.97."""
    [answer] = JUDGE.answer([Question("q", "3", "2")])
    assert answer.p_first == pytest.approx(1 / (1 + math.exp(-2)))
    assert answer.first_logp == pytest.approx(math.log(0.97 / (1 + math.exp(-2))))
    assert answer.second_logp == pytest.approx(math.log(0.97 / (1 + math.exp(2))))
    assert math.exp(answer.first_logp) + math.exp(answer.second_logp) == pytest.approx(ANSWER_MASS)
    assert (answer.mass, answer.raw, answer.failure) == (0.97, "1", None)
    [other] = JUDGE.answer([Question("q", "2", "3")])
    assert (other.p_first, other.raw) == (pytest.approx(1 - answer.p_first), "2")


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ({"temperature": 0.5}, 2 / 0.5),
        ({"temperature": 4.0}, 0.5),
        ({"position_bias": 0.4}, 2.4),
        ({"temperature": 0.5, "position_bias": -1.0}, 3.0),
        ({"scale": 3.0}, 3.0),
    ],
)
def test_each_fault_moves_the_log_odds_as_written(faults, expected):
    """log-odds = scale · 1 / temperature + bias; the bias is outside the temperature."""
    assert log_odds(replace(JUDGE, **faults), [Question("q", "3", "2")])[0] == pytest.approx(expected)


def test_a_position_bias_is_for_the_place_and_not_the_response():
    both = log_odds(replace(JUDGE, position_bias=0.4), [Question("q", "3", "2"), Question("q", "2", "3")])
    assert both == pytest.approx([2.4, -1.6])


def test_noise_has_its_standard_deviation():
    """4000 draws of s.d. 0.8 / temperature 0.5 = 1.6: mean within 4 s.e. of 0, s.d. within 4 · 1.6/√8000."""
    errors = log_odds(replace(JUDGE, noise=0.8, temperature=0.5), MANY) - truth(MANY) / 0.5
    assert abs(errors.mean()) < 4 * 1.6 / math.sqrt(4000)
    assert errors.std() == pytest.approx(1.6, abs=4 * 1.6 / math.sqrt(8000))


def test_failures_have_their_rate():
    """400 expected of 4000, s.d. 19."""
    failed = [a for a in replace(JUDGE, failure_rate=0.1).answer(MANY) if a.failure]
    assert abs(len(failed) - 400) < 4 * 19
    assert {(a.failure, a.first_logp, a.second_logp, a.mass) for a in failed} == {("simulated outage", None, None, None)}


def test_the_same_question_gets_the_same_answer_in_any_company():
    judge = replace(JUDGE, noise=1.0, failure_rate=0.2)
    together = list(judge.answer(MANY[:20]))
    assert [next(judge.answer([q])) for q in reversed(MANY[:20])] == together[::-1]


def test_another_seed_is_another_judge():
    one, other = (replace(JUDGE, noise=1.0, seed=seed) for seed in (0, 1))
    assert not np.isclose(log_odds(one, MANY[:20]), log_odds(other, MANY[:20])).any()


@pytest.mark.parametrize(
    "change",
    [
        {"name": "v2"},
        {"scale": 3.0},
        {"temperature": 0.7},
        {"position_bias": 0.1},
        {"noise": 0.2},
        {"failure_rate": 0.1},
        {"seed": 1},
    ],
)
def test_every_setting_is_part_of_the_identity(change):
    assert replace(JUDGE, **change).identity != JUDGE.identity


def test_settings_that_differ_slightly_are_told_apart():
    """Answers of one identity are never mixed with another's."""
    assert replace(JUDGE, noise=0.1234567).identity != replace(JUDGE, noise=0.1234568).identity


def test_the_identity_by_hand():
    expected = "simulated:test:scale=2,temperature=1,position_bias=0,noise=0,failure_rate=0,seed=0"
    assert JUDGE.identity == expected
