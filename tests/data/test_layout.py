"""Files in the forms in which people have them: columns of other names, one row per annotator, several responses, no prompt."""

import json

import pytest

from softpref.core.soft_labels import fit_beta_prior
from softpref.data.label_columns import PRIOR_CAPS
from softpref.data.read_options import ReadOptions
from softpref.data.validation import completions_from_rows, pairs_from_rows, prompts_from_rows
from softpref.errors import DataError, OptionError

ROW = {"prompt": "tea?", "response_1": "yes", "response_2": "no"}
USER, YES, NO = (
    {"role": "user", "content": "tea?"},
    {"role": "assistant", "content": "yes"},
    {"role": "assistant", "content": "no"},
)


def read(*rows, **options):
    return pairs_from_rows(enumerate(rows, start=1), "a.jsonl", ReadOptions(**options))


def faults_of(*rows, **options):
    with pytest.raises(DataError) as caught:
        read(*rows, **options)
    return caught.value.faults


def numbered(**of):
    """Rows of different pairs with these values of a column."""
    [(name, values)] = of.items()
    return [{**ROW, "prompt": f"tea {k}?", name: value} for k, value in enumerate(values)]


def p_of_first(pair):
    return 1 - pair.soft_label if pair.swapped else pair.soft_label


# -------------------------------------------------------------------------------------------------- winners


@pytest.mark.parametrize("column", ["winner", "choice", "preferred", "verdict", "selected", "preference", "better_response"])
@pytest.mark.parametrize(
    "values",
    [
        ["1", "2", "tie", "both_bad"],
        [1, 2.0, "Tie", "tie (bothbad)"],
        ["A", "b", "draw", "Both bad"],
        ["response_1", "Response 2", "equal", "bothbad"],
    ],
)
def test_a_winner_is_a_vote(column, values):
    found = read(*numbered(**{column: values}), votes="mean")
    assert [p_of_first(pair) for pair in found] == [1, 0, 0.5, 0.5]
    assert [pair.label_source["votes"] for pair in found] == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]
    assert (found.reading.both_bad, found.reading.ties, found.reading.label_method) == (1, 2, "votes")


def test_both_bad_is_dropped_and_counted_where_asked():
    found = read(*numbered(winner=["1", "both_bad"]), votes="mean", both_bad="drop")
    assert (len(found), found.reading.both_bad_dropped, found.reading.both_bad) == (1, 1, 0)


def test_sides_of_other_names_and_the_words_for_them():
    rows = [{"prompt": f"{k}", "answer_a": "x", "answer_b": "y", "winner": w} for k, w in enumerate(("model_a", "B", "answer_a"))]
    found = read(*rows, votes="mean")
    assert [p_of_first(pair) for pair in found] == [1, 0, 1]
    rows = [{"prompt": f"{k}", "response_0": "x", "response_1": "y", "better_response_id": k} for k in (0, 1)]
    assert [p_of_first(pair) for pair in read(*rows, votes="mean")] == [1, 0]


def test_a_winner_that_is_the_text_of_a_side():
    assert [p_of_first(pair) for pair in read(*numbered(winner=["yes", "no"]), votes="mean")] == [1, 0]


def test_0_and_1_are_asked_about_and_then_what_they_are_said_to_be():
    rows = numbered(choice=[0, 1])
    [fault] = faults_of(*rows)
    assert fault.field == "choice"
    assert "holds 0, 1" in fault.problem
    assert "--winner_first VALUE" in fault.mend
    found = read(*rows, votes="mean", winner_first="0", winner_second="1")
    assert [p_of_first(pair) for pair in found] == [1, 0]
    found = read(*rows, votes="mean", winner_first="1", winner_second="0")
    assert [p_of_first(pair) for pair in found] == [0, 1]


def test_a_missing_winner_is_a_fault_of_its_row():
    [fault] = faults_of(*numbered(winner=["1", None, "2"]))
    assert (fault.row, fault.field, fault.problem) == (2, "winner", "is missing")


# -------------------------------------------------------------------------------------------------- nothing passes unread


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("choice", ["👍", "👎", "👍"]),
        ("Verdict", ["links", "rechts", "egal"]),
        ("chosen_first", ["True", "False", "True"]),
        ("prefers_1", ["yes", "no", "yes"]),
    ],
)
def test_a_verdict_in_unknown_words_is_asked_about_and_no_note_of_a_labelled_file(column, values):
    rows = numbered(**{column: values})
    assert [(fault.field, fault.problem.startswith(f"holds {values[0]}")) for fault in faults_of(*rows)] == [(column, True)]
    assert read(*rows, meta_columns=[column])[0].soft_label is None
    if column == "choice":
        assert len(read(*({**row, "soft_label": 0.8} for row in rows))) == len(rows)


@pytest.mark.parametrize(
    "column",
    "answer strength best pref overall helpfulness gold annotator_1 annotations label quality xyz".split(),  # noqa: SIM905
)
@pytest.mark.parametrize("values", [[0, 1], ["-3", "2"], [0.5, 4.5], [[1, 3], [2, 3]], [{"x": 3}, {"x": 0}], [True, False]])
def test_values_like_a_verdict_are_asked_about_whatever_the_column_is_called(column, values):
    [fault] = faults_of(*numbered(**{column: values}))
    assert fault.field == column
    assert "nothing reads it" in fault.problem
    assert f"--meta_columns {column}" in fault.mend


@pytest.mark.parametrize("column", ["xyz", "answer", "gold"])
def test_values_that_name_sides_are_asked_about(column):
    [fault] = faults_of(*numbered(**{column: ["A", "tie"]}))
    assert fault.problem.startswith("holds A, tie")


@pytest.mark.parametrize(
    ("column", "value"),
    [("turn", 3), ("n_tokens", 5), ("source", "forum"), ("annotator", 4), ("uid", 7), ("year", 3), ("text_id", "1"),
     ("model", "x"), ("tags", ["x", "y"]), ("info", {"a": "tea"}), ("seconds", 312.5), ("is_safe", True)],
)  # fmt: skip
def test_notes_stay_notes(column, value):
    [pair] = read({**ROW, column: value})
    assert pair.meta == {column: value}


def test_what_is_said_to_be_a_note_is_one():
    [pair] = read({**ROW, "overall": 3, "winner": "1"}, meta_columns=["overall", "winner"])
    assert (pair.meta, pair.soft_label, pair.chosen_is_preferred) == ({"overall": 3, "winner": "1"}, None, False)
    [pair] = pairs_from_rows([(1, {**ROW, "gold": 1})], "a", ReadOptions().noting("gold", "meta.x"))
    assert pair.meta == {"gold": 1}


def test_two_verdicts_are_two_sources_of_one_label():
    [fault] = faults_of({**ROW, "winner": "1", "choice": "2"})
    assert (fault.field, fault.problem) == ("winner and choice", "are two sources of one label")


def test_chosen_and_rejected_say_which_is_better_and_response_1_does_not():
    [ranked] = read({"prompt": "q", "chosen": "a", "rejected": "b"})
    [open_] = read(ROW)
    assert (ranked.chosen_is_preferred, open_.chosen_is_preferred) == (True, False)


# -------------------------------------------------------------------------------------------------- columns by other names


def test_columns_are_what_the_user_says():
    row = {"question_text": "q", "left": "a", "right": "b", "liked": "left", "who": "ann"}
    columns = {"prompt": "question_text", "response_1": "left", "response_2": "right", "winner": "liked", "annotator": "who"}
    [pair] = read(row, columns=columns, votes="mean")
    assert (pair.prompt, pair.chosen, pair.rejected, pair.soft_label) == ("q", "a", "b", 1)
    assert pair.meta == {"annotators": {"ann": 1.0}}


def test_faults_name_the_columns_of_the_file():
    row = {"q": "q", "left": 3, "right": "b", "p": 80}
    faults = faults_of(row, columns={"prompt": "q", "response_1": "left", "response_2": "right", "soft_label": "p"})
    assert [fault.field for fault in faults] == ["left", "p"]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"columns": {"winner": "absent"}}, "absent"),
        ({"meta_columns": ["absent"]}, "absent"),
        ({"columns": {"response_1": "x"}}, "response_1"),
    ],
)
def test_a_mapping_that_fits_no_column(options, field):
    assert field in [fault.field for fault in faults_of({**ROW, "x": "z"}, **options)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"choosen": "a"}}, "did you mean 'chosen'"),
        ({"columns": {"chosen": "a", "rejected": "a"}}, "'a' stands there twice"),
        ({"columns": {"chosen": "a"}, "meta_columns": ["a"]}, "in columns and in meta_columns"),
        ({"winner_first": "a"}, "give both"),
        ({"winner_tie": "a"}, "no effect without"),
        ({"winner_first": "a", "winner_second": "a"}, "stands there twice"),
        ({"strength_scale": "3"}, "FIRST..SECOND"),
        ({"strength_scale": "3..3"}, "FIRST..SECOND"),
        ({"strength_scale": "-3..3", "strength_map": {"1": 0.5}}, "leave one"),
        ({"strength_map": {"1": 1.5}}, "probability"),
        ({"both_bad": "keep"}, "both_bad is 'keep'"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(OptionError, match=message):
        ReadOptions(**options)


@pytest.mark.parametrize("options", [{"strength_scale": "-3..3"}, {"winner_first": "x", "winner_second": "y"}])
def test_an_option_about_a_column_that_is_not_there(options):
    [fault] = faults_of({**ROW, "soft_label": 0.8}, **options)
    assert "has no effect" in fault.problem


# -------------------------------------------------------------------------------------------------- how much better


@pytest.mark.parametrize(
    ("scale", "values", "p"), [("-3..3", [-3, 0, 2], [1, 0.5, 1 / 6]), ("7..1", ["1", "4", "7"], [0, 0.5, 1])]
)
def test_a_scale_by_hand(scale, values, p):
    found = read(*numbered(strength=values), strength_scale=scale)
    assert [p_of_first(pair) for pair in found] == pytest.approx(p)
    assert "formula" in found[0].label_source
    assert any("strength_map" in note for note in found.reading.notes)
    [fault] = faults_of(*numbered(strength=[*values, 9]), strength_scale=scale)
    assert (fault.row, fault.field) == (4, "strength")


def test_a_map_by_hand():
    found = read(*numbered(strength=["clear", "slight"]), strength_map={"clear": 0.9, "slight": 0.4})
    assert [p_of_first(pair) for pair in found] == pytest.approx([0.9, 0.4])
    assert "not in strength_map" in faults_of(*numbered(strength=["clear", "none"]), strength_map={"clear": 0.9})[0].problem


@pytest.mark.parametrize(
    ("phrase", "p"),
    [
        ("A is slightly better", 2 / 3),
        ("A-is-clearly-better", 1),
        ("response 2 is better than response 1", 1 / 6),
        ("B is a bit better", 1 / 3),
        ("A is slightly worse", 1 / 3),
        ("strongly prefer B", 0),
        ("A>>B", 1),
        ("B > A", 1 / 3),
        ("A=B", 0.5),
    ],
)
def test_phrases_by_hand(phrase, p):
    found = read(*numbered(strength=[phrase, "A is better", "Tie"]))
    assert [p_of_first(pair) for pair in found] == pytest.approx([p, 5 / 6, 0.5])


def test_a_strength_without_a_side_is_the_winners():
    rows = [{**row, "winner": w} for row, w in zip(numbered(strength=["slightly better", "much better"]), "12", strict=True)]
    assert [p_of_first(pair) for pair in read(*rows)] == pytest.approx([2 / 3, 0])
    [fault] = faults_of(*numbered(strength=["slightly better", "much better"]))
    assert fault.field == "strength"
    mapped = read(*rows, strength_map={"slightly better": 0.6, "much better": 0.9})
    assert [p_of_first(pair) for pair in mapped] == pytest.approx([0.6, 0.1])


@pytest.mark.parametrize(
    "names",
    [("rating_1", "rating_2"), ("score_1", "score_2"), ("response_1_rating", "response_2_rating"), ("Rating 1", "Rating 2")],
)
def test_ratings_of_either_side(names):
    row = {**ROW, names[0]: 5, names[1]: "2"}
    assert read(row, reward_scale=0.5)[0].soft_label == pytest.approx(1 / (1 + 2.718281828459045**-1.5))
    with pytest.raises(OptionError, match=f"{names[0]} and {names[1]} become p .*reading.reward_scale"):
        read(row)


@pytest.mark.parametrize(
    "names",
    [
        ("score_chosen", "score_rejected"),
        ("chosen_rating", "rejected_rating"),
        ("chosen-rating", "rejected-rating"),
        ("chosenScore", "rejectedScore"),
    ],
)
def test_ratings_of_chosen_and_rejected(names):
    [pair] = read({"prompt": "q", "chosen": "a", "rejected": "b", names[0]: 3, names[1]: 1}, reward_scale=1)
    assert pair.soft_label == pytest.approx(0.8807970779778823)


# -------------------------------------------------------------------------------------------------- who voted


def test_one_row_per_annotator_is_one_pair_over_exchanged_sides():
    exchanged = {**ROW, "response_1": "no", "response_2": "yes"}
    rows = [
        {**ROW, "annotator": "a", "choice": 1},
        {**exchanged, "annotator": "b", "choice": 2},
        {**ROW, "annotator": "c", "choice": 2},
        {**ROW, "prompt": "milk?", "annotator": "a", "choice": "tie"},
    ]
    first, second = read(*rows, votes="mean")
    assert (first.label_source["votes"], first.soft_label, first.row) == ([2, 1, 0], pytest.approx(2 / 3), 1)
    assert first.meta == {"annotators": {"a": 1.0, "b": 1.0, "c": 0.0}}
    assert second.label_source["votes"] == [0, 0, 1]
    assert read(*rows, votes="mean").reading.merged == 2


def test_labels_of_annotators_are_votes_and_other_labels_of_theirs_a_mean():
    rows = [{**ROW, "annotator": name, "soft_label": p} for name, p in (("a", 1), ("b", 0), ("c", 1))]
    assert read(*rows, votes="mean")[0].label_source["votes"] == [2, 1, 0]
    rows[1]["soft_label"] = 0.1
    [pair] = read(*rows)
    assert (pair.soft_label, pair.meta["annotators"]) == (pytest.approx(0.7), {"a": 1, "b": 0.1, "c": 1})


def test_votes_of_one_pair_are_added_up():
    rows = [{**ROW, "votes_1": a, "votes_2": b} for a, b in ((1, 0), (1, 0), (0, 1))]
    assert read(*rows, votes="mean")[0].label_source["votes"] == [2, 1, 0]


def test_several_votes_on_a_pair_that_stands_twice_stay_two_pairs():
    rows = [{**ROW, "votes_1": a, "votes_2": b} for a, b in ((3, 0), (1, 2))]
    assert len(read(*rows, votes="mean")) == 2


def test_an_annotator_votes_once():
    [fault] = faults_of({**ROW, "annotator": "a", "choice": 1}, {**ROW, "annotator": "a", "choice": 2})
    assert (fault.row, fault.field) == (2, "annotator")
    assert "in row 1 already" in fault.problem


def test_the_same_pair_twice_without_annotators_stays_twice():
    assert len(read({**ROW, "soft_label": 0.8}, {**ROW, "soft_label": 0.6})) == 2


@pytest.mark.parametrize(
    "columns",
    [
        {"annotator_1": "A", "annotator_2": "B", "annotator_3": "A"},
        {"annotations": [1, 2, "A"]},
        {
            "annotations": [
                {"annotator": "x", "choice": "A"},
                {"annotator": "y", "choice": "B"},
                {"annotator": "z", "choice": "1"},
            ]
        },
    ],
)
def test_several_people_in_one_row(columns):
    [pair] = read({**ROW, **columns}, votes="mean")
    assert pair.label_source["votes"] == [2, 1, 0]
    assert list(pair.meta["annotators"].values()) == [1, 0, 1]


def test_a_count_that_is_missing_is_not_0():
    rows = numbered(votes_1=[3, 2])
    rows = [{**row, "votes_2": 1, "votes_tie": tie} for row, tie in zip(rows, (0, None), strict=True)]
    [fault] = faults_of(*rows)
    assert (fault.row, fault.field, fault.problem) == (2, "votes_tie", "is missing")


def test_half_a_vote_is_refused_with_the_reason():
    [fault] = faults_of({**ROW, "votes_1": 0.5, "votes_2": 2})
    assert "half a vote for each side is one vote in votes_tie" in fault.mend


@pytest.mark.parametrize(("votes", "cap"), [([(3, 1), (1, 2), (2, 1), (2, 2)], PRIOR_CAPS[1]), ([(3, 0)] * 4, PRIOR_CAPS[0])])
def test_a_prior_at_its_bound_is_capped_and_said(votes, cap):
    rows = [{**ROW, "prompt": f"{k}", "votes_1": a, "votes_2": b} for k, (a, b) in enumerate(votes)]
    fitted = fit_beta_prior(*zip(*votes, strict=True)).a
    assert not PRIOR_CAPS[0] <= fitted <= PRIOR_CAPS[1]
    reading = read(*rows).reading
    assert reading.vote_prior == cap
    [doubt] = reading.doubts
    assert "is used" in doubt
    assert "4 pairs with two votes or more are too few" in doubt


def test_a_prior_of_many_pairs_is_not_doubted():
    rows = [{**ROW, "prompt": f"{k}", "votes_1": k % 6, "votes_2": 5 - k % 6} for k in range(60)]
    assert read(*rows).reading.doubts == ()


# -------------------------------------------------------------------------------------------------- several responses


def sides(found):
    return [(pair.chosen, pair.rejected) for pair in found]


def test_ranks_by_hand():
    row = {"prompt": "q", "responses": ["a", "b", "c"], "ranks": [2, 1, 2], "id": "x"}
    found = read(row, vote_prior=1)
    assert sides(found) == [("b", "a"), ("b", "c"), ("a", "c")]
    assert [pair.label_source["votes"] for pair in found] == [[1, 0, 0], [1, 0, 0], [0, 0, 1]]
    assert [pair.id for pair in found] == ["x/2-1", "x/2-3", "x/1-3"]
    assert sides(read(row, vote_prior=1, ranked_pairs="adjacent")) == [("b", "a"), ("a", "c")]
    assert sides(read(row, vote_prior=1, ranked_pairs="best")) == [("b", "a"), ("b", "c")]


def test_a_ranking_that_may_be_ranks_or_an_order_is_asked_about():
    row = {"prompt": "q", "responses": ["a", "b", "c"], "ranking": [2, 3, 1]}
    with pytest.raises(OptionError, match="ranking order"):
        read(row, vote_prior=1)
    assert sides(read(row, vote_prior=1, ranking="ranks")) == [("c", "a"), ("c", "b"), ("a", "b")]
    assert sides(read(row, vote_prior=1, ranking="order")) == [("b", "c"), ("b", "a"), ("c", "a")]


def test_a_ranking_that_means_the_same_either_way_is_read():
    found = read({"prompt": "q", "responses": ["a", "b", "c", "d"], "ranking": [2, 1, 4, 3]}, vote_prior=1)
    assert sides(found)[:3] == [("b", "a"), ("b", "d"), ("b", "c")]


@pytest.mark.parametrize(
    "columns",
    [{"responses": ["a", "b"], "ratings": [1, 4]}, {"completions": [{"text": "a", "score": 1}, {"text": "b", "score": "4"}]}],
)
def test_rated_responses(columns):
    [pair] = read({"prompt": "q", **columns}, reward_scale=1)
    assert (pair.chosen, pair.soft_label) == ("b", pytest.approx(0.9525741268224334))


def test_best_and_worst_by_hand():
    row = {"prompt": "q", **{f"response_{k}": text for k, text in zip("1234", "abcd", strict=True)}, "best": "1", "worst": 4}
    assert sides(read(row, vote_prior=1)) == [("a", "d"), ("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]
    assert "names none of the responses" in faults_of({**row, "best": 9})[0].problem
    assert "one and the same" in faults_of({**row, "best": 4})[0].problem


def test_responses_that_nothing_ranks():
    [fault, *_] = faults_of({"prompt": "q", "responses": ["a", "b", "c"]})
    assert "nothing says which is better" in fault.problem


@pytest.mark.parametrize("responses", [None, [], ["a"]])
@pytest.mark.parametrize("label", [{}, {"ranking": [1, 2]}, {"ratings": [1, 2]}, {"best": "a", "worst": "b"}])
def test_a_row_without_a_list_of_responses_is_a_fault(responses, label):
    whole = {"prompt": "q", "responses": ["a", "b"], **label}
    [fault] = faults_of(whole, {**whole, "responses": responses})
    assert (fault.row, fault.problem) == (2, "is no list of two responses or more")


def test_two_responses_are_two_sides():
    [pair] = read({"prompt": "q", "responses": ["a", "b"], "winner": "2"}, votes="mean")
    assert (pair.chosen, pair.swapped) == ("b", True)


# -------------------------------------------------------------------------------------------------- prompts


def test_conversations_without_a_prompt():
    """TRL's implicit prompt: what both sides begin with, up to the last turn of the assistant."""
    long = [USER, YES, {"role": "user", "content": "milk?"}]
    [pair] = read({"chosen": [*long, YES], "rejected": [*long, NO], "soft_label": 0.8})
    assert (pair.prompt, pair.chosen, pair.rejected) == (long, [YES], [NO])
    faults = faults_of({"chosen": [USER, YES, USER, YES], "rejected": [USER, NO, USER, NO], "soft_label": 0.8})
    assert "differ before the last turn of the assistant (at message 2)" in faults[0].problem


@pytest.mark.parametrize(
    ("chosen", "rejected", "prompt"),
    [
        ("Q: fruit?\nA: An apple", "Q: fruit?\nA: A stone", "Q: fruit?\nA:"),
        ("\n\nHuman: q\n\nAssistant: I do", "\n\nHuman: q\n\nAssistant: I do not", "\n\nHuman: q\n\nAssistant:"),
        ("a b c", "a b", "a"),
    ],
)
def test_texts_without_a_prompt(chosen, rejected, prompt):
    [pair] = read({"chosen": chosen, "rejected": rejected, "soft_label": 0.8})
    assert pair.prompt == prompt
    assert (pair.prompt + pair.chosen, pair.prompt + pair.rejected) == (chosen, rejected)


def test_a_prompt_that_is_text_beside_conversations():
    row = {
        "prompt": "tea?",
        "chosen": [USER, YES],
        "rejected": [USER, NO],
        "score_chosen": 8,
        "score_rejected": 4,
        "messages": [USER, YES],
    }
    [pair] = read(row, reward_scale=0.5)
    assert (pair.prompt, pair.chosen, pair.rejected) == ([USER], [YES], [NO])
    assert read({**row, "chosen": [YES], "rejected": [NO]}, reward_scale=1)[0].prompt == [USER]
    faults = faults_of({**row, "prompt": "milk?"}, reward_scale=1)
    assert faults[0].problem == "is not what the conversations begin with"


def test_messages_in_text_are_messages():
    row = {"prompt": json.dumps([USER]), "chosen": repr([YES]), "rejected": json.dumps([NO]), "soft_label": 0.8}
    assert read(row)[0].prompt == [USER]
    assert "was cut" in faults_of({**row, "chosen": repr([YES])[:-2]})[0].problem


SYSTEM = {"role": "system", "content": "be brief"}


def test_system_and_history_are_part_of_the_conversation():
    row = {**ROW, "soft_label": 0.8, "system": "be brief", "history": [["hi", "hello"]]}
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    pair, other = read(row, {**ROW, "prompt": "milk?", "soft_label": 0.8})
    assert (pair.prompt, pair.chosen, pair.meta) == ([SYSTEM, *turns, USER], [YES], {})
    assert other.prompt == [{**USER, "content": "milk?"}]
    messages = {"prompt": [USER], "chosen": [YES], "rejected": [NO], "system": "be brief"}
    assert read(messages)[0].prompt == [SYSTEM, USER]
    assert read({**messages, "prompt": [SYSTEM, USER]})[0].prompt == [SYSTEM, USER]
    assert "differs" in faults_of({**messages, "prompt": [{**SYSTEM, "content": "?"}, USER]})[0].problem


@pytest.mark.parametrize("column", ["images", "input", "video", "functions", "context", "passage", "instruction"])
def test_what_changes_the_prompt_is_refused_by_name(column):
    [fault] = faults_of({**ROW, "soft_label": 0.8, column: ["x.png"]})
    assert (fault.field, fault.problem) == (column, "is part of the prompt, and nothing reads it")
    assert len(read({**ROW, "soft_label": 0.8, column: ""})) == 1
    assert read({**ROW, "soft_label": 0.8, column: ["x"]}, meta_columns=[column])[0].meta == {column: ["x"]}


def test_completions_and_prompts_have_a_system_message_too():
    [row] = completions_from_rows([(1, {"prompt": "tea?", "completion": "yes", "system": "be brief"})], "a")
    assert (row.prompt, row.completion) == ([SYSTEM, USER], [YES])
    assert prompts_from_rows([(1, {"prompt": "tea?", "system": "be brief", "x": 1})], "a") == [
        (1, {"prompt": [SYSTEM, USER], "x": 1})
    ]
    with pytest.raises(DataError, match="images: is part of the prompt"):
        prompts_from_rows([(1, {"prompt": "tea?", "images": ["a"]})], "a")


@pytest.mark.parametrize(
    "prompt", ["Name a fruit.", "Name a fruit.\n\nOf the north.", [{"role": "user", "content": "Name a fruit."}]]
)
def test_an_instruction_that_the_prompt_holds_is_a_note(prompt):
    answers = {"chosen": YES["content"], "rejected": NO["content"]}
    if isinstance(prompt, list):
        answers = {"chosen": [YES], "rejected": [NO]}
    row = {"instruction": "Name a fruit.", "prompt": prompt, **answers, "soft_label": 0.8}
    assert read(row)[0].meta == {"instruction": "Name a fruit."}
    other = {**row, "instruction": "Name a river."}
    assert [fault.field for fault in faults_of(row, other)] == ["instruction"]


def test_an_instruction_is_the_prompt_where_there_is_no_other():
    assert read({"instruction": "q", "chosen": "a", "rejected": "b", "soft_label": 0.8})[0].prompt == "q"


def test_sharegpt_conversations_are_messages():
    """As a conversation of each side, and as LLaMA-Factory has it: the conversation before two answers."""
    said = [{"from": "human", "value": "tea?"}]
    sides = {"chosen": {"from": "gpt", "value": "yes"}, "rejected": {"from": "gpt", "value": "no"}}
    whole = {name: [*said, turn] for name, turn in sides.items()}
    for row in ({"conversations": said, **sides}, whole, {**whole, "chosen": json.dumps(whole["chosen"])}):
        [pair] = read({**row, "soft_label": 0.8})
        assert (pair.prompt, pair.chosen, pair.rejected) == (
            [{"role": "user", "content": "tea?"}],
            [{"role": "assistant", "content": "yes"}],
            [{"role": "assistant", "content": "no"}],
        )
    [fault] = faults_of({"conversations": [{"from": "parrot", "value": "tea?"}], **sides, "soft_label": 0.8})
    assert fault.problem == 'message 1 has the role "parrot"'
    [row] = completions_from_rows([(1, {"prompt": said, "completion": sides["chosen"]})], "sft.jsonl")
    assert (row.prompt[0]["role"], row.completion[0]["role"]) == ("user", "assistant")


def test_the_pairs_of_a_prompt_can_share_its_weight():
    """Three responses are three pairs, two one: each prompt counts 1, or its own weight."""
    rows = [
        {"prompt": "a", "responses": ["x", "y", "z"], "ranks": [1, 2, 3], "weight": 0.6},
        {"prompt": "b", "responses": ["x", "y"], "ranks": [2, 1]},
    ]
    shared = read(*rows, votes="mean", ranked_weights="prompt")
    assert [pair.weight for pair in shared] == pytest.approx([0.2, 0.2, 0.2, 1.0], rel=1e-12)
    assert [pair.weight for pair in read(*rows, votes="mean")] == [0.6, 0.6, 0.6, 1.0]


@pytest.mark.parametrize("options", [{"ranked_weights": "prompt"}, {"ranked_pairs": "best"}, {"ranking": "order"}])
def test_options_about_rankings_need_some(options):
    [fault] = faults_of({**ROW, "soft_label": 0.8}, **options)
    assert fault.problem.endswith("has no effect")
