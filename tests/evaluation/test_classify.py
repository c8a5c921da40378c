"""The implicit reward on a labelled set: figures by hand, whose margin and beta it is, and what a run folder says itself."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from run_folders import run_record
from softpref.cli.classify import prior_lines
from softpref.data.formats import read_pairs, write_rows
from softpref.data.pairs import PreferencePair, swap_sides
from softpref.data.read_options import ReadOptions
from softpref.demo.small_model import save, small_llama
from softpref.errors import InputError, OptionError
from softpref.evaluation.classification import side_scores
from softpref.evaluation.classify import classification_figures, classify, label_bins, reading_for, subject_of
from softpref.evaluation.implicit_reward import ImplicitReward
from softpref.records.evaluation import ClassificationRecord


def pair(p, prompt="p", chosen="a", rejected="a"):
    return PreferencePair(prompt, chosen, rejected, p)


# -------------------------------------------------------------------------------------------------- figures by hand


def test_figures_by_hand():
    """Margins 2, −1, 0 at p = 0.9, 0.6, 0.8: right, wrong, half. β = ln 3 / 2 makes the first p̂ = s(ln 3) = ¾.

    AUC in both orders: positives have 2, −1, 0, negatives −2, 1, 0. Of nine comparisons 2 wins three, −1 one, 0 one and
    ties once: 5.5/9. Brier: (0.75 − 0.9)², (s(−ln 3 / 2) − 0.6)², (0.5 − 0.8)².
    """
    beta = math.log(3) / 2
    found = classification_figures(np.array([2.0, -1.0, 0.0]), [pair(0.9), pair(0.6, "q"), pair(0.8, "r")], beta)
    assert found.accuracy.value == pytest.approx(0.5)
    assert found.auc.value == pytest.approx(5.5 / 9)
    second = 1 / (1 + math.sqrt(3))
    assert found.brier.value == pytest.approx((0.15**2 + (second - 0.6) ** 2 + 0.3**2) / 3)
    assert (found.accuracy.n, found.accuracy.clusters) == (3, 3)
    assert (found.pairs, found.prompts, found.ties) == (3, 3, 0)


def test_which_side_a_file_names_first_changes_nothing():
    rng = np.random.default_rng(0)
    p = rng.integers(0, 11, 60) / 10
    pairs = [pair(float(x), f"prompt {i % 20}", "a b" * (i % 3 + 1), "c") for i, x in enumerate(p)]
    h = rng.normal(size=60)
    flip = rng.random(60) < 0.5
    flipped = [swap_sides(one) if turn else one for one, turn in zip(pairs, flip, strict=True)]
    ours = classification_figures(h, pairs, 0.5)
    theirs = classification_figures(np.where(flip, -h, h), flipped, 0.5)
    for name in ("accuracy", "auc", "brier", "log_score", "ece", "longer_wins"):
        assert getattr(theirs, name).value == pytest.approx(getattr(ours, name).value)
    assert [row.count for row in theirs.by_bin] == [row.count for row in ours.by_bin]


def test_auc_exists_where_the_better_side_always_stands_first():
    """Files of chosen and rejected have one class only; in both orders there are two."""
    h = np.random.default_rng(1).normal(0.5, 1, 50)
    found = classification_figures(h, [pair(1.0, str(i)) for i in range(50)], None)
    expected = roc_auc_score([1] * 50 + [0] * 50, np.concatenate([h, -h]))
    assert found.auc.value == pytest.approx(expected)


def test_the_gain_over_length_is_on_the_same_pairs():
    """The margin is right on 3 of 4, the longer side on 1, with one tie of lengths: ¾ − 1½/4 = ⅜."""
    h = np.array([1.0, 2.0, 3.0, -1.0])
    sides = (("a a", "a"), ("a", "a"), ("a", "a a"), ("a", "a a"))
    found = classification_figures(h, [pair(0.9, str(i), *two) for i, two in enumerate(sides)], None)
    assert found.over_longer.value == pytest.approx(0.375)
    assert found.longer_wins.value + found.over_longer.value == found.accuracy.value


def test_without_a_beta_there_is_no_calibration():
    found = classification_figures(np.array([1.0, -1.0]), [pair(0.9), pair(0.2)], None)
    assert [getattr(found, name) for name in ("brier", "log_score", "ece", "reliability")] == [None] * 4
    assert found.accuracy.value == 1.0


def test_bins_by_hand():
    """0.95 and 0.05 are equally sure; 0.6 and 0.4 stand together; 1 in the last bin; ½ in the first, without accuracy."""
    p = np.array([0.95, 0.05, 0.6, 0.4, 0.5, 1.0])
    assert [row.count for row, _ in label_bins(p)] == [1, 2, 0, 0, 3]
    found = classification_figures(np.array([2.0, -4.0, 1.0, 1.0, 7.0, 0.0]), [pair(x, str(x)) for x in p], None).by_bin
    assert found[0].accuracy is None
    assert found[1].accuracy.value == 0.5
    assert found[1].mean_margin == pytest.approx(0.0)
    assert (found[2].count, found[2].accuracy, found[2].mean_margin) == (0, None, None)
    assert found[4].accuracy.value == pytest.approx(2.5 / 3)
    assert found[4].mean_margin == pytest.approx((2 + 4 + 0) / 3)


def test_reliability_counts_both_orders():
    """p̂ = s(ln 3) = ¾ with p = 0.9, and its mirror ¼ with 0.1."""
    found = classification_figures(np.array([math.log(3)]), [pair(0.9)], 1.0).reliability
    filled = [(row.low, row.count, row.mean_predicted, row.mean_label) for row in found if row.count]
    assert [tuple(pytest.approx(x) for x in row) for row in filled] == [(0.2, 1, 0.25, 0.1), (0.7, 1, 0.75, 0.9)]
    assert len(found) == 10


def test_the_longer_response_as_a_baseline():
    pairs = [pair(0.9, "p", "a b", "c"), pair(0.9, "q", "a", "b c"), pair(0.2, "r", "a", "b c")]
    assert classification_figures(np.zeros(3), pairs, None).longer_wins.value == pytest.approx(2 / 3)


# -------------------------------------------------------------------------------------------------- run folders

PAIRS = [
    {"prompt": "make tea :", "response_1": " boil the water , pour", "response_2": " wait", "soft_label": 0.9},
    {
        "prompt": "make tea :",
        "response_1": " warm the pot",
        "response_2": " add leaves , pour water",
        "soft_label": 0.3,
    },
    {"prompt": "for two ?", "response_1": " yes", "response_2": " no", "soft_label": 0.5},
]


@pytest.fixture(scope="module")
def place(word_tokenizer, tmp_path_factory):
    root = tmp_path_factory.mktemp("classify")
    for seed, name in enumerate(("policy", "sft", "other")):
        save(
            small_llama(word_tokenizer, hidden=16, layers=1, heads=2, context=64, seed=seed),
            word_tokenizer,
            root / name,
        )
    write_rows(root / "pairs.jsonl", PAIRS)
    return root


def a_run(place, **method):
    """The policy's folder as a run that was trained against sft."""
    base = "sft" if method.get("loss_type") == "sft" else "dpo"
    record = run_record(method={"base": base, **method}, reference="abc", model={"start": str(place / "sft")})
    record.write(place / "policy" / "run.json")
    (place / "policy" / "recipe.yaml").write_text(yaml.safe_dump({"model": str(place / "sft"), "ref_model": None}))
    return str(place / "policy"), record


def sides(place, name):
    from softpref.data.formats import read_pairs

    return side_scores(str(place / name), read_pairs(place / "pairs.jsonl"))


def test_a_run_folder_knows_its_reference_and_its_beta(place, tmp_path):
    run, _ = a_run(place)
    result = classify(run, place / "pairs.jsonl", tmp_path)
    assert ClassificationRecord.read(tmp_path / "classification.json").as_dict() == result.as_dict()
    assert (result.reference, result.beta, result.method) == (str(place / "sft"), 0.3, "gdpo")
    h = sides(place, "policy").logps - sides(place, "sft").logps
    means = [row.mean_margin for row in result.by_bin]
    # p = 0.3 is read as 0.7 with its sides exchanged, and the tie lies in the first bin
    assert means == pytest.approx([h[2, 0] - h[2, 1], None, h[1, 0] - h[1, 1], None, h[0, 0] - h[0, 1]], abs=1e-6)


def test_votes_become_p_by_the_prior_of_the_run(place, tmp_path):
    """One pair of three votes against one: (3 + a) / (4 + 2a), with the run's a = 1.5 and with one of the user's own."""
    run, record = a_run(place)
    reading = replace(record.data.reading, label_method="votes", vote_prior=1.5)
    replace(record, data=replace(record.data, reading=reading)).write(place / "policy" / "run.json")
    row = {"prompt": "for two ?", "response_1": " yes", "response_2": " no", "votes_1": 3, "votes_2": 1, "votes_tie": 0}
    write_rows(tmp_path / "votes.jsonl", [row])
    options = ReadOptions(identical="drop")
    assert read_pairs(tmp_path / "votes.jsonl", reading_for(run, options))[0].soft_label == pytest.approx(4.5 / 7, abs=1e-15)
    result = classify(run, tmp_path / "votes.jsonl", tmp_path, reading=options)
    assert (result.vote_prior, result.run_vote_prior) == (1.5, 1.5)
    [line] = prior_lines(result)
    assert line == "votes became p by the run's own prior, Beta(1.5, 1.5)"
    result = classify(run, tmp_path / "votes.jsonl", tmp_path, reading=replace(options, vote_prior=3.0))
    [line] = prior_lines(result)
    assert "by Beta(3, 3), those of the run by Beta(1.5, 1.5): equal votes are other labels here" in line
    assert reading_for(run, ReadOptions(votes="mean")) == ReadOptions(votes="mean")
    assert list(prior_lines(classify(run, place / "pairs.jsonl", tmp_path))) == []
    a_run(place)


def test_a_reference_model_of_the_recipe_comes_first(place):
    run, _ = a_run(place)
    recipe = {"model": str(place / "sft"), "ref_model": str(place / "other")}
    (place / "policy" / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert subject_of(run).reference == str(place / "other")
    a_run(place)
    assert subject_of(run, reference=str(place / "other")).reference == str(place / "other")


def test_a_method_of_means_without_reference_has_such_margins(place, tmp_path):
    """SimPO: log-probs per token, and no reference."""
    run, record = a_run(place, loss_type="simpo", reduction="mean")
    replace(record, reference=None).write(place / "policy" / "run.json")
    result = classify(run, place / "pairs.jsonl", tmp_path)
    assert (result.reference, result.margin) == (None, "difference of log π per token")
    scores = sides(place, "policy")
    h = scores.logps / scores.lengths
    assert result.by_bin[4].mean_margin == pytest.approx(h[0, 0] - h[0, 1], abs=1e-6)
    assert scores.lengths[0].tolist() == [6, 2]  # five words and one, each with its terminator
    with pytest.raises(OptionError, match="was trained without a reference"):
        subject_of(run, reference=str(place / "sft"))


def test_any_other_model_must_be_told(place, tmp_path):
    with pytest.raises(OptionError, match="is no run folder, so its reference is not known"):
        classify(str(place / "other"), place / "pairs.jsonl", tmp_path)
    told = classify(str(place / "other"), place / "pairs.jsonl", tmp_path, str(place / "sft"))
    assert (told.beta, told.brier) == (None, None)
    assert subject_of(str(place / "other"), str(place / "sft"), 0.1).reward == ImplicitReward(beta=0.1)


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ({}, {"beta": 0.2}, r"was trained with beta 0\.3: leave beta out"),
        ({"loss_type": "sft"}, {}, "was trained by sft, which compares nothing"),
    ],
)
def test_what_has_no_effect_is_refused(place, method, arguments, message):
    run, _ = a_run(place, **method)
    with pytest.raises(OptionError, match=message):
        subject_of(run, **arguments)


def test_a_reference_that_is_gone_is_named(place):
    run, _ = a_run(place)
    (place / "policy" / "recipe.yaml").write_text(yaml.safe_dump({"model": str(place / "gone")}))
    with pytest.raises(InputError, match=r"was trained against .*gone, which is not there; name it with --reference"):
        subject_of(run)


def test_a_base_that_is_not_the_reference_is_refused(place):
    """A PiSSA adapter begins away from its base: margins against the base are not those of training."""
    run, record = a_run(place)
    replace(record, model=replace(record.model, is_reference=False)).write(place / "policy" / "run.json")
    with pytest.raises(InputError, match=r"did not start at its base .* name it with --reference"):
        subject_of(run)
    assert subject_of(run, reference=str(place / "sft")).reference == str(place / "sft")
    a_run(place)


def test_a_file_of_something_else_is_named(place):
    a_run(place)
    (place / "policy" / "run.json").write_text('{"a": 1}')
    with pytest.raises(
        InputError, match=r"run\.json: object missing required field method; it was not written by softpref train"
    ):
        subject_of(str(place / "policy"))


def test_pairs_need_labels(place, tmp_path):
    run, _ = a_run(place)
    write_rows(tmp_path / "bare.jsonl", [{"prompt": "wait", "chosen": "a", "rejected": "b"}])
    with pytest.raises(InputError, match="have no label"):
        classify(run, tmp_path / "bare.jsonl", tmp_path)
