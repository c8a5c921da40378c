"""Published rows from files and folders: every way of packing them gives the same rows, and nothing is run."""

import gzip
import json

import datasets
import pyarrow as pa
import pytest
from pyarrow import parquet

import published_rows as published
from softpref.data.sources.opening import Place, open_rows
from softpref.errors import InputError, OptionError

ROWS = [published.hh(), published.hh(chosen="ja 😀")]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def write(path, how):
    path.parent.mkdir(exist_ok=True)
    if how == "gz":
        path.write_bytes(gzip.compress(LINES.encode()))
    elif how == "parquet":
        parquet.write_table(pa.Table.from_pylist(ROWS), path)
    else:
        path.write_text(LINES, encoding="utf-8")
    return Place(str(path))


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("rows.jsonl", "lines"),
        ("rows.json", "lines"),
        ("rows.jsonl.gz", "gz"),
        ("rows.json.gz", "gz"),
        ("rows.parquet", "parquet"),
        ("v1.0.jsonl", "lines"),
    ],
)
def test_a_file(tmp_path, name, how):
    assert open_rows(write(tmp_path / name, how)) == (list(enumerate(ROWS, start=1)), [])


def test_a_line_that_is_no_row_is_named(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(LINES + "[1]\n", encoding="utf-8")
    rows, [fault] = open_rows(Place(str(path)))
    assert (len(rows), fault.row) == (2, 3)


def test_nested_rows_survive_parquet(tmp_path):
    row = published.helpsteer3([-1, 2])
    parquet.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    assert open_rows(Place(str(tmp_path / "a.parquet")))[0] == [(1, row)]


def test_a_folder_is_read_as_the_hub_is(tmp_path):
    """``load_dataset`` on a folder: the same call as on a name, without a network."""
    write(tmp_path / "helpful-base" / "train.jsonl.gz", "gz")
    (tmp_path / "helpful-base" / "test.jsonl.gz").write_bytes(gzip.compress(LINES.splitlines()[0].encode()))
    assert open_rows(Place(str(tmp_path), data_dir="helpful-base"))[0] == list(enumerate(ROWS, start=1))
    assert open_rows(Place(str(tmp_path), data_dir="helpful-base", split="test"))[0] == [(1, ROWS[0])]
    with pytest.raises(InputError, match="cannot be loaded: Unknown split"):
        open_rows(Place(str(tmp_path), data_dir="helpful-base", split="middle"))


def test_a_script_is_not_run(tmp_path):
    """The data sets of the Hub that are programs; a folder with one is refused, and what it would do is not done."""
    (tmp_path / f"{tmp_path.name}.py").write_text("raise SystemExit('run')\n")
    with pytest.raises(InputError, match="cannot be loaded"):
        open_rows(Place(str(tmp_path)))


def test_what_the_hub_is_asked(monkeypatch):
    asked = {}

    def load_dataset(*args, **kwargs):
        asked.update(args=args, **kwargs)
        return iter(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    place = Place("openai/summarize_from_feedback", subset="comparisons", revision="refs/convert/parquet")
    assert open_rows(place)[0] == list(enumerate(ROWS, start=1))
    assert asked == {
        "args": ("openai/summarize_from_feedback", "comparisons"),
        "data_dir": None,
        "split": "train",
        "revision": "refs/convert/parquet",
    }


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (Place("absent.jsonl"), "absent.jsonl: no such file"),
        (Place("data/absent.parquet"), "absent.parquet: no such file"),
        (
            Place("a/b/c"),
            "a/b/c: is neither one of .jsonl, .csv, .tsv, .json, .parquet, .jsonl.gz, .json.gz, .csv.gz, .tsv.gz, nor",
        ),
        (Place("rows.xlsx"), "rows.xlsx: is neither"),
    ],
)
def test_what_is_not_there(monkeypatch, tmp_path, place, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        open_rows(place)


@pytest.mark.parametrize("option", ["subset", "data_dir", "split", "revision"])
def test_a_file_has_no_parts(tmp_path, option):
    path = write(tmp_path / "rows.jsonl", "lines").data
    with pytest.raises(OptionError, match=f"{option} has no effect on the file"):
        open_rows(Place(path, **{option: "x"}))


def test_broken_files_are_the_users(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"no")
    (tmp_path / "a.jsonl.gz").write_bytes(b"no")
    for name, message in (("a.parquet", "is not Parquet"), ("a.jsonl.gz", "cannot be unpacked")):
        with pytest.raises(InputError, match=message):
            open_rows(Place(str(tmp_path / name)))


@pytest.mark.parametrize(("package", "data"), [("pyarrow", "a.parquet"), ("datasets", "some/thing")])
def test_a_missing_package_is_named_with_its_extra(monkeypatch, tmp_path, package, data):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"no")
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(OptionError, match=rf"needs {package}: pip install 'softpref\[hub\]'"):
        open_rows(Place(data))
