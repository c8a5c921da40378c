"""What two sides have in common: by hand, with everything else counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softpref.data.formats import write_rows
from softpref.data.rendering import Prompt
from softpref.errors import DataError, InputError, OptionError
from softpref.evaluation.sides import (
    Answers,
    Prompts,
    answers_from_column,
    answers_from_file,
    is_file_of_responses,
    pair_up,
    read_prompts_of,
)


def rows_file(path, *rows):
    write_rows(path, [{"prompt": prompt, "response": response} for prompt, response in rows])
    return str(path)


# -------------------------------------------------------------------------------------------------- pairing


def test_sample_meets_sample_on_prompts_that_both_have():
    """Prompt 0: three against two, one left over. 1: only ours. 2: only theirs. 3: neither. 4: one against one."""
    ours = Answers("ours", {0: ["a", "b", "c"], 1: ["d"], 4: ["e"]})
    theirs = Answers("theirs", {0: ["A", "B"], 2: ["C"], 4: ["E"]}, unasked=2)
    found = pair_up(ours, theirs, Prompts(tuple("pqrst")))
    assert (found.places, found.ours, found.theirs) == ((0, 0, 4), ("a", "b", "e"), ("A", "B", "E"))
    expected = {"prompts_only_model": 1, "prompts_only_against": 1, "prompts_neither": 1, "responses": 1 + 2}
    assert vars(found.left_out) == expected


def test_a_single_response_meets_every_sample():
    found = pair_up(Answers("ours", {0: ["a", "b", "c"]}), Answers("theirs", {0: ["A"]}), Prompts(("p",)))
    assert (found.ours, found.theirs) == (("a", "b", "c"), ("A", "A", "A"))
    assert found.left_out.responses == 0


counts = st.dictionaries(st.integers(0, 4), st.integers(1, 4))


@given(counts, counts)
def test_nothing_is_lost_and_nothing_is_made_up(ours, theirs):
    """Every response is compared, or counted as left out, or stands on a prompt that is."""
    sides = [
        Answers(n, {i: [f"{n}{i}{k}" for k in range(c)] for i, c in side.items()}) for n, side in (("o", ours), ("t", theirs))
    ]
    common = ours.keys() & theirs.keys()
    if not common:
        with pytest.raises(InputError, match="no prompt in common"):
            pair_up(*sides, Prompts(tuple("abcde")))
        return
    found = pair_up(*sides, Prompts(tuple("abcde")))
    assert set(found.places) == common
    used = len(set(found.ours)) + len(set(found.theirs))
    assert used + found.left_out.responses == sum(side[i] for side in (ours, theirs) for i in common)
    left = found.left_out
    assert left.prompts_only_model + left.prompts_only_against + left.prompts_neither + len(common) == 5


# -------------------------------------------------------------------------------------------------- files


def test_a_file_answers_prompts_of_the_same_text(tmp_path):
    path = rows_file(tmp_path / "r.jsonl", ("q", "1"), ("p", "2"), ("q", "3"), ("other", "4"))
    found = answers_from_file(path, "r", Prompts(("p", "q", "missing", "q")))
    assert found.by_place == {0: ["2"], 1: ["1", "3"], 3: ["1", "3"]}
    assert found.unasked == 1


def test_messages_are_the_same_prompt_by_content(tmp_path):
    prompt = [{"role": "user", "content": "tea?"}]
    path = rows_file(tmp_path / "r.jsonl", ([{"content": "tea?", "role": "user"}], "yes"))
    assert answers_from_file(path, "r", Prompts((prompt, "tea?"))).by_place == {0: ["yes"]}


def test_a_row_without_a_response_is_named(tmp_path):
    write_rows(tmp_path / "r.jsonl", [{"prompt": "p", "response": "a"}, {"prompt": "q"}])
    with pytest.raises(DataError, match="row 2, response: is missing"):
        answers_from_file(str(tmp_path / "r.jsonl"), "r", Prompts(("p",)))


@pytest.mark.parametrize("response", [3, [], [{"role": "user", "content": "a"}], [{"role": "assistant", "content": "a"}]])
def test_a_response_that_is_no_answer_to_its_prompt_is_named(tmp_path, response):
    write_rows(tmp_path / "r.jsonl", [{"prompt": "p", "response": response}])
    with pytest.raises(DataError, match="row 1, response: is "):
        answers_from_file(str(tmp_path / "r.jsonl"), "r", Prompts(("p",)))


def test_a_row_without_a_prompt_is_named(tmp_path):
    write_rows(tmp_path / "r.jsonl", [{"response": "a"}])
    with pytest.raises(DataError, match="row 1, prompt: is missing"):
        answers_from_file(str(tmp_path / "r.jsonl"), "r", Prompts(("p",)))


def test_a_folder_is_a_model_whatever_its_name(tmp_path):
    (tmp_path / "run.jsonl").mkdir()
    assert not is_file_of_responses(str(tmp_path / "run.jsonl"))
    assert is_file_of_responses("absent.jsonl")
    assert is_file_of_responses("x.csv")
    assert not is_file_of_responses("meta-llama/Llama-3")


# -------------------------------------------------------------------------------------------------- prompts


def test_files_alone_say_their_prompts(tmp_path):
    files = [
        rows_file(tmp_path / "a.jsonl", ("p", "1"), ("q", "2"), ("p", "3")),
        rows_file(tmp_path / "b.jsonl", ("r", "4")),
    ]
    assert read_prompts_of(None, files).texts == ("p", "q", "r")


def test_a_model_must_be_told_the_prompts(tmp_path):
    path = rows_file(tmp_path / "a.jsonl", ("p", "1"))
    with pytest.raises(OptionError, match=r"data is needed: runs/gdpo is no file of responses"):
        read_prompts_of(None, [path, "runs/gdpo"])


def test_a_column_answers_every_row(tmp_path):
    write_rows(tmp_path / "d.jsonl", [{"prompt": "p", "best": "x"}, {"prompt": "p", "best": "y"}])
    prompts = read_prompts_of(tmp_path / "d.jsonl", ["m"])
    assert answers_from_column(prompts, "best").by_place == {0: ["x"], 1: ["y"]}


# -------------------------------------------------------------------------------------------------- what a model is asked


def test_a_model_is_asked_with_the_tools_of_the_row(tmp_path):
    messages, tools = [{"role": "user", "content": [{"type": "text", "text": "tea?"}]}], [{"name": "kettle"}]
    path = tmp_path / "prompts.jsonl"
    write_rows(path, [{"prompt": messages, "tools": tools}, {"prompt": "tea?"}])
    prompts = read_prompts_of(str(path), ["some/model"])
    plain = [{"role": "user", "content": "tea?"}]
    assert prompts.texts == (plain, "tea?")
    assert prompts.asked == [Prompt(plain, {"tools": tools}), "tea?"]
