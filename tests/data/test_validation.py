"""Rows become labelled, oriented pairs, or one error that names every fault with its mend."""

import hashlib
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softpref.core.soft_labels import fit_beta_prior
from softpref.data.pairs import PreferencePair, fingerprint, text_of
from softpref.data.read_options import ReadOptions
from softpref.data.validation import completions_from_rows, pairs_from_rows
from softpref.data.written import written_row
from softpref.errors import DataError, OptionError

ROW = {"prompt": "make tea", "chosen": "boil the water", "rejected": "wait"}


def read(*rows, **options):
    return pairs_from_rows(enumerate(rows, start=1), "pairs.jsonl", ReadOptions(**options))


def faults_of(*rows, **options):
    with pytest.raises(DataError) as caught:
        read(*rows, **options)
    assert str(caught.value).startswith("pairs.jsonl: ")
    return caught.value.faults


def label_of(options=None, **columns):
    [pair] = read({**ROW, **columns}, **(options or {}))
    return pair.soft_label, pair.swapped


# -------------------------------------------------------------------------------------------------- labels, by hand


@pytest.mark.parametrize(
    ("columns", "options", "p", "swapped"),
    [
        ({"soft_label": 0.8}, {}, 0.8, False),
        ({"soft_label": 0.25}, {}, 0.75, True),
        ({"soft_label": 0}, {}, 1.0, True),
        ({"soft_label": 1}, {}, 1.0, False),
        ({"soft_label": "0.75"}, {}, 0.75, False),
        ({"soft_label": 0.5}, {}, 0.5, False),
        # 3 votes and half a tie of 5
        ({"votes_1": 3, "votes_2": 1, "votes_tie": 1}, {"votes": "mean"}, 3.5 / 5, False),
        ({"votes_1": 1, "votes_2": 3}, {"votes": "mean"}, 3 / 4, True),
        ({"votes_1": 0, "votes_2": 0, "votes_tie": 3}, {"votes": "mean"}, 0.5, False),
        # Laplace: (3 + ½ + 1) / (5 + 2)
        ({"votes_1": 3, "votes_2": 1, "votes_tie": 1}, {"vote_prior": 1.0}, 4.5 / 7, False),
        ({"votes_1": 0, "votes_2": 2}, {"vote_prior": 1.0}, 3 / 4, True),
        # s(0.5 · (2 − 1)) and s(0.5 · (−4))
        ({"chosen_reward": 2.0, "rejected_reward": 1.0}, {"reward_scale": 0.5}, 1 / (1 + math.exp(-0.5)), False),
        ({"chosen_reward": -1, "rejected_reward": 3}, {"reward_scale": 0.5}, 1 / (1 + math.exp(-2)), True),
        ({"chosen_reward": 1.5, "rejected_reward": 1.5}, {"reward_scale": 3.0}, 0.5, False),
    ],
)
def test_labels_by_hand(columns, options, p, swapped):
    assert label_of(options, **columns) == (pytest.approx(p, abs=1e-15), swapped)


def test_the_label_is_for_response_1_and_the_texts_go_with_it():
    """P(response_1) = 0.25 means that response_2 is preferred with 0.75."""
    [pair] = read({"prompt": "q", "response_1": "worse", "response_2": "better", "soft_label": 0.25})
    assert (pair.chosen, pair.rejected, pair.soft_label, pair.swapped) == ("better", "worse", 0.75, True)


def test_a_prior_is_fitted_to_the_file_and_recorded():
    """p = (v1 + t/2 + a) / (n + 2a), with the a under which the file's votes are likeliest."""
    votes = [(5, 0, 0), (4, 1, 0), (3, 1, 1), (0, 5, 0), (2, 2, 1), (1, 4, 0)]
    rows = [{**ROW, "prompt": f"tea {k}", "votes_1": a, "votes_2": b, "votes_tie": t} for k, (a, b, t) in enumerate(votes)]
    found, a = read(*rows), fit_beta_prior(*zip(*votes, strict=True)).a
    expected = [(v1 + t / 2 + a) / (v1 + v2 + t + 2 * a) for v1, v2, t in votes]
    assert [pair.soft_label for pair in found] == pytest.approx([max(p, 1 - p) for p in expected])
    assert found.reading.vote_prior == a
    assert found[2].label_source == {"method": "votes", "votes": [3, 1, 1], "vote_prior": a}
    assert 0.5 < found[0].soft_label < 1


def test_the_raw_mean_is_recorded_as_such():
    found = read({**ROW, "votes_1": 2, "votes_2": 1}, votes="mean")
    assert found[0].label_source == {"method": "votes", "votes": [2, 1, 0], "vote_prior": None}
    assert found.reading.as_dict() == {
        "rows": 1,
        "swapped": 0,
        "ties": 0,
        "identical_dropped": 0,
        "label_method": "votes",
        "vote_prior": None,
        "merged": 0,
        "both_bad": 0,
        "both_bad_dropped": 0,
        "notes": (),
        "doubts": (),
    }


def test_single_votes_cannot_show_disagreement():
    with pytest.raises(OptionError, match=r"pairs\.jsonl: no pair has two votes.*vote_prior"):
        read({**ROW, "votes_1": 1, "votes_2": 0})


def test_rewards_need_a_scale():
    with pytest.raises(OptionError, match=r"pairs\.jsonl: .*set reward_scale"):
        read({**ROW, "chosen_reward": 1, "rejected_reward": 0})


@given(n=st.integers(1, 9), ties=st.integers(0, 5), a=st.floats(0.001, 50))
def test_even_votes_are_a_tie_whatever_the_prior(n, ties, a):
    """(n + t/2 + a) / (2n + t + 2a) = ½ exactly: else a tie is not counted, and under hard it would teach."""
    found = read({**ROW, "votes_1": n, "votes_2": n, "votes_tie": ties}, vote_prior=a)
    assert found[0].soft_label == 0.5
    assert found.reading.ties == 1


@given(st.integers(0, 9), st.integers(0, 9), st.integers(1, 5), st.floats(0.01, 50))
def test_votes_in_the_other_order_give_the_mirrored_pair(v1, v2, tie, a):
    rows = [{**ROW, "votes_1": x, "votes_2": y, "votes_tie": tie} for x, y in ((v1, v2), (v2, v1))]
    [one], [other] = (read(row, vote_prior=a) for row in rows)
    assert one.soft_label == pytest.approx(other.soft_label, abs=1e-15)
    assert v1 == v2 or one.chosen == other.rejected


# -------------------------------------------------------------------------------------------------- counts


def test_ties_are_kept_and_counted():
    found = read(*({**ROW, "soft_label": p} for p in (0.5, 0.2, 0.5, 0.9)))
    assert [pair.soft_label for pair in found] == [0.5, 0.8, 0.5, 0.9]
    assert (found.reading.rows, found.reading.ties, found.reading.swapped) == (4, 2, 1)
    assert found.labelled


def test_unlabelled_rows_stay_unlabelled():
    found = read(ROW)
    assert (found[0].soft_label, found.labelled, found.reading.label_method) == (None, False, None)


def test_identical_sides_are_refused():
    [fault] = faults_of({**ROW, "soft_label": 0.9}, {**ROW, "rejected": ROW["chosen"], "soft_label": 0.5})
    assert (fault.row, fault.field, fault.problem) == (2, "chosen, rejected", "are the same text")
    assert "drop" in fault.mend


def test_identical_sides_are_dropped_and_counted_where_asked():
    same = {**ROW, "rejected": ROW["chosen"], "soft_label": 0.5}
    found = read({**ROW, "soft_label": 0.9}, same, {**ROW, "soft_label": 0.1}, same, identical="drop")
    assert [pair.row for pair in found] == [1, 3]
    assert (found.reading.rows, found.reading.identical_dropped, found.reading.ties) == (4, 2, 0)


def test_identical_messages_are_identical():
    turn = [{"role": "assistant", "content": "yes"}]
    [fault] = faults_of({"prompt": [{"role": "user", "content": "?"}], "chosen": turn, "rejected": list(turn)})
    assert fault.problem == "are the same text"


def test_a_dropped_pair_takes_no_part_in_the_fitted_prior():
    """Its votes are about one text, and say nothing of how much people disagree about two."""
    votes = [(5, 0), (4, 1), (2, 3)]
    rows = [{**ROW, "prompt": f"tea {k}", "votes_1": a, "votes_2": b} for k, (a, b) in enumerate(votes)]
    same = {**ROW, "rejected": ROW["chosen"], "votes_1": 3, "votes_2": 3}
    assert read(*rows, same, identical="drop").reading.vote_prior == read(*rows).reading.vote_prior


# -------------------------------------------------------------------------------------------------- columns


@pytest.mark.parametrize(
    "column",
    [
        "label",
        "soft_lable",
        "softlabel",
        "preference",
        "margin",
        "weights",
        "score_chosen",
        "chosen_rating",
        "winner",
        "reward",
        "votes",
        "confidence",
        "p_preferred_prob",
        "promt",
    ],
)
def test_an_unread_column_that_looks_like_a_label_is_an_error_naming_it(column):
    [fault] = faults_of({**ROW, "soft_label": 0.8, column: 1})
    assert fault.field == column
    assert "nothing reads it" in fault.problem
    assert "meta" in fault.mend


@pytest.mark.parametrize(
    ("row", "column", "meant"),
    [
        ({**ROW, "soft_label": 0.8, "weigth": 2.0}, "weigth", "weight"),
        ({**ROW, "soft_lable": 0.8}, "soft_lable", "soft_label"),
        ({**ROW, "votes_1": 3, "vots_2": 1}, "vots_2", "votes_2"),
    ],
)
def test_a_misspelt_column_is_named_with_the_one_that_was_meant(row, column, meant):
    """Also where the right spelling stands nowhere in the file: it would be read as a file without labels."""
    [mend] = [fault.mend for fault in faults_of(row) if fault.field == column]
    assert f"did you mean '{meant}'" in mend


def test_a_label_column_of_one_row_only_is_still_seen():
    [fault] = faults_of(ROW, ROW, {**ROW, "margin": 1.0})
    assert fault.field == "margin"


def test_vote_columns_beside_a_soft_label_are_two_sources_of_one_label():
    faults = faults_of({**ROW, "soft_label": 0.8, "votes_1": 3, "votes_2": 1})
    assert any(fault.problem == "are two sources of one label" for fault in faults)


def test_two_namings_of_the_sides_are_refused():
    faults = faults_of({**ROW, "response_1": "a", "response_2": "b", "soft_label": 0.7})
    assert any("stands beside chosen/rejected" in fault.problem for fault in faults)


def test_other_columns_are_kept_under_meta():
    [pair] = read({**ROW, "source": "forum", "annotator": 4, "meta": {"score": 3}, "soft_label": 0.8})
    assert pair.meta == {"source": "forum", "annotator": 4, "score": 3}


def test_everything_that_a_row_says_arrives():
    source = {"method": "judge", "judge": "j"}
    [pair] = read({**ROW, "soft_label": 0.8, "weight": 2, "id": 7, "meta": {"a": 1}, "label_source": source})
    assert pair == PreferencePair(**ROW, soft_label=0.8, weight=2.0, id="7", meta={"a": 1}, label_source=source, row=1)


# -------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("changes", "field", "problem", "mend"),
    [
        ({"prompt": None}, "prompt", "is missing", "give a string"),
        ({"chosen": 3}, "chosen", "is 3", "give a string"),
        ({"rejected": []}, "rejected", "empty list", "drop the row"),
        ({"soft_label": 80}, "soft_label", "80 is not a number in [0, 1]", "divide percentages by 100"),
        ({"soft_label": -0.01}, "soft_label", "-0.01 is not", "probability"),
        ({"soft_label": True}, "soft_label", "true is not", "probability"),
        ({"soft_label": "high"}, "soft_label", '"high" is not', "probability"),
        ({"soft_label": float("nan")}, "soft_label", "NaN is not", "probability"),
        ({"soft_label": 10**400}, "soft_label", "is not a number in [0, 1]", "probability"),
        ({"soft_label": 0.8, "weight": -1}, "weight", "-1 is not", "0 or more"),
        ({"soft_label": 0.8, "weight": "heavy"}, "weight", '"heavy" is not', "0 or more"),
        ({"soft_label": 0.8, "meta": 3}, "meta", "3 is not an object", "JSON object"),
        ({"votes_1": 2.5, "votes_2": 1}, "votes_1", "2.5 is not a whole number", "soft_label"),
        ({"votes_1": -1, "votes_2": 1}, "votes_1", "-1 is not", "0 or more"),
        ({"votes_1": 0, "votes_2": 0}, "votes_1", "nobody voted", "drop the row"),
        ({"votes_1": 2}, "votes_2", "is missing", "count of votes"),
        ({"chosen_reward": 1.0}, "rejected_reward", "is missing", "score"),
        ({"prompt": [{"role": "user", "content": "?"}]}, "chosen", "is not of the prompt's kind", "on all sides"),
    ],
)
def test_a_fault_names_row_field_and_mend(changes, field, problem, mend):
    row = {name: value for name, value in {**ROW, **changes}.items() if value is not None}
    fault = faults_of(row)[0]
    assert (fault.row, fault.field) == (1, field)
    assert problem in fault.problem
    assert mend in fault.mend
    assert str(fault).startswith(f"row 1, {field}: ")


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ({"role": "user"}, "message 1 has no text content"),
        ({"role": "user", "content": None}, "message 1 has no text content"),
        ({"role": "User", "content": "?"}, 'message 1 has the role "User"'),
        ("?", "message 1 has no text content"),
    ],
)
def test_messages_are_checked(message, problem):
    turn = [{"role": "assistant", "content": "a"}], [{"role": "assistant", "content": "b"}]
    [fault] = faults_of({"prompt": [message], "chosen": turn[0], "rejected": turn[1]})
    assert (fault.field, fault.problem) == ("prompt", problem)


USER, YES = {"role": "user", "content": "tea?"}, {"role": "assistant", "content": "yes"}
HOT = {"role": "tool", "content": "hot"}


@pytest.mark.parametrize(
    ("response", "problem", "mend"),
    [
        ([USER, YES], "repeats the prompt", "only the assistant message"),
        ([USER, YES, USER, YES], "repeats the prompt", "only the assistant message"),
        ([YES, USER, YES], 'holds messages of the roles ["assistant", "user", "assistant"]', "the assistant's messages alone"),
        ([YES, HOT], 'holds messages of the roles ["assistant", "tool"]', "the assistant's messages alone"),
        ([HOT, YES], 'holds messages of the roles ["tool", "assistant"]', "the assistant's messages alone"),
        ([USER], 'is a message of the role "user"', "the assistant's messages alone"),
        ([{"role": "system", "content": "?"}], 'is a message of the role "system"', "the assistant's messages alone"),
        ("yes", "is not of the prompt's kind", "on all sides"),
    ],
)
def test_a_response_is_the_assistant_s(response, problem, mend):
    rows = [
        {"prompt": [USER], "chosen": response, "rejected": [{**YES, "content": "no"}]},
        {"prompt": [USER], "chosen": [{**YES, "content": "no"}], "rejected": response},
    ]
    for row, field in zip(rows, ("chosen", "rejected"), strict=True):
        [fault] = faults_of(row)
        assert (fault.row, fault.field, fault.problem) == (1, field, problem)
        assert mend in fault.mend


def test_a_completion_is_the_assistant_s_too():
    with pytest.raises(DataError, match=r"completion: holds messages of the roles .*; give the assistant's messages alone"):
        completions_from_rows([(1, {"prompt": [USER], "completion": [YES, USER, YES]})], "sft.jsonl")


def test_a_response_may_call_tools_and_go_on():
    [row] = completions_from_rows([(1, {"prompt": [USER], "completion": [YES, HOT, YES]})], "sft.jsonl")
    assert row.completion == [YES, HOT, YES]


@pytest.mark.parametrize(
    "changes",
    [
        {"chosen": "\ud83c"},
        {"id": "\udc80"},
        {"meta": {"a": ["b\ud83c"]}},
        {"meta": {"b\ud83c": 1}},
        {"c\ud83c": "x"},
        {"prompt": [{**USER, "content": "\ud83c"}], "chosen": [YES], "rejected": [{**YES, "content": "no"}]},
    ],
)
def test_half_a_character_is_a_fault_wherever_it_stands(changes):
    """It can be spelt in JSON, and neither tokenised nor saved."""
    fault = faults_of({**ROW, **changes})[0]
    assert (fault.row, fault.field) == (1, next(iter(changes)))
    assert "half a character" in fault.problem


def test_a_whole_character_beyond_the_first_plane_is_none():
    assert read({**ROW, "chosen": "\U0001f375"})[0].chosen == "\U0001f375"


def test_a_number_of_more_digits_than_python_writes():
    fault = faults_of({**ROW, "soft_label": 10**5000})[0]
    assert fault.problem == "a very long int is not a number in [0, 1]"


def test_rows_with_and_without_a_label_do_not_mix():
    [fault] = faults_of({**ROW, "soft_label": 0.8}, ROW, {**ROW, "soft_label": 0.3})
    assert (fault.row, fault.field, fault.problem) == (2, "soft_label", "is missing")


def test_ids_are_given_once():
    [fault] = faults_of({**ROW, "id": "a"}, {**ROW, "id": "b"}, {**ROW, "id": "a"})
    assert (fault.row, fault.field) == (3, "id")
    assert "stands in row 1" in fault.problem


def test_all_faults_together_the_first_twenty_and_a_count():
    """23 bad labels and one bad prompt: 24 faults, 20 shown, 4 more."""
    rows = [{**ROW, "soft_label": 2} for _ in range(23)]
    rows[4] = {**rows[4], "prompt": 5}
    with pytest.raises(DataError) as caught:
        read(*rows)
    first, *shown, last = str(caught.value).splitlines()
    assert first == "pairs.jsonl: 24 faults"
    assert len(shown) == 20
    assert last.strip() == "… and 4 more"
    assert [line.split(",")[0].strip() for line in shown[:6]] == [f"row {i}" for i in (1, 2, 3, 4, 5, 5)]


def test_a_set_without_rows_is_a_fault():
    [fault] = faults_of()
    assert (fault.row, fault.problem) == (0, "holds no rows")


@pytest.mark.parametrize(
    "options",
    [
        {"identical": "keep"},
        {"votes": "median"},
        {"vote_prior": 0},
        {"vote_prior": math.nan},
        {"reward_scale": -1},
        {"votes": "mean", "vote_prior": 1.0},
    ],
)
def test_reading_options_are_checked(options):
    with pytest.raises(OptionError, match=next(reversed(options)) if len(options) == 1 else "no effect"):
        ReadOptions(**options)


def test_completions_by_hand():
    rows = [
        {"prompt": "q", "completion": "a", "weight": 0.5, "id": 1, "source": "s"},
        {"prompt": "r", "completion": ""},
    ]
    one, two = completions_from_rows(enumerate(rows, start=1), "sft.jsonl")
    assert (one.prompt, one.completion, one.weight, one.id, one.meta, one.row) == (
        "q",
        "a",
        0.5,
        "1",
        {"source": "s"},
        1,
    )
    assert (two.completion, two.weight, two.row) == ("", 1.0, 2)


def test_completions_refuse_a_label_that_nothing_reads():
    with pytest.raises(DataError, match="soft_label"):
        completions_from_rows([(1, {"prompt": "q", "completion": "a", "soft_label": 0.8})], "sft.jsonl")


def test_pairs_and_completions_in_one_file_are_refused():
    row = {**ROW, "completion": "boil"}
    for fault in (faults_of(row)[0], caught_in_completions(row)[0]):
        assert (fault.row, fault.field, fault.problem) == (0, "completion", "stands beside chosen")


def test_no_completions_are_a_fault():
    [fault] = caught_in_completions()
    assert (fault.row, fault.problem, fault.mend) == (0, "holds no rows", "give at least one completion")


def caught_in_completions(*rows):
    with pytest.raises(DataError) as caught:
        completions_from_rows(enumerate(rows, start=1), "sft.jsonl")
    return sorted(caught.value.faults, key=lambda fault: fault.field != "completion")


# -------------------------------------------------------------------------------------------------- fingerprint


def test_a_fingerprint_is_of_content_in_order():
    a, b = PreferencePair("q", "a", "b", 0.8), PreferencePair("q", "c", "d", 0.6)
    assert fingerprint([a, b]) == fingerprint([replace(a), replace(b)])
    changed = [[b, a], [a], [replace(a, soft_label=0.81), b], [replace(a, weight=2.0), b], [replace(a, chosen="x"), b]]
    assert len({fingerprint(rows) for rows in [[a, b], *changed]}) == len(changed) + 1


@given(st.dictionaries(st.text(max_size=8), st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)))
def test_whatever_stands_in_a_row_gives_pairs_or_faults(values):
    """Nothing else escapes: no traceback for a user's data."""
    try:
        read({**ROW, **json.loads(json.dumps(values))})
    except (DataError, OptionError) as error:
        assert "pairs.jsonl" in str(error)  # noqa: PT017


# -------------------------------------------------------------------------------------------------- what a template gets

CALL = {"type": "function", "function": {"name": "kettle", "arguments": {"litres": 1}}}
TOOL = {"type": "function", "function": {"name": "kettle", "parameters": {"type": "object"}}}


def conversation(**changes):
    return {"prompt": [USER], "chosen": [YES], "rejected": [{**YES, "content": "no"}], **changes}


@pytest.mark.parametrize("written", [[TOOL], json.dumps([TOOL])])
def test_tools_and_template_arguments_are_kept_on_the_pair(written):
    [pair] = read(conversation(tools=written, chat_template_kwargs={"enable_thinking": False}, soft_label=0.2))
    assert (pair.tools, pair.chat_template_kwargs, pair.swapped) == ([TOOL], {"enable_thinking": False}, True)
    assert pair.meta == {}
    [again] = read(written_row(pair))
    assert (again.tools, again.chat_template_kwargs) == (pair.tools, pair.chat_template_kwargs)


@pytest.mark.parametrize(
    ("changes", "field"), [({"tools": "kettle"}, "tools"), ({"tools": [3]}, "tools"), ({"chat_template_kwargs": 1}, "chat_")]
)
def test_tools_of_another_kind_are_a_fault(changes, field):
    [fault] = faults_of(conversation(**changes))
    assert fault.field.startswith(field)


@pytest.mark.parametrize("column", [{"tools": [TOOL]}, {"chat_template_kwargs": {"enable_thinking": False}}])
def test_a_plain_prompt_has_no_use_for_what_a_template_gets(column):
    [fault] = faults_of({**ROW, **column})
    assert "no effect on a prompt that is a plain string" in fault.problem


def test_completions_keep_what_a_template_gets():
    [row] = completions_from_rows([(1, {"prompt": [USER], "completion": [YES], "tools": [TOOL]})], "sft.jsonl")
    assert (row.tools, row.meta) == ([TOOL], {})


def test_a_row_without_tools_has_the_fingerprint_it_had_before_they_were_read():
    values = {"prompt": "a", "chosen": "b", "rejected": "c", "soft_label": 0.9, "weight": 1.0, "id": "", "meta": {}}
    line = json.dumps({**values, "label_source": {}, "swapped": False, "row": 3}, sort_keys=True) + "\n"
    pair = PreferencePair("a", "b", "c", 0.9, row=3)
    assert fingerprint([pair]) == hashlib.sha256(line.encode()).hexdigest()
    assert fingerprint([pair]) != fingerprint([replace(pair, tools=[TOOL])])


def test_null_content_beside_tool_calls_is_no_text():
    [pair] = read(conversation(chosen=[{"role": "assistant", "content": None, "tool_calls": [CALL]}], soft_label=0.9))
    assert pair.chosen == [{"role": "assistant", "content": None, "tool_calls": [CALL]}]
    assert text_of(pair.chosen) == json.dumps([CALL])


def test_sides_that_differ_in_their_tool_calls_alone_read_differently():
    other = {**CALL, "function": {"name": "oven", "arguments": {}}}
    texts = [text_of([{"role": "assistant", "content": "", "tool_calls": [call]}]) for call in (CALL, other)]
    assert texts[0] != texts[1]
    assert all(texts)


def test_content_parts_that_are_all_text_are_text():
    parts = [{"type": "text", "text": "black "}, {"type": "text", "text": "tea"}]
    [pair] = read(conversation(chosen=[{"role": "assistant", "content": parts}]))
    assert pair.chosen == [{"role": "assistant", "content": "black tea"}]


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ({"role": "assistant", "content": [{"type": "image", "url": "x"}]}, 'message 1 holds a part of the type "image"'),
        ({"role": "assistant", "content": [{"type": "text"}]}, "message 1 has no text content"),
        ({"role": "assistant", "content": []}, "message 1 has no text content"),
        ({"role": "assistant", "content": None, "tool_calls": []}, "message 1 has no text content"),
        ({"role": "assistant", "content": None, "tool_calls": "x"}, 'message 1 has tool_calls "x"'),
        ({"role": ["assistant"], "content": "x"}, 'message 1 has the role ["assistant"]'),
        ({"role": {"a": 1}, "content": "x"}, 'message 1 has the role {"a": 1}'),
    ],
)
def test_messages_of_another_shape_are_named(message, problem):
    [fault] = faults_of(conversation(chosen=[message]))
    assert (fault.field, fault.problem) == ("chosen", problem)
