"""Reward at a given KL by hand, and methods compared equally far from their reference."""

import shutil

import numpy as np
import pytest

from softpref.demo.small_model import save, small_llama
from softpref.errors import InputError, OptionError
from softpref.evaluation.evaluate import Reward
from softpref.evaluation.frontier import at_equal_kl, frontier, reward_at_kl
from softpref.evaluation.over_optimisation import sample_log_ratios
from softpref.evaluation.responses import generated
from softpref.generation.sampling import Sampling
from softpref.records.run import FrontierPoint, FrontierRecord

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


# -------------------------------------------------------------------------------------------------- at equal KL


def test_methods_are_compared_where_the_shortest_way_ends():
    """One run ends at KL 0.5, where it has 0.55; the other passes 0.5 a quarter of the way to KL 2, from 0.15 to 0.75."""
    short = [FrontierPoint(0, 0.0, 0.0, None, None, REWARDS[0]), FrontierPoint(1, 0.5, 0.0, None, None, REWARDS[1])]
    long = [FrontierPoint(0, 0.0, 0.0, None, None, REWARDS[0]), FrontierPoint(1, 2.0, 0.0, None, None, REWARDS[2])]
    kl, found = at_equal_kl({"short": short, "long": long}, CLUSTERS)
    assert kl == 0.5
    assert found["short"].value == pytest.approx(0.55)
    assert found["long"].value == pytest.approx(0.75 * 0.15 + 0.25 * 0.75)


# -------------------------------------------------------------------------------------------------- along a run

PROMPTS = ["make tea for two :", "wait"]
SAMPLED = Sampling(temperature=1.0, samples=3, max_new_tokens=5)
WORDS_SAID = Reward("words", lambda _, response: float(len(response.split())))


@pytest.fixture(scope="module")
def runs(word_tokenizer, tmp_path_factory):
    """A reference, and a run with two checkpoints of other weights, the last of which is the run's model."""
    root = tmp_path_factory.mktemp("frontier")
    for seed, name in enumerate(("sft", "run/checkpoint-2", "run/checkpoint-10")):
        save(
            small_llama(word_tokenizer, hidden=16, layers=1, heads=2, context=64, seed=seed),
            word_tokenizer,
            root / name,
        )
    shutil.copytree(root / "run" / "checkpoint-10", root / "run", dirs_exist_ok=True)
    return root


def test_points_begin_at_the_reference_and_end_at_the_model(runs):
    found = frontier(runs / "run", runs / "sft", PROMPTS, SAMPLED, WORDS_SAID)
    assert FrontierRecord.read(runs / "run" / "frontier.json").as_dict() == found.as_dict()
    assert found.reward == "words"
    assert [point.step for point in found.points] == [0, 2, 10]
    assert found.points[0].kl == 0
    folders = {0: "sft", 2: "run/checkpoint-2", 10: "run"}
    for point in found.points:
        said = generated(str(runs / folders[point.step]), PROMPTS, SAMPLED, runs / "again" / f"{point.step}.jsonl")
        assert point.rewards == [len(r.text.split()) for r in said]
        assert point.reward == pytest.approx(np.mean(point.rewards))
        assert point.low <= point.reward <= point.high
        ratios = sample_log_ratios(str(runs / folders[point.step]), str(runs / "sft"), PROMPTS, said)
        assert point.kl == pytest.approx(ratios.mean(), abs=1e-6)


def test_only_samples_of_the_model_itself_estimate_a_kl(runs):
    with pytest.raises(OptionError, match="temperature 1 with top_p 1"):
        frontier(runs / "run", runs / "sft", PROMPTS, Sampling(temperature=0.7), WORDS_SAID)


def test_a_run_without_checkpoints_has_no_way_to_look_at(runs):
    with pytest.raises(InputError, match="holds no checkpoint"):
        frontier(runs / "sft", runs / "sft", PROMPTS, SAMPLED, WORDS_SAID)
