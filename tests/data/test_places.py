"""Rows from several files, folders, saved data sets, the Hub and tables in memory: one and the same pairs."""

import json

import datasets
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from softpref.cli.main import main
from softpref.data.formats import read_completions, read_pairs, read_prompts
from softpref.data.pairs import Reading
from softpref.data.places import data_name, held_out_options, read_place
from softpref.data.read_options import ReadOptions
from softpref.errors import DataError, InputError, OptionError

ROWS = [
    {"prompt": "Tea?", "chosen": "Yes.", "rejected": "No.", "soft_label": 0.9},
    {"prompt": "Milk?", "chosen": "Some.", "rejected": "None.", "soft_label": 0.5},
    {"prompt": "Sugar?", "chosen": "One.", "rejected": "Two.", "soft_label": 0.75},
]
CSV = "prompt,chosen,rejected,soft_label\nMilk?,Some.,None.,0.5\nSugar?,One.,Two.,0.75\n"


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def texts(pairs):
    return [(pair.prompt, pair.chosen, pair.rejected, pair.soft_label) for pair in pairs]


WANTED = [tuple(row.values()) for row in ROWS]


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


@pytest.fixture
def folder(tmp_path):
    rows = tmp_path / "rows"
    (rows / "more").mkdir(parents=True)
    (rows / "a.jsonl").write_text(lines(ROWS[:1]), encoding="utf-8")
    (rows / "more" / "b.csv").write_text(CSV, encoding="utf-8")
    (rows / "README.md").write_text("what this is", encoding="utf-8")
    (rows / ".c.jsonl").write_text("no row", encoding="utf-8")
    return rows


def test_several_files_of_different_formats_are_one_set(folder):
    files = [str(folder / "a.jsonl"), str(folder / "more" / "b.csv")]
    pairs = read_pairs(files)
    assert texts(pairs) == WANTED
    assert pairs.name == ", ".join(files)


def test_a_folder_is_all_its_files_that_are_read(folder):
    pairs = read_pairs(folder)
    assert texts(pairs) == WANTED
    assert pairs.reading.notes == (f"2 files of {folder}",)


def test_faults_of_several_files_name_their_file_and_its_line(folder):
    (folder / "a.jsonl").write_text("\n" + lines([{**ROWS[0], "soft_label": 1.4}]) + "[\n", encoding="utf-8")
    (folder / "more" / "b.csv").write_text(CSV + "Salt?,One.,Two.,high\n", encoding="utf-8")
    with pytest.raises(DataError) as error:
        read_pairs(folder)
    shown = [line.strip().partition(": ")[0] for line in str(error.value).splitlines()[1:]]
    first, second = folder / "a.jsonl", folder / "more" / "b.csv"
    assert shown == [f"{first}, row 2, soft_label", f"{first}, row 3, line", f"{second}, row 4, soft_label"]


def test_the_vote_prior_is_that_of_all_files_together(tmp_path):
    """Three unanimous pairs and one that is split: whichever file they are in, one prior."""
    counts = [(5, 0, 0), (4, 1, 0), (2, 3, 0), (5, 0, 0)]
    rows = [
        {
            "prompt": f"q{k}",
            "response_1": "a",
            "response_2": "b",
            **dict(zip(("votes_1", "votes_2", "votes_tie"), c, strict=True)),
        }
        for k, c in enumerate(counts)
    ]
    for name, some in {"all": rows, "one": rows[:1], "two": rows[1:]}.items():
        (tmp_path / f"{name}.jsonl").write_text(lines(some), encoding="utf-8")
    apart = read_pairs([str(tmp_path / "one.jsonl"), str(tmp_path / "two.jsonl")])
    assert apart.reading.vote_prior == read_pairs(tmp_path / "all.jsonl").reading.vote_prior


def test_a_folder_with_splits_asks_which(tmp_path):
    (tmp_path / "train-0.jsonl").write_text(lines(ROWS[:1]), encoding="utf-8")
    (tmp_path / "train-1.jsonl").write_text(lines(ROWS[1:2]), encoding="utf-8")
    (tmp_path / "test.jsonl").write_text(lines(ROWS[2:]), encoding="utf-8")
    with pytest.raises(OptionError, match=r"holds test and train: give --reading\.split"):
        read_pairs(tmp_path)
    assert texts(read_pairs(tmp_path, ReadOptions(split="train"))) == WANTED[:2]
    assert texts(read_pairs(tmp_path, ReadOptions(split="test"))) == WANTED[2:]
    with pytest.raises(OptionError, match="no file's name says that it is dev"):
        read_pairs(tmp_path, ReadOptions(split="dev"))


def test_what_datasets_saved_is_read(tmp_path):
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "saved")
    assert texts(read_pairs(tmp_path / "saved")) == WANTED
    with pytest.raises(OptionError, match="has no splits"):
        read_pairs(tmp_path / "saved", ReadOptions(split="train"))


def test_a_saved_data_set_of_several_splits_asks_which(tmp_path):
    both = datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS[:2]), "test": datasets.Dataset.from_list(ROWS[2:])})
    both.save_to_disk(tmp_path / "both")
    with pytest.raises(OptionError, match=r"has several splits: give one of train, test as .*/both:train"):
        read_pairs(tmp_path / "both")
    assert texts(read_pairs(f"{tmp_path}/both:test")) == WANTED[2:]
    assert texts(read_pairs(tmp_path / "both", ReadOptions(split="train"))) == WANTED[:2]
    with pytest.raises(OptionError, match="has no split 'dev'"):
        read_pairs(f"{tmp_path}/both:dev")


@pytest.mark.parametrize(
    ("data", "options", "asked"),
    [
        ("org/name", {"split": "train"}, ("org/name", None, "train", None)),
        ("org/name:test", {}, ("org/name", None, "test", None)),
        ("org/name", {}, ("org/name", None, "only", None)),
        ("org/v1.5:test", {"subset": "easy", "revision": "v2"}, ("org/v1.5", "easy", "test", "v2")),
    ],
)
def test_a_name_on_the_hub_is_asked_for_as_it_was_given(monkeypatch, data, options, asked):
    calls = []

    def load(name, subset, split, revision):
        calls.append((name, subset, split, revision))
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr(datasets, "get_dataset_split_names", lambda *_, **__: ["only"])
    assert texts(read_pairs(data, ReadOptions(**options))) == WANTED
    assert calls == [asked]


def test_a_name_that_is_nowhere_is_one_message():
    with pytest.raises(InputError, match=r"org/name:train: is no file here, and cannot be loaded from the Hub: "):
        read_pairs("org/name:train")


@pytest.mark.parametrize("name", ["split", "subset", "revision"])
def test_a_file_has_no_parts(folder, name):
    with pytest.raises(OptionError, match=f"{name} has no effect on"):
        read_pairs(folder / "a.jsonl", ReadOptions(**{name: "x"}))


def test_nothing_is_read_twice_and_an_empty_folder_is_said(tmp_path, folder):
    with pytest.raises(OptionError, match="is given twice"):
        read_pairs([str(folder / "a.jsonl")] * 2)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no file that is read"):
        read_pairs(tmp_path / "empty")


@pytest.mark.parametrize("table", [datasets.Dataset.from_list, pd.DataFrame, pa.Table.from_pylist, list])
def test_tables_in_memory(table):
    pairs = read_pairs(table(ROWS))
    assert texts(pairs) == WANTED
    assert pairs.name == f"a {type(table(ROWS)).__name__}"


def test_values_of_pandas_and_arrow_are_plain(tmp_path):
    """A gap is NaN in pandas; messages that differ in their keys get nulls in Arrow."""
    messages = [{"role": "user", "content": "Tea?"}]
    called = [{"role": "assistant", "content": None, "tool_calls": [{"type": "function"}]}]
    answer = [{"role": "assistant", "content": "Yes."}]
    rows = [{"prompt": messages, "chosen": answer, "rejected": called, "weight": 2}]
    frame = pd.DataFrame([*rows, {**rows[0], "prompt": [{"role": "user", "content": "Milk?"}], "note": "late"}])
    pairs = read_pairs(frame)
    assert [pair.weight for pair in pairs] == [2.0, 2.0]
    assert [dict(pair.meta) for pair in pairs] == [{}, {"note": "late"}]
    [pair] = read_pairs(pa.Table.from_pylist(rows))
    assert (pair.prompt, pair.chosen, pair.rejected) == (messages, answer, called)
    assert json.dumps(read_place(frame)[0][0][1]["chosen"]) == json.dumps(answer)


def test_a_collection_of_tables_is_refused():
    with pytest.raises(InputError, match="a DatasetDict of train: give one of them"):
        read_pairs(datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS)}))


def test_held_out_rows_use_the_prior_that_was_fitted():
    options = ReadOptions(split="train", votes="prior")
    assert held_out_options(options, Reading(9, vote_prior=0.7)) == ReadOptions(vote_prior=0.7)
    assert held_out_options(ReadOptions(votes="mean"), Reading(9)) == ReadOptions(votes="mean")


def test_names():
    assert data_name(["a.jsonl", "b.csv"]) == "a.jsonl, b.csv"


def test_mapped_columns_of_completions_and_prompts():
    rows = [{"ask": "Tea?", "answer": "Yes.", "overall_score": 3}]
    options = ReadOptions(columns={"prompt": "ask", "completion": "answer"}, meta_columns=["overall_score"])
    [row] = read_completions(rows, options)
    assert (row.prompt, row.completion, row.meta) == ("Tea?", "Yes.", {"overall_score": 3})
    assert read_prompts(rows, ReadOptions(columns={"prompt": "ask"}))[0]["prompt"] == "Tea?"


@pytest.mark.parametrize("options", [{"votes": "mean"}, {"reward_scale": 1.0}, {"columns": {"winner": "answer"}}])
def test_options_about_pairs_have_no_effect_on_completions(options):
    with pytest.raises(OptionError, match=r"reading\.\S+ has no effect: a list holds completions, not pairs"):
        read_completions([{"prompt": "Tea?", "completion": "Yes."}], ReadOptions(**options))


def test_the_command_line_takes_several_files(folder, capsys):
    assert main(["inspect", "--data", str(folder / "a.jsonl"), str(folder / "more" / "b.csv"), "--meta_columns", "x,y"]) == 2
    assert "is named in the options, and no row has it" in capsys.readouterr().err
    assert main(["inspect", "--data", str(folder / "a.jsonl"), str(folder / "more" / "b.csv")]) == 0
    assert "3 pairs" in capsys.readouterr().out
    assert main(["shape", "--data", str(folder), "--output", str(folder / "out.jsonl"), "--skewed", "0.8"]) == 2
    assert "whose files are the data" in capsys.readouterr().err


def test_parquet_parts_of_one_split(tmp_path):
    (tmp_path / "data").mkdir()
    for k, row in enumerate(ROWS):
        parquet.write_table(pa.Table.from_pylist([row]), tmp_path / "data" / f"train-0000{k}-of-00003.parquet")
    assert texts(read_pairs(tmp_path)) == WANTED
