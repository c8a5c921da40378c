"""What is read of a run folder: strict about what stands there, patient with a line that a kill cut off."""

import pytest

from softpref.errors import InputError
from softpref.run_folder import read_json, read_lines


def test_what_is_not_there_is_nothing(tmp_path):
    assert read_json(tmp_path / "run.json") is None
    assert read_lines(tmp_path / "metrics.jsonl") == []


def test_a_number_that_is_not_finite_is_none(tmp_path):
    """Older files hold them as Python writes them, which is no JSON."""
    (tmp_path / "a.json").write_text('{"low": NaN, "high": [Infinity, -Infinity, 1.5]}')
    assert read_json(tmp_path / "a.json") == {"low": None, "high": [None, None, 1.5]}


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\u0085"])
def test_lines_end_at_newlines_only(tmp_path, end):
    (tmp_path / "a.jsonl").write_text(f'{{"a": "x{end}y"}}\n{{"a": "z"}}\n', encoding="utf-8")
    assert [row["a"] for row in read_lines(tmp_path / "a.jsonl")] == [f"x{end}y", "z"]


@pytest.mark.parametrize("torn", [b'{"a": 2', b'{"a": "\xe2\x80', b"2", b'{"a": 2}'])
def test_a_torn_last_line_is_left_out_unless_it_is_whole(tmp_path, torn):
    (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\n\n' + torn)
    assert [row["a"] for row in read_lines(tmp_path / "a.jsonl")] == ([1, 2] if torn.endswith(b"}") else [1])


@pytest.mark.parametrize(("line", "problem"), [(b'{"a": 2', "is not JSON"), (b"[1]", "is no JSON object")])
def test_any_other_broken_line_is_named(tmp_path, line, problem):
    (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\n' + line + b'\n{"a": 3}\n')
    with pytest.raises(InputError, match=rf"a\.jsonl: line 2 {problem}"):
        read_lines(tmp_path / "a.jsonl")
