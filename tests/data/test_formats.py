"""Files become rows and rows become files: JSONL and CSV, sound and broken."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softpref.data.files import atomic_write, write_json
from softpref.data.formats import (
    read_completions,
    read_numbered_prompts,
    read_pairs,
    read_prompts,
    read_training_rows,
    write_rows,
)
from softpref.data.pairs import Completion, PairSet, PreferencePair, orient
from softpref.data.read_options import ReadOptions
from softpref.data.written import text_columns, written_row
from softpref.errors import DataError, InputError

QUESTION = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "tea?"}]
YES, NO = [{"role": "assistant", "content": "yes"}], [{"role": "assistant", "content": "no"}]


def faults_of(path, reader=read_pairs):
    with pytest.raises(DataError) as caught:
        reader(path)
    assert str(caught.value).startswith(f"{path}: ")
    return caught.value.faults


# -------------------------------------------------------------------------------------------------- JSONL


def test_jsonl_by_hand(jsonl, row):
    path = jsonl(row(soft_label=0.25, id="x"), b"", row(prompt="wait?", soft_label=1))
    found, given = read_pairs(path), {"method": "given"}
    assert list(found) == [
        PreferencePair("make tea", "wait", "boil the water", 0.75, id="x", label_source=given, swapped=True, row=1),
        PreferencePair("wait?", "boil the water", "wait", 1.0, label_source=given, row=3),
    ]
    assert found.name == str(path)
    assert (found.reading.rows, found.reading.swapped, found.reading.label_method) == (2, 1, "given")


def test_messages_in_jsonl(jsonl):
    [pair] = read_pairs(jsonl({"prompt": QUESTION, "chosen": NO, "rejected": YES, "soft_label": 0.1}))
    assert (pair.prompt, pair.chosen, pair.rejected, pair.soft_label) == (QUESTION, YES, NO, 0.9)


def test_a_byte_order_mark_is_no_part_of_the_text(jsonl, row):
    path = jsonl(b"\xef\xbb\xbf" + json.dumps(row(soft_label=0.8)).encode())
    assert read_pairs(path)[0].prompt == "make tea"


def test_odd_characters_stay_what_they_are(jsonl, row):
    """U+2028, U+0085 and U+FFFD are no line ends in JSONL."""
    text = "a\u2028b\u0085c \ufffd \u202e \U0001f375 e\u0301"
    assert read_pairs(jsonl(row(chosen=text)))[0].chosen == text


def test_a_string_that_holds_json_is_a_string(jsonl, row):
    """JSONL has lists for messages; a response that is itself JSON is text."""
    text = '[{"name": "tea", "cups": 2}]'
    assert read_pairs(jsonl(row(chosen=text)))[0].chosen == text


def test_every_fault_of_a_jsonl_file_at_once(jsonl, row):
    path = jsonl(
        row(soft_label=0.8),
        b'{"prompt": "make tea", ',
        b'{"prompt": "caf\xe9"}',
        b'["make tea"]',
        b'{"prompt": "q", "chosen": "a", "rejected": "b", "soft_label": NaN}',
        row(soft_label=80),
        row(prompt=None, soft_label=0.5),
    )
    faults = faults_of(path)
    assert [(fault.row, fault.field) for fault in faults] == [
        (2, "line"),
        (3, "line"),
        (4, "line"),
        (5, "soft_label"),
        (6, "soft_label"),
        (7, "prompt"),
    ]
    for fault, words in zip(faults, ("is not JSON", "is not UTF-8", "is a list", "NaN", "80", "missing"), strict=True):
        assert words in fault.problem


def test_a_lone_surrogate_is_refused_or_can_be_written_again(jsonl, row, tmp_path):
    """JSON can spell half a character. It is no text that could be tokenised or saved as UTF-8."""
    path = jsonl(json.dumps(row(chosen="\ud83c tea")).encode())
    try:
        found = read_pairs(path)
    except DataError:
        return
    write_rows(tmp_path / "again.jsonl", map(written_row, found))


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b'{"prompt": "q", "chosen": "a", "rejected": "b", "chosen": "c"}', "chosen"),
        (b'{"prompt": "q", "chosen": "a", "rejected": "b", "meta": {"n": 1, "n": 1}}', "n"),
    ],
)
def test_a_key_that_stands_twice_is_a_fault(jsonl, row, line, field):
    """JSON leaves open which one counts; the last must not win in silence."""
    [fault] = faults_of(jsonl(row(), line))
    assert (fault.row, fault.field, fault.problem) == (2, field, "stands twice in one object")


@pytest.mark.parametrize("line", [b'{"soft_label": ' + b"9" * 5000 + b"}", b'{"meta": ' + b"[" * 100_000 + b"}"])
def test_numbers_and_lists_beyond_the_parser_are_faults(jsonl, line):
    [fault] = faults_of(jsonl(line))
    assert (fault.row, fault.field) == (1, "line")


# -------------------------------------------------------------------------------------------------- CSV


def test_csv_by_hand(table):
    path = table(
        ["prompt", "response_1", "response_2", "votes_1", "votes_2", "votes_tie", "id", "source"],
        ['tea, "green"', "line one\nline two", "", "1", "3", "", "7", "forum"],
    )
    [pair] = read_pairs(path, ReadOptions(votes="mean"))
    assert pair == PreferencePair(
        'tea, "green"',
        "",
        "line one\nline two",
        0.75,
        id="7",
        meta={"source": "forum"},
        swapped=True,
        row=2,
        label_source={"method": "votes", "votes": [1, 3, 0], "vote_prior": None},
    )


def test_messages_in_csv_cells_are_json(table):
    cells = [json.dumps(x) for x in (QUESTION, YES, NO)]
    [pair] = read_pairs(table(["prompt", "chosen", "rejected", "soft_label"], [*cells, "0.75"]))
    assert (pair.prompt, pair.chosen, pair.rejected, pair.soft_label) == (QUESTION, YES, NO, 0.75)


def test_brackets_in_a_csv_cell_are_a_story(table):
    [pair] = read_pairs(table(["prompt", "chosen", "rejected"], ["[waits]", "[{not json", "[1, 2]"]))
    assert (pair.prompt, pair.chosen, pair.rejected) == ("[waits]", "[{not json", "[1, 2]")


def test_meta_in_a_csv_cell_is_json(table):
    [pair] = read_pairs(table(["prompt", "chosen", "rejected", "meta"], ["q", "a", "b", '{"votes": [1, 2]}']))
    assert pair.meta == {"votes": [1, 2]}


def test_a_csv_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_bytes(b"\xef\xbb\xbfprompt,chosen,rejected,soft_label\r\nq,a,b,0.75\r\n")
    assert read_pairs(path)[0].prompt == "q"


def test_csv_rows_count_as_in_a_spreadsheet(table):
    """The header is row 1; an empty label is a missing one."""
    faults = faults_of(table(["prompt", "chosen", "rejected", "soft_label"], ["q", "a", "b", "0.7"], ["q", "c", "d", ""]))
    assert [(fault.row, fault.field, fault.problem) for fault in faults] == [(3, "soft_label", "is missing")]


def test_a_blank_line_does_not_shift_the_numbers(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("prompt,chosen,rejected,soft_label\nq,a,b,0.7\n\nq,c,d,7\n", encoding="utf-8")
    assert [fault.row for fault in faults_of(path)] == [4]


def test_a_row_is_named_by_its_first_line(tmp_path):
    """As an editor counts: the cell in line 3 goes on in line 4, so the next row is in line 5."""
    path = tmp_path / "pairs.csv"
    path.write_text('prompt,chosen,rejected,soft_label\n\nq,"a\nb",c,8\nq,a,b,9\n', encoding="utf-8")
    assert [fault.row for fault in faults_of(path)] == [3, 5]


def test_json_in_a_csv_cell_is_text_unless_it_is_messages(table):
    calls = '[{"name": "tea"}]'
    [pair] = read_pairs(table(["prompt", "chosen", "rejected"], ["q", calls, "[{}]"]))
    assert (pair.chosen, pair.rejected) == (calls, "[{}]")
    half = [json.dumps(QUESTION), json.dumps(YES), '[{"role": "assistant", "text": "no"}]']
    [fault] = faults_of(table(["prompt", "chosen", "rejected"], half))
    assert (fault.field, fault.problem) == ("rejected", "message 1 has no text content")


def test_a_column_that_stands_twice_is_a_fault(table):
    [fault] = faults_of(table(["prompt", "chosen", "rejected", "chosen"], ["q", "a", "b", "c"]))
    assert (fault.row, fault.field, fault.problem) == (1, "chosen", "stands twice in the header")


def test_a_header_that_is_not_utf8_hides_nothing_behind_it(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_bytes("prompt,chosen,rejected\nq,a,b\n".encode("utf-16"))
    [fault] = faults_of(path)
    assert "UTF-8" in fault.problem or "cannot be read" in fault.problem


def test_a_cell_that_is_not_utf8_is_named_by_its_column(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_bytes(b"prompt,chosen,rejected,note\nq,a,b,caf\xe9\nq,caf\xe9,a,\n")
    assert [(fault.row, fault.field) for fault in faults_of(path)] == [(2, "note"), (3, "chosen")]


def test_ragged_rows_are_faults_and_so_are_the_rest(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("prompt,chosen,rejected,soft_label\nq,a,b\nq,a,b,0.7,more\nq,c,d,7\nq,e,f,0.6\n", encoding="utf-8")
    faults = faults_of(path)
    assert [(fault.row, fault.field) for fault in faults] == [(2, "row"), (3, "row"), (4, "soft_label")]
    assert "4 cells" in faults[0].problem
    assert "quote" in faults[0].mend


def test_a_csv_cell_that_is_not_utf8_is_named_by_its_row(tmp_path):
    path = tmp_path / "pairs.csv"
    lines = [b"prompt,chosen,rejected,soft_label", *[b"q,a,b,0.7"] * 5, b"q,caf\xe9,b,0.7", b"q,a,b,7"]
    path.write_bytes(b"\n".join(lines))
    faults = faults_of(path)
    assert any("UTF-8" in str(fault) for fault in faults)
    assert [fault.row for fault in faults] in ([7], [7, 8])


def test_an_open_quote_is_a_fault(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text('prompt,chosen,rejected\nq,a,b\n"q,a,b\n', encoding="utf-8")
    [fault] = faults_of(path)
    assert (fault.row, fault.field) == (3, "row")
    assert "cannot be read" in fault.problem


# -------------------------------------------------------------------------------------------------- which file


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"absent\.jsonl: no such file"):
        read_pairs(tmp_path / "absent.jsonl")


@pytest.mark.parametrize("name", ["pairs.xlsx", "pairs"])
def test_an_unread_format_names_the_ones_that_are_read(tmp_path, name):
    (tmp_path / name).write_text("")
    with pytest.raises(InputError, match=r"is not read; give one of \.jsonl, \.csv"):
        read_pairs(tmp_path / name)


@pytest.mark.parametrize("text", ["", "\n\n"])
@pytest.mark.parametrize("reader", [read_pairs, read_completions, read_prompts, read_training_rows])
def test_an_empty_file_is_a_fault_for_every_reader(jsonl, text, reader):
    [fault] = faults_of(jsonl(text.encode()), reader)
    assert (fault.row, fault.problem) == (0, "holds no rows")


def test_a_csv_of_a_header_only_is_empty(table):
    [fault] = faults_of(table(["prompt", "chosen", "rejected"]))
    assert fault.problem == "holds no rows"


def test_completions_are_told_from_pairs_by_their_column(jsonl, row):
    found = read_training_rows(jsonl({"prompt": "q", "completion": "a"}))
    assert found == [Completion("q", "a", row=1)]
    assert isinstance(read_training_rows(jsonl(row(soft_label=0.8))), PairSet)


def test_prompts_keep_whatever_stands_beside_them(jsonl):
    rows = [{"prompt": "q", "best": "a", "score": 3}, {"prompt": QUESTION, "best": YES}]
    assert read_prompts(jsonl(*rows)) == rows
    assert [fault.row for fault in faults_of(jsonl(rows[0], {"best": "a"}, {"prompt": 3}), read_prompts)] == [2, 3]


def test_numbered_prompts_know_their_rows(jsonl, table):
    assert read_numbered_prompts(jsonl(b"", {"prompt": "q"}, b"", {"prompt": "r"})) == [
        (2, {"prompt": "q"}),
        (4, {"prompt": "r"}),
    ]
    path = table(["prompt", "best"], ["line\nbreak", "a"], [json.dumps(QUESTION), json.dumps(YES)])
    assert read_numbered_prompts(path) == [
        (2, {"prompt": "line\nbreak", "best": "a"}),
        (4, {"prompt": QUESTION, "best": YES}),
    ]


def test_the_messages_of_a_prompt_are_checked(jsonl):
    [fault] = faults_of(jsonl({"prompt": [{"role": "User", "content": "q"}]}), read_prompts)
    assert (fault.field, fault.problem) == ("prompt", 'message 1 has the role "User"')


def test_a_completion_that_is_null_in_every_row_makes_no_completions(jsonl, row):
    assert isinstance(read_training_rows(jsonl({**row(soft_label=0.8), "completion": None})), PairSet)


# -------------------------------------------------------------------------------------------------- round trip

texts = st.text(max_size=12)
written = st.builds(
    PreferencePair,
    prompt=texts,
    chosen=texts,
    rejected=texts,
    soft_label=st.floats(0, 1),
    weight=st.floats(0, 1e6),
    id=texts,
    meta=st.dictionaries(st.sampled_from(["source", "year"]), texts | st.integers(), max_size=2),
    label_source=st.just({"method": "judge", "judge": "j"}),
)


@given(pairs=st.lists(written, min_size=1, max_size=4))
def test_what_is_written_is_read_back(tmp_path_factory, pairs):
    """Every field; p but for the rounding of 1 − (1 − p)."""
    oriented = [orient(replace(pair, id=f"{i}{pair.id}")) for i, pair in enumerate(pairs) if pair.chosen != pair.rejected]
    if not oriented:
        return
    path = tmp_path_factory.mktemp("round") / "pairs.jsonl"
    write_rows(path, map(written_row, oriented))
    for number, (back, pair) in enumerate(zip(read_pairs(path), oriented, strict=True), start=1):
        assert back.soft_label == pytest.approx(pair.soft_label, abs=2e-15)
        assert replace(back, soft_label=None) == replace(pair, soft_label=None, row=number)


def test_an_unlabelled_pair_stays_so(tmp_path):
    pair = PreferencePair(QUESTION, YES, NO, row=1)
    write_rows(tmp_path / "pairs.jsonl", [text_columns(pair)])
    assert list(read_pairs(tmp_path / "pairs.jsonl")) == [replace(pair, chosen_is_preferred=False)]


# -------------------------------------------------------------------------------------------------- writing


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "pairs.jsonl"
    write_rows(path, [{"prompt": "é"}])
    assert path.read_bytes() == '{"prompt": "é"}\n'.encode()

    def breaks():
        yield {"prompt": "new"}
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_rows(path, breaks())
    assert path.read_bytes() == '{"prompt": "é"}\n'.encode()
    assert list(path.parent.iterdir()) == [path]


def test_what_is_being_written_is_not_yet_there(tmp_path):
    path = tmp_path / "run.json"
    with atomic_write(path) as file:
        file.write("half")
        file.flush()
        assert not path.exists()
    assert path.read_text() == "half"


def test_json_is_readable_and_ends_in_a_line_end(tmp_path):
    write_json(tmp_path / "a.json", {"judge": "é", "n": [1]})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "judge": "é",\n  "n": [\n    1\n  ]\n}\n'


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_in_json_is_written_as_null(tmp_path, bad):
    """Python would write NaN, which other readers of JSON refuse."""
    value = {"a": [1.5, bad, {"b": (bad, "é")}], "c": True}
    write_json(tmp_path / "a.json", value)
    write_rows(tmp_path / "a.jsonl", [value])
    for name in ("a.json", "a.jsonl"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert json.loads(text, parse_constant=pytest.fail) == {"a": [1.5, None, {"b": [None, "é"]}], "c": True}
        assert "é" in text
