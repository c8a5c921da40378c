"""What the page says first, and what must be read with it."""

import pytest

from run_folders import (
    RUN,
    classification,
    comparison,
    duel,
    estimate,
    evaluation,
    over_optimisation,
    write_head_to_head,
    write_run,
)
from softpref.records.figures import Interval
from softpref.report.collect import Found, read_folders, read_head_to_head
from softpref.report.groups import group_evaluations, short
from softpref.report.verdict import cautions, paired_difference, verdict


def said(*folders):
    found = read_folders(folders)
    groups = group_evaluations(found.runs)
    return verdict(found, groups), cautions(found, groups)


def run(root, name, percentage=0.7, p=(), **changes):
    """p of the prompts 0, 1, 2 …"""
    rows = [comparison(one, f"prompt {i}") for i, one in enumerate(p)]
    return write_run(root / name, evaluations={"greedy": evaluation(percentage, **changes)}, comparisons=rows)


def test_one_run_that_wins(tmp_path):
    """70%, from 60 to 80: the interval leaves out one half."""
    found, _ = said(run(tmp_path, "gdpo", 0.7))
    assert found.sentence == "gdpo beats sft: the judge prefers it in 70.0% [60.0, 80.0] of comparisons."
    assert found.detail == (
        "Evaluation greedy: percentage win rate on 5 prompts, 95% interval over prompts, judged by simulated:test."
    )


@pytest.mark.parametrize(
    ("rate", "sentence"),
    [
        (0.55, "gdpo and sft cannot be told apart: gdpo is preferred in 55.0% [45.0, 65.0] of comparisons."),
        (0.25, "gdpo loses to sft: the judge prefers it in 25.0% [15.0, 35.0] of comparisons."),
    ],
)
def test_one_run_that_does_not(tmp_path, rate, sentence):
    assert said(run(tmp_path, "gdpo", rate))[0].sentence == sentence


def test_a_runner_up_close_behind_is_named(tmp_path):
    """The same prompts: gdpo's p is now above, now below dpo's, by as much."""
    folders = [
        run(tmp_path, "dpo", 0.69, (0.6, 0.8, 0.6, 0.8)),
        run(tmp_path, "gdpo", 0.7, (0.8, 0.6, 0.8, 0.6)),
        run(tmp_path, "sft", 0.5, model="sft"),
    ]
    sentence = said(*folders)[0].sentence
    assert sentence.endswith("70.0% [60.0, 80.0] of comparisons. It cannot be told apart from dpo.")


def test_a_runner_up_far_behind_is_measured(tmp_path):
    """0.3 on every prompt: the difference is 30 points, without spread. Prompts that only one has do not count."""
    folders = [run(tmp_path, "dpo", 0.6, (0.5, 0.4, 0.6, 0.1, 0.1)), run(tmp_path, "gdpo", 0.8, (0.8, 0.7, 0.9))]
    assert said(*folders)[0].sentence.endswith("of comparisons, 30.0 [30.0, 30.0] points more than dpo.")
    one, other = (read_folders([folder]).runs[0].evaluations[0] for folder in folders)
    difference = paired_difference(other, one)
    assert (difference.value, difference.n) == (pytest.approx(0.3), 3)


def test_no_common_prompt_no_difference(tmp_path):
    folders = [run(tmp_path, "dpo", 0.6), run(tmp_path, "gdpo", 0.8, (0.8,))]
    assert said(*folders)[0].sentence.endswith("80.0% [70.0, 90.0] of comparisons.")


PAIRS = [duel("dpo", "cdpo", 0.52, 0.9), duel("dpo", "gdpo", 0.4, 0.01), duel("cdpo", "gdpo", 0.35, 0.0003)]


def test_a_head_to_head_decides(tmp_path):
    """gdpo: 60 and 65%, 62.5% on average; both tests are significant."""
    folders = [run(tmp_path, "dpo", 0.7), write_head_to_head(tmp_path / "duels", PAIRS)]
    found, _ = said(*folders)
    assert found.sentence == (
        "gdpo beats each of the 2 others: it is preferred in 62.5% of comparisons on average, at worst 60.0% [55.0, 65.0] "
        "against dpo."
    )
    assert "judged by simulated:test, in both orders. Against sft (greedy): dpo 70.0% [60.0, 80.0]." in found.detail


def test_a_head_to_head_that_decides_nothing(tmp_path):
    """The interval of 60% leaves out one half, but after Holm's correction the test says 0.06."""
    pairs = [duel("dpo", "cdpo", 0.52, 0.9), duel("dpo", "gdpo", 0.4, 0.06), duel("cdpo", "gdpo", 0.45, 0.3)]
    sentence = said(write_head_to_head(tmp_path / "duels", pairs))[0].sentence
    assert sentence == (
        "No method is best beyond doubt. gdpo comes first, with 57.5% of comparisons on average, at worst 55.0% [50.0, 60.0] "
        "against cdpo; it beats none of them beyond chance."
    )


def test_two_models_alone(tmp_path):
    folder = write_head_to_head(tmp_path / "duels", [duel("dpo", "gdpo", 0.4, 0.01)], ("dpo", "gdpo"))
    assert said(folder)[0].sentence == "gdpo is preferred to dpo: 60.0% [55.0, 65.0] of comparisons."


def test_a_pair_read_from_the_other_side(tmp_path):
    """1 − 0.4 = 0.6; its interval [0.35, 0.45] becomes [0.55, 0.65]; where there is none, there is none."""
    folder = write_head_to_head(tmp_path / "pair", [duel("dpo", "gdpo", 0.4, 0.01)], ("dpo", "gdpo"))
    [pair] = read_head_to_head(folder).record.pairs
    turned = pair.rate_of("gdpo")
    assert [turned.value, turned.low, turned.high] == pytest.approx([0.6, 0.55, 0.65])
    assert Interval(0.4).turned() == Interval(0.6)
    folder = write_head_to_head(tmp_path / "duels", PAIRS)
    means = read_head_to_head(folder).record.mean_win_rates()
    assert means == pytest.approx({"dpo": 0.46, "cdpo": 0.415, "gdpo": 0.625})


def test_the_implicit_reward_alone(tmp_path):
    folder = write_run(tmp_path / "gdpo", classifications={"votes": classification(0.75)})
    sentence = said(folder)[0].sentence
    assert sentence == "The implicit reward of gdpo agrees with 75.0% [65.0, 85.0] of the labels of data/votes.jsonl."


@pytest.mark.parametrize(
    ("gain", "half", "end"),
    [
        (0.05, 0.1, ", which cannot be told apart from choosing the longer response every time (70.0%)."),
        (0.05, 0.02, ", 5.0 points more than choosing the longer response every time (70.0%)."),
        (-0.05, 0.02, ", 5.0 points less than choosing the longer response every time (70.0%)."),
    ],
)
def test_the_implicit_reward_beside_length(tmp_path, gain, half, end):
    votes = classification(0.75, over_longer=estimate(gain, half))
    assert said(write_run(tmp_path / "gdpo", classifications={"votes": votes}))[0].sentence.endswith(end)


def test_the_implicit_rewards_of_several_runs_stand_on_the_same_set(tmp_path):
    """The set that both have counts, not the easier one that one of them has alone; what was not tested is said."""
    folders = [
        write_run(tmp_path / "dpo", classifications={"votes": classification(0.7), "easy": classification(0.99)}),
        write_run(tmp_path / "gdpo", classifications={"votes": classification(0.75)}),
    ]
    found = said(*folders)[0]
    assert found.sentence.startswith("The implicit reward of gdpo agrees with 75.0%")
    assert found.detail.endswith("The others: dpo 70.0%; whether they differ from gdpo was not tested.")


def test_nothing_was_evaluated(tmp_path):
    assert said(write_run(tmp_path / "gdpo"))[0].sentence.startswith("Nothing here was evaluated")
    assert verdict(Found([]), []).sentence.startswith("Nothing here was evaluated")


# -------------------------------------------------------------------------------------------------- cautions


def test_nothing_to_warn_of(tmp_path):
    quiet = {"length_controlled": estimate(0.7)}
    figures = evaluation(0.7, **quiet)
    figures["win_rates"] |= {"coverage": 0.95, "tie_rate": 0.1}
    assert said(write_run(tmp_path / "gdpo", evaluations={"greedy": figures}))[1] == []


def test_all_that_there_is_to_warn_of(tmp_path):
    """Coverage 0.875 is low; equal length takes the win away, and 95% of the responses are longer."""
    fair = {**estimate(0.55), "model_longer": 0.95}
    unfinished = {key: value for key, value in RUN.items() if key != "finished"}
    figures = evaluation(0.7, length_controlled=fair, left_out={"prompts_only_model": 3, "responses": 0})
    figures["win_rates"] |= {"tie_rate": 0.3}
    warning = "the chosen log-ratio fell"
    folder = write_run(tmp_path / "gdpo", unfinished, evaluations={"greedy": figures}, drift=over_optimisation(warning))
    gone = "At equal length there is no clear difference from sft: gdpo 55.0% [45.0, 65.0]."
    far = "That is extrapolated: nearly all responses of one side are the longer ones (gdpo)."
    assert said(folder)[1] == [
        "gdpo: the chosen log-ratio fell",
        f"{gone} {far}",
        "Few of the comparisons were judged: gdpo 87.5%. The others failed.",
        "Many ties, which the binary win rate counts as wins: gdpo 30.0%.",
        "gdpo: left out of the comparison: 3 prompts only model.",
        "Not finished when this was written: gdpo.",
    ]


def test_longer_is_what_wins_where_length_was_not_controlled(tmp_path):
    """12.5 words against 9.25; the longer one wins 80 [70, 90]."""
    warned = said(run(tmp_path, "gdpo", 0.7, longer_wins=estimate(0.8)))[1]
    assert warned[0] == (
        "The judge prefers the longer response, and these are longer: gdpo 80.0% [70.0, 90.0], 12.5 words against 9.2."
    )


@pytest.mark.parametrize(
    ("judge", "name"),
    [
        ("simulated:plan_world_v1:scale=8,noise=0.5", "simulated:plan_world_v1"),
        ("server:gpt:prompt=a", "server:gpt"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_a_judge_by_its_short_name(judge, name):
    assert short(judge) == name
