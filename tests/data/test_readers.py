"""Files in the forms in which programs write them become the same rows."""

import csv
import gzip
import json
import pickle

import pyarrow as pa
import pytest
from pyarrow import parquet

from softpref.data.formats import read_pairs
from softpref.data.limits import DEPTH, UNPACKED_BYTES, too_deep
from softpref.data.readers import read_rows
from softpref.data.written_messages import looks_cut, messages_in
from softpref.errors import DataError, Fault, InputError, OptionError, RowNumber, printable

ROWS = [
    {"prompt": "tea?", "response_1": "yes, please", "response_2": "no", "votes_1": "3", "votes_2": "1"},
    {"prompt": "milk?", "response_1": "a drop", "response_2": "never", "votes_1": "1", "votes_2": "2"},
]
MESSAGES = [{"role": "user", "content": "tea?"}, {"role": "assistant", "content": 'it\'s "hot"'}]


def values_of(path):
    rows, faults = read_rows(path)
    assert faults == []
    return [row for _, row in rows]


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def delimited(path, separator, rows=ROWS):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0], delimiter=separator)
        writer.writeheader()
        writer.writerows(rows)
    return path


# -------------------------------------------------------------------------------------------------- CSV


@pytest.mark.parametrize(("separator", "name"), [(",", "a.csv"), (";", "a.csv"), ("\t", "a.csv"), ("\t", "a.tsv")])
def test_the_separator_is_seen(tmp_path, separator, name):
    notes = []
    rows, faults = read_rows(delimited(tmp_path / name, separator), notes)
    assert ([row for _, row in rows], faults) == (ROWS, [])
    assert len(notes) == (separator != ",")


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"'])
def test_a_line_that_names_the_separator(tmp_path, line):
    path = write(tmp_path / "a.csv", f"{line}\r\nprompt;response_1;response_2\r\na, b;c;d\r\n", "utf-8-sig")
    assert read_rows(path) == ([(3, {"prompt": "a, b", "response_1": "c", "response_2": "d"})], [])


def test_spaces_after_separators_are_no_part_of_a_cell(tmp_path):
    path = write(tmp_path / "a.csv", 'prompt, response_1, votes_1\ntea?, "yes, please", 3\n')
    assert values_of(path) == [{"prompt": "tea?", "response_1": "yes, please", "votes_1": "3"}]


def test_a_decimal_comma_is_read_as_a_point_and_said(tmp_path):
    notes = []
    path = write(tmp_path / "a.csv", "prompt;chosen;rejected;soft_label\nq;0,5;a, b;0,8\n")
    rows, _ = read_rows(path, notes)
    assert rows == [(2, {"prompt": "q", "chosen": "0,5", "rejected": "a, b", "soft_label": "0.8"})]
    assert notes == ["cells are separated by semicolons", "decimal commas in soft_label are read as points (0,8 is 0.8)"]


def test_a_column_without_a_name_and_without_cells_is_left_out(tmp_path):
    assert values_of(write(tmp_path / "a.csv", "prompt,chosen,\nq,a,\n")) == [{"prompt": "q", "chosen": "a"}]


def test_utf_16_is_called_that(tmp_path):
    _, [fault] = read_rows(write(tmp_path / "a.csv", "prompt,chosen\nq,a\n", "utf-16"))
    assert "UTF-16" in fault.problem


def test_a_row_after_a_cell_of_two_lines_is_named_by_record_and_line(tmp_path):
    path = write(tmp_path / "a.csv", 'prompt,chosen,rejected,soft_label\nq,"a\nb",c,0.8\nq,d,e,7\n')
    with pytest.raises(DataError) as caught:
        read_pairs(path)
    [fault] = caught.value.faults
    assert (fault.row, str(fault).partition(",")[0]) == (4, "row 3 (line 4)")


def test_a_row_number_is_its_line_and_survives_copies():
    number = pickle.loads(pickle.dumps(RowNumber(4, 3)))  # noqa: S301
    assert (number, number.record, json.dumps(number)) == (4, 3, "4")


# -------------------------------------------------------------------------------------------------- JSON


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.json.gz", "a.jsonl.gz"])
@pytest.mark.parametrize("array", [True, False])
def test_lines_and_arrays_whatever_the_name(tmp_path, name, array):
    text = json.dumps(ROWS, indent=1) if array else "".join(f"{json.dumps(row)}\n" for row in ROWS)
    content = ("\ufeff" + text).encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert read_rows(tmp_path / name) == (list(enumerate(ROWS, start=1)), [])


def test_elements_of_an_array_that_are_no_rows(tmp_path):
    rows, faults = read_rows(write(tmp_path / "a.json", '[{"prompt": "q"}, 3, {"prompt": "r"}]'))
    assert [number for number, _ in rows] == [1, 3]
    assert [(fault.row, fault.problem) for fault in faults] == [(2, "is a int")]


def test_nan_in_a_note_is_missing_and_in_a_label_a_fault(tmp_path):
    line = '{"prompt": "q", "chosen": "a", "rejected": "b", "soft_label": 0.8, "seconds": NaN}\n'
    [pair] = read_pairs(write(tmp_path / "a.jsonl", line))
    assert pair.meta == {}
    with pytest.raises(DataError, match="soft_label: NaN is not a number"):
        read_pairs(write(tmp_path / "b.jsonl", line.replace("0.8", "NaN")))


@pytest.mark.parametrize("depth", [DEPTH, DEPTH + 1, 400])
def test_depth_is_bounded(tmp_path, depth):
    text = '{"prompt": "q", "chosen": "a", "rejected": "b", "meta": {"a": ' + "[" * (depth - 1) + "]" * (depth - 1) + "}}"
    rows, faults = read_rows(write(tmp_path / "a.jsonl", text))
    assert (len(rows), len(faults)) == ((1, 0) if depth <= DEPTH else (0, 1))


def test_too_deep_by_hand():
    assert not too_deep([[3]], limit=2)
    assert too_deep([[[3]]], limit=2)
    assert too_deep({"a": [{"b": []}]}, limit=3)


# -------------------------------------------------------------------------------------------------- packed, Parquet


PACKED = gzip.compress(b'{"a": 1}' * 99)


@pytest.mark.parametrize("content", [b"no gzip", PACKED[:-9], PACKED[:12] + b"\xff" * 9], ids=["other", "cut", "spoilt"])
def test_what_cannot_be_unpacked(tmp_path, content):
    (tmp_path / "a.jsonl.gz").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.jsonl\.gz: cannot be unpacked"):
        read_rows(tmp_path / "a.jsonl.gz")


def test_a_file_that_grows_as_no_text_does(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b"\n" * (UNPACKED_BYTES + 1)))
    with pytest.raises(InputError, match="unpacks to more than 64 MiB"):
        read_rows(tmp_path / "a.jsonl.gz")


def test_parquet_holds_the_same_rows(tmp_path):
    prompt = [{"role": "user", "content": "q"}, {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}]
    rows = [{"prompt": prompt, "votes_1": 3, "when": None}]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert values_of(tmp_path / "a.parquet") == rows


def test_text_that_parquet_holds_as_bytes_is_text(tmp_path):
    rows = [{"prompt": b"tea?", "chosen": "oui é".encode(), "note": b"\xff\x00"}]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert values_of(tmp_path / "a.parquet") == [{"prompt": "tea?", "chosen": "oui é", "note": {"bytes": 2}}]


def test_bytes_that_are_no_text_are_refused_where_a_text_belongs(tmp_path):
    rows = [{"prompt": b"\xff\x00", "chosen": b"yes", "rejected": b"no"}]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="row 1, prompt"):
        read_pairs(tmp_path / "a.parquet")


def test_parquet_without_pyarrow_names_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(OptionError, match=r"needs pyarrow: pip install 'softpref\[hub\]'"):
        read_rows(tmp_path / "a.parquet")


# -------------------------------------------------------------------------------------------------- messages as text


@pytest.mark.parametrize("text", [json.dumps(MESSAGES), json.dumps(MESSAGES, indent=2), repr(MESSAGES)])
def test_messages_that_were_written_as_text_are_read(text):
    assert messages_in(text) == MESSAGES
    assert not looks_cut(text)


@pytest.mark.parametrize("text", ["[{a}]", "[a story]", '[{"name": "tea"}]', "", "[{'name': 3}]", "[{" * 5000])
def test_other_text_in_brackets_is_text(text):
    assert messages_in(text) is None
    assert not looks_cut(text)


@pytest.mark.parametrize("text", [repr(MESSAGES)[:-3], repr(MESSAGES).replace("}, {", "}\n {"), "[{'role': os.system('x')}]"])
def test_messages_that_were_cut_are_told_from_text(text):
    assert messages_in(text) is None
    assert looks_cut(text)


# -------------------------------------------------------------------------------------------------- what is shown


def test_what_a_terminal_would_obey_is_written_out():
    assert printable("a\x1b[31m\x07\x9b b\nc é 🍵") == "a\\x1b[31m\\x07\\x9b b\nc é 🍵"
    assert "\x1b" not in str(Fault(1, "\x1b[31m", "is wrong", "mend it"))
