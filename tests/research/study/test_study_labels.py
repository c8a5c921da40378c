"""The study's label sets: who judged by what, what was left out, and what noise did."""

import json
import math

import numpy as np
import pytest

from softpref.data.formats import read_pairs, write_rows
from softpref.demo import plan_world
from softpref.demo.plan_world_judge import CRITERIA, FAULTS, NO_FAULTS, SCALE, criterion_judge, plan_world_judge
from softpref.errors import OptionError
from softpref.research.study.labels import CONDITIONS, Votes, described, label_set, make_label_set
from softpref.research.study.settings import Training

TRAINING = Training(pool=120, pairs=40)


@pytest.fixture
def pool(tmp_path):
    file = tmp_path / "pool.jsonl"
    write_rows(file, plan_world.pairs(plan_world.tasks(), np.random.default_rng(0), TRAINING.pool))
    return file


def made(pool, name, seed=1):
    file = pool.with_name(f"{name}.jsonl")
    return make_label_set(pool, file, name, seed, TRAINING), read_pairs(file)


def truth(pair, criterion="gold"):
    worth = CRITERIA[criterion]
    gap = worth(pair.prompt, pair.chosen) - worth(pair.prompt, pair.rejected)
    return 1 / (1 + math.exp(-SCALE * gap))


def test_exact_labels_are_the_truth(pool):
    likeness, pairs = made(pool, "exact")
    assert len(pairs) == TRAINING.pairs == likeness["pairs"]
    assert [pair.soft_label for pair in pairs] == pytest.approx([truth(pair) for pair in pairs], abs=1e-9)
    assert likeness["accuracy"] == 1
    assert likeness["brier"] == pytest.approx(0, abs=1e-12)
    assert likeness["confidence"] == pytest.approx(np.mean([2 * pair.soft_label - 1 for pair in pairs]))


def test_too_sure_labels_are_the_truth_at_a_third_of_the_temperature(pool):
    _, pairs = made(pool, "too_sure")
    log_odds = [math.log(truth(pair) / (1 - truth(pair))) for pair in pairs]
    assert [pair.soft_label for pair in pairs] == pytest.approx([1 / (1 + math.exp(-3 * x)) for x in log_odds], abs=1e-9)


def test_skewed_has_no_sure_pair_and_looks_at_the_whole_pool(pool):
    _, pairs = made(pool, "skewed")
    assert max(pair.soft_label for pair in pairs) < 0.8
    first = {(pair.prompt, pair.chosen) for pair in list(read_pairs(pool))[: TRAINING.pairs]}
    assert any((pair.prompt, side) not in first for pair in pairs for side in (pair.chosen, pair.rejected))


def test_plain_labels_come_from_the_first_pairs_alone(pool):
    _, pairs = made(pool, "plain")
    asked = [json.loads(line) for line in pool.read_text().splitlines()][: TRAINING.pairs]
    assert 30 < len(pairs) <= TRAINING.pairs
    texts = {(row["prompt"], frozenset((row["response_1"], row["response_2"]))) for row in asked}
    assert {(pair.prompt, frozenset((pair.chosen, pair.rejected))) for pair in pairs} <= texts


def test_two_criteria_judge_in_turn(pool):
    likeness, pairs = made(pool, "two_criteria")
    judges = [pair.label_source["judge"] for pair in pairs]
    assert {judge.split(":")[1] for judge in judges} == {"plan_world_thorough_v1", "plan_world_short_v1"}
    assert "accuracy" not in likeness
    rows = [json.loads(line) for line in pool.read_text().splitlines()][: TRAINING.pairs]
    even = {(row["prompt"], row["response_1"]) for row in rows[::2]}
    by_thorough = {
        (pair.prompt, side)
        for pair, judge in zip(pairs, judges, strict=True)
        if "thorough" in judge
        for side in (pair.chosen, pair.rejected)
    }
    assert {(prompt, text) for prompt, text in even if (prompt, text) in by_thorough}
    odd_only = {(row["prompt"], row["response_1"]) for row in rows[1::2]} - even
    odd_only -= {(row["prompt"], row["response_2"]) for row in rows[::2]}
    assert not odd_only & by_thorough


def test_votes_are_whole_votes(pool):
    _, pairs = made(pool, "votes_3")
    assert {round(3 * pair.soft_label, 9) for pair in pairs} <= {2.0, 3.0}
    _, shares = Votes(4)(np.full(4000, 0.9), np.random.default_rng(0))
    assert np.mean(shares) == pytest.approx(0.9, abs=0.01)
    assert set(4 * shares) <= {0, 1, 2, 3, 4}


def test_a_binary_flip_leaves_nothing_soft(pool):
    _, pairs = made(pool, "binary_flip_0.3")
    assert {pair.soft_label for pair in pairs} == {1.0}
    clean, _ = made(pool, "plain")
    noisy, _ = made(pool, "binary_flip_0.3", seed=1)
    assert noisy["accuracy"] < clean["accuracy"]


def test_soft_averaging_turns_no_pair_round(pool):
    clean, plain = made(pool, "plain")
    noisy, averaged = made(pool, "soft_averaging_0.2")
    assert noisy["accuracy"] == clean["accuracy"]
    mixed = [0.8 * pair.soft_label + 0.2 * (1 - pair.soft_label) for pair in plain]
    assert [pair.soft_label for pair in averaged] == pytest.approx(mixed)


def test_a_set_that_is_not_known():
    with pytest.raises(OptionError, match=r"label set is 'plane'.*plain"):
        label_set("plane")


def test_what_defines_a_set_is_part_of_its_cell():
    seen = [json.dumps(described(name)) for name in ("plain", "skewed", "stairs", "soft_flip_0.1", *CONDITIONS)]
    assert len({*seen}) == len(seen)
    assert described("soft_flip_0.1")["shape"] == {"name": "Noise", "kind": "soft_flip", "rate": 0.1}
    assert described("noise_3")["faults"] == {**NO_FAULTS, "noise": 3.0}


def test_the_demo_s_judge_is_the_one_that_judges_by_gold():
    assert plan_world_judge(4).identity == criterion_judge("gold", 4, FAULTS).identity
    assert criterion_judge("short", 4, FAULTS).identity != plan_world_judge(4).identity
