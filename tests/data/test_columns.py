"""Which unread columns are a mistake, and which are notes: both directions."""

import pytest

from softpref.data.columns import EVERY, how_to_mend, looks_read, meant


@pytest.mark.parametrize(
    "column",
    [
        "label",
        "Labels",
        "softLabel",
        "is_labelled",
        "sample_weight",
        "weights",
        "margin",
        "margins",
        "reward_model",
        "score",
        "chosenScore",
        "mean_scores",
        "rating",
        "modelRating",
        "user_ratings",
        "votes",
        "up_votes",
        "upvotes",
        "n_vote",
        "preference",
        "preferred",
        "prob",
        "probs",
        "proba",
        "p_prob_1",
        "logprob",
        "chosen_logprobs",
        "probability",
        "confidence",
        "confident",
        "agreement",
        "agree",
        "annotators_disagree",
        "winner",
        "better_response",
        "rank",
        "ranks",
        "chosen_rank",
        "modelRank",
        "ranking",
    ],
)
def test_named_like_a_label(column):
    assert looks_read(column)


@pytest.mark.parametrize(
    "column",
    [
        "problem",
        "problem_id",
        "math_problems",
        "probe",
        "franking",
        "frank",
        "prank",
        "operating_system",
        "generating_model",
        "pivoted",
        "devoted",
        "confidential",
        "marginal_note",
        "marginalia",
        "underscore",
        "source",
        "annotator",
        "category",
        "uid",
        "qid",
        "_id",
        "ids",
        "prompt_id",
        "prompt_en",
        "chosen_id",
        "chosen_model",
        "height",
        "messages",
        "metadata",
        "language",
        "turns",
        "",
        "é",
    ],
)
def test_a_note(column):
    assert not looks_read(column)


@pytest.mark.parametrize(
    ("column", "known"),
    [
        ("soft_lable", "soft_label"),
        ("softlabel", "soft_label"),
        ("weigth", "weight"),
        ("Weight", "weight"),
        ("vots_2", "votes_2"),
        ("chosen_rewrad", "chosen_reward"),
        ("promt", "prompt"),
        ("Prompt", "prompt"),
        ("choosen", "chosen"),
        ("rejectd", "rejected"),
        ("respone_1", "response_1"),
        ("completions", "completion"),
        ("lable_source", "label_source"),
        ("score_chosen", None),
        ("label", None),
    ],
)
def test_what_was_meant(column, known):
    """A rating of a side is not that side: only near spellings are proposed."""
    assert meant(column) == known
    assert looks_read(column)


@pytest.mark.parametrize("column", sorted(EVERY))
def test_a_column_that_is_spelt_right_is_no_misspelling(column):
    assert meant(column) is None


def test_the_mend_names_what_was_meant_or_else_all():
    assert how_to_mend("weigth", ["weight"]) == (
        "rename it; did you mean 'weight'?; or move it under meta if it is only a note (--meta_columns weigth)"
    )
    assert "known: prompt, weight;" in how_to_mend("margin", ["weight", "prompt"])
