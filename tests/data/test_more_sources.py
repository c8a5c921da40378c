"""The published formats that hold votes by name, ratings and rankings, on rows made by ``published_rows``."""

import pytest

import published_rows as published
from softpref.data.read_options import ReadOptions
from softpref.data.sources.importing import IDENTICAL, as_messages, as_plain, import_rows
from softpref.data.sources.known import SOURCES
from softpref.data.validation import pairs_from_rows
from softpref.errors import DataError

FRUIT = [{"role": "user", "content": "Name a fruit."}]


def imported(name, *rows):
    return import_rows(SOURCES[name], list(enumerate(rows, start=1)), "rows")


def only(name, *rows):
    found = imported(name, *rows)
    assert not found.left_out
    [pair] = found.pairs
    return pair


def votes(pair):
    return tuple(pair[name] for name in ("votes_1", "votes_2", "votes_tie"))


def rewards(pair):
    return pair["chosen"], pair["rejected"], pair["chosen_reward"], pair["rejected_reward"]


EVERY = {
    "multipref": [published.multipref()],
    "prism": [published.prism("An apple.", 90), published.prism("A stone.", 20)],
    "shp": [published.shp()],
    "webgpt": [published.webgpt()],
    "oasst": [
        published.oasst("m0", "Name a fruit.", role="prompter"),
        published.oasst("m1", "An apple.", "m0", rank=0.0),
        published.oasst("m2", "A stone.", "m0", rank=1.0),
    ],
    "nectar": [published.nectar(2, 1)],
    "pku-saferlhf": [published.pku()],
    "pku-saferlhf-safer": [published.pku()],
    "dices": [published.dices("1", "Hello.", "No"), published.dices("1", "Go away.", "Yes")],
    "ultrafeedback-binarized": [
        published.h4_binarized(),
        published.argilla_binarized(),
        published.argilla_binarized(clean=False),
    ],
    "argilla": [published.argilla("response_a", "response_b")],
    "label-studio": [published.label_studio("left", "right")],
    "nemo": [published.nemo()],
    "nemo-rl": [published.nemo_rl(0, 1)],
}


@pytest.mark.parametrize("texts", [as_plain, as_messages])
@pytest.mark.parametrize("name", EVERY)
def test_what_is_imported_is_read_as_pairs(name, texts):
    """As text and as messages, with p for every pair."""
    made = [texts(pair) for pair in imported(name, *EVERY[name]).pairs]
    pairs = pairs_from_rows(list(enumerate(made, start=1)), name, ReadOptions(votes="mean", reward_scale=0.1))
    assert len(pairs) == (3 if name == "ultrafeedback-binarized" else 1)
    assert pairs.labelled


def test_multipref_keeps_who_voted():
    """Slightly and clearly better are a vote each: two for A, one tie, one for B."""
    pair = only("multipref", published.multipref())
    assert votes(pair) == (2, 1, 1)
    assert pair["meta"]["annotators"] == {"n0": 1.0, "n1": 0.5, "e0": 1.0, "e1": 0.0}
    assert (pair["prompt"], pair["id"]) == (FRUIT, "c1")
    assert imported("multipref", published.multipref((None,), ())).left_out == {"nobody's preference is there": 1}
    with pytest.raises(DataError, match=r"normal_worker_annotations\.overall_pref: is 'maybe'"):
        imported("multipref", published.multipref(("maybe",)))


def test_prism_pairs_the_answers_to_one_prompt():
    """Three answers of 90, 50 and 20 are three pairs, wherever their rows stand; a later turn is left out."""
    rows = [published.prism("b", 50), published.prism("x", 9, turn=1, interaction="int2"), published.prism("a", 90)]
    found = imported("prism", *rows, published.prism("c", 20), published.prism("d", None))
    assert list(map(rewards, found.pairs)) == [("a", "b", 90, 50), ("a", "c", 90, 20), ("b", "c", 50, 20)]
    assert found.left_out == {"a later turn, whose history stands in other rows": 1}


@pytest.mark.parametrize(("labels", "counts"), [(1, (1, 0, 0)), (0, (0, 1, 0))])
def test_shp_is_one_vote(labels, counts):
    pair = only("shp", published.shp(labels))
    assert votes(pair) == counts
    assert (pair["prompt"], pair["meta"]["score_ratio"]) == ("Which fruit keeps longest?", 3.0)
    with pytest.raises(DataError, match="labels: is 2; give 1 where A is better, or 0"):
        imported("shp", published.shp(2))


@pytest.mark.parametrize(("score", "p"), [(1.0, 1.0), (0.5, 0.75), (0.0, 0.5), (-1.0, 0.0)])
def test_webgpt_by_hand(score, p):
    assert only("webgpt", published.webgpt(score))["soft_label"] == p


def test_webgpt_leaves_empty_answers_out_and_refuses_scores_that_are_no_opposites():
    assert imported("webgpt", published.webgpt(first=" ")).left_out == {"an answer is empty": 1}
    with pytest.raises(DataError, match=r"score_0: is 0\.5 beside 0\.5"):
        imported("webgpt", {**published.webgpt(0.5), "score_1": 0.5})


def test_oasst_ranks_sisters_under_their_whole_conversation():
    rows = [
        published.oasst("m3", "Another.", "m1", role="prompter"),
        published.oasst("m4", "A pear.", "m3", rank=1.0),
        published.oasst("m5", "A plum.", "m3", rank=0.0),
        published.oasst("m6", "A rock.", "m3", rank=2.0, deleted=True),
        published.oasst("m7", "A fig.", "m3"),
        *EVERY["oasst"],
    ]
    found = imported("oasst", *rows)
    texts = [(pair["response_1"], pair["response_2"], votes(pair)) for pair in found.pairs]
    assert texts == [("A plum.", "A pear.", (1, 0, 0)), ("An apple.", "A stone.", (1, 0, 0))]
    assert found.pairs[0]["prompt"] == published.turns("Name a fruit.", "An apple.", "Another.")
    assert imported("oasst", rows[-3], rows[-2]).left_out == {"a tree in which no two answers to one message are ranked": 1}
    with pytest.raises(DataError, match="parent_id: 'm1' is no message of its tree"):
        imported("oasst", *rows[:3])


def test_nectar_makes_all_pairs_and_ties_equal_ranks():
    found = imported("nectar", published.nectar(3, 1, 3))
    assert [(pair["response_1"], pair["response_2"]) for pair in found.pairs] == [("answer 1", "answer 3")]
    assert found.left_out == {IDENTICAL: 1}
    assert len(imported("nectar", published.nectar(*range(1, 8))).pairs) == 21
    assert only("nectar", published.nectar(2, 1))["prompt"] == FRUIT
    with pytest.raises(DataError, match="prompt: does not end with 'Assistant:'"):
        imported("nectar", published.nectar(1, 2, prompt="\n\nHuman: hi"))


def test_pku_has_two_questions():
    assert votes(only("pku-saferlhf", published.pku())) == (1, 0, 0)
    assert votes(only("pku-saferlhf-safer", published.pku())) == (0, 1, 0)
    assert imported("pku-saferlhf", published.pku(better=None)).left_out == {"no better_response_id": 1}


def test_dices_takes_the_share_of_raters():
    """Of three raters two say safe and one is unsure: 2.5 of 3; the other answer is unsafe to one of two."""
    rows = [published.dices(str(k), "Hello.", said) for k, said in enumerate(("No", "No", "Unsure"))]
    rows += [published.dices(str(k), "Go away.", said) for k, said in enumerate(("Yes", "No"))]
    found = imported("dices", *rows, published.dices("9", "Alone.", "No", context="USER: bye"))
    assert list(map(rewards, found.pairs)) == [("Hello.", "Go away.", pytest.approx(2.5 / 3), 0.5)]
    assert found.left_out == {"a context with one answer only": 1}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (published.h4_binarized(), (8.5, 6.0)),
        (published.argilla_binarized(), (5.0, 3.75)),
        (published.argilla_binarized(clean=False), (5.0, 3.75)),
    ],
)
def test_binarized_ultrafeedback_in_its_three_forms(row, expected):
    pair = only("ultrafeedback-binarized", row)
    assert pair["prompt"] == FRUIT
    assert rewards(pair) == ("An apple.", "A stone.", *expected)


def test_binarized_ultrafeedback_leaves_out():
    other = {**published.h4_binarized(), "rejected": published.turns("Name a stone.", "A stone.")}
    found = imported("ultrafeedback-binarized", other, published.h4_binarized(scores=(None, 1.0)))
    assert found.left_out == {"the two sides differ before the last answer": 1, "a rating is missing": 1}


def test_argilla_counts_who_has_submitted():
    row = published.argilla("response_a", "response_b", "response_a")
    row["responses"]["preference"][2]["status"] = "draft"
    pair = only("argilla", row)
    assert votes(pair) == (1, 1, 0)
    assert pair["meta"] == {"batch": 3, "annotators": {"u0": 1.0, "u1": 0.0}}
    assert (pair["response_1"], pair["response_2"]) == ("An apple.", "A stone.")


def test_argilla_rankings_and_its_first_form():
    ranking = [{"value": "response-2", "rank": 1}, {"value": "response-1", "rank": 2}]
    fields = {"instruction": "Name a fruit.", "response-1": "A stone.", "response-2": "An apple."}
    row = published.argilla(ranking, fields=fields)
    assert votes(only("argilla", row)) == (0, 1, 0)
    elder = {"fields": fields, "ranking": [{"user_id": "u", "value": ranking, "status": "submitted"}], "metadata": "{}"}
    assert votes(only("argilla", elder)) == (0, 1, 0)


def test_argilla_leaves_suggestions_out_and_names_what_does_not_fit():
    assert imported("argilla", published.argilla()).left_out == {"no answer names one of the two sides": 1}
    assert imported("argilla", published.argilla("good")).left_out == {"no answer names one of the two sides": 1}
    with pytest.raises(DataError, match="fields: holds no two sides"):
        imported("argilla", published.argilla("a", fields={"prompt": "q", "text": "a"}))


def test_label_studio_counts_what_was_not_cancelled():
    pair = only("label-studio", published.label_studio("left", "right", "left", cancelled=(2,)))
    assert votes(pair) == (1, 1, 0)
    assert pair["meta"]["annotators"] == {"0": 1.0, "1": 0.0}
    assert (pair["prompt"], pair["response_1"], pair["id"]) == ("Name a fruit.", "An apple.", "12")
    assert imported("label-studio", published.label_studio()).left_out == {"nobody has submitted a verdict": 1}
    with pytest.raises(DataError, match="selects 'up', which names no side"):
        imported("label-studio", published.label_studio("up"))


def test_nemo_takes_its_marks_out():
    pair = only("nemo", published.nemo())
    assert pair == {
        "prompt": FRUIT,
        "chosen": "An apple.",
        "rejected": "A stone.",
        "chosen_reward": 4.0,
        "rejected_reward": 1.5,
    }
    system = "<extra_id_0>System\nBe brief.\n<extra_id_1>User\nName a fruit.\n<extra_id_1>Assistant\n"
    assert only("nemo", published.nemo(system))["prompt"] == [{"role": "system", "content": "Be brief."}, *FRUIT]
    assert imported("nemo", published.nemo(rewards=(None, 1))).left_out == {"a reward is missing": 1}
    with pytest.raises(DataError, match="prompt: does not end with"):
        imported("nemo", published.nemo("<extra_id_1>User\nhi"))


def test_nemo_rl_ranks_completions():
    found = imported("nemo-rl", published.nemo_rl(1, 0, 2))
    assert [(pair["response_1"], pair["response_2"]) for pair in found.pairs] == [
        ("answer 0", "answer 1"),
        ("answer 0", "answer 2"),
        ("answer 1", "answer 2"),
    ]


def test_votes_by_name_on_one_pair_come_together():
    """The second record shows the sides the other way round."""
    fields = {"prompt": "Name a fruit.", "response_a": "A stone.", "response_b": "An apple."}
    turned = published.argilla("response_a", fields=fields)
    turned["responses"]["preference"][0]["user_id"] = "other"
    pair = only("argilla", published.argilla("response_a"), turned)
    assert votes(pair) == (1, 1, 0)
    assert pair["meta"]["annotators"] == {"u0": 1.0, "other": 0.0}


def test_every_format_is_tried():
    """Those of ``test_sources`` and those of this file are all that there are."""
    older = {"tldr", "hh", "coplan", "ultrafeedback", "helpsteer2", "helpsteer2-votes", "helpsteer2-strength"}
    assert {*EVERY, *older, "helpsteer3", "helpsteer3-strength", "arena", "arena-55k"} == set(SOURCES)
