"""``softpref export``: files that are read back, a folder for the Hub, and what is said about what was lost."""

import json

import datasets
import pytest
import yaml

from softpref.cli.main import main
from softpref.data.formats import read_pairs

ROWS = [
    {"prompt": "Tea?", "response_1": "Yes.", "response_2": "No.", "votes_1": 1, "votes_2": 4, "votes_tie": 0, "id": "a"},
    {"prompt": "Milk?", "response_1": "Some.", "response_2": "None.", "votes_1": 5, "votes_2": 0, "votes_tie": 0},
    {"prompt": "Sugar?", "response_1": "One.", "response_2": "Two.", "votes_1": 2, "votes_2": 2, "votes_tie": 1},
]


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "votes.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


def export(*arguments, code=0):
    assert main(["export", *map(str, arguments), "--reading.vote_prior", "1"]) == code


def labels(pairs):
    return [(pair.prompt, pair.chosen, pair.rejected, pair.soft_label, pair.id) for pair in pairs]


def test_trl_says_what_it_does_not_read(data, tmp_path, capsys):
    output = tmp_path / "trl.jsonl"
    export(data, "--to", "trl", "--output", output)
    out = capsys.readouterr().out
    assert f"2 pairs for TRL: {output}" in out
    assert "left out 1 ties: TRL needs a better side" in out
    assert "TRL has no place for soft_label (2 pairs) and takes every label as certain" in out
    assert [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()] == [
        {"prompt": "Tea?", "chosen": "No.", "rejected": "Yes."},
        {"prompt": "Milk?", "chosen": "Some.", "rejected": "None."},
    ]
    export("--data", data, "--to", "trl", "--output", output, "--soft_label", "true")
    assert "soft_label and weight stand in the file, and TRL ignores them" in capsys.readouterr().out
    # (4 + 1) / (5 + 2) and (5 + 1) / (5 + 2)
    assert [pair.soft_label for pair in read_pairs(output)] == pytest.approx([5 / 7, 6 / 7], abs=1e-15)


def test_parquet_is_read_back_whole(data, tmp_path):
    output = tmp_path / "pairs.parquet"
    export(data, "--to", "parquet", "--output", output)
    back = read_pairs(output)
    assert labels(back) == labels(read_pairs(data, reading()))
    assert back[0].label_source["votes"] == [1, 4, 0]
    assert back[0].label_source["sides_exchanged"] is True


def reading():
    from softpref.data.read_options import ReadOptions

    return ReadOptions(vote_prior=1.0)


def test_a_folder_for_the_hub_with_its_card(data, tmp_path, capsys):
    folder = tmp_path / "tea"
    export(data, "--to", "hub", "--output", folder, "--license", "cc-by-4.0", "--source", "org/votes")
    assert "pushed:" not in capsys.readouterr().out
    assert labels(read_pairs(folder)) == labels(read_pairs(data, reading()))
    loaded = datasets.load_dataset(str(folder))
    assert loaded["train"].num_rows == 3
    card = (folder / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(card.split("---")[1])
    assert front["license"] == "cc-by-4.0"
    assert front["source_datasets"] == ["org/votes"]
    assert front["size_categories"] == ["n<1K"]
    for line in (
        "- labels: votes, 3 pairs",
        "Beta(1, 1)",
        "- 3 rows were read, 3 pairs are kept",
        "- 1 are ties",
        "0.70 to 0.75",
    ):
        assert line in card


def test_pushing_without_a_network_is_one_message_and_the_folder_stays(data, tmp_path, capsys, monkeypatch):
    from huggingface_hub import HfApi

    asked = []

    def refuse(self, name, **how):
        asked.append((name, how["private"]))
        raise OSError("no route to host")

    monkeypatch.setattr(HfApi, "create_repo", refuse)
    export(data, "--to", "hub", "--output", tmp_path / "tea", "--push", "org/tea", code=2)
    error = capsys.readouterr().err
    assert "org/tea: cannot be pushed (no route to host); the folder" in error
    assert asked == [("org/tea", True)]
    assert len(read_pairs(tmp_path / "tea")) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "trll", "--output", "x.jsonl"], "did you mean 'trl'"),
        (["--to", "trl", "--output", "x.csv"], "give a .jsonl file"),
        (["--to", "trl", "--output", "x.jsonl", "--license", "mit"], "license has no effect with --to trl"),
        (["--to", "hub", "--output", "x", "--public", "true"], "public has no effect without push"),
        (["--to", "parquet", "--output", "x.parquet", "--soft_label", "true"], "which always has it"),
    ],
)
def test_mistakes_in_options(arguments, message, data, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    export(data, *arguments, code=2)
    assert message in capsys.readouterr().err


def test_what_cannot_be_exported(tmp_path, capsys):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"prompt": "q", "response_1": "a", "response_2": "b"}) + "\n", encoding="utf-8")
    export(path, "--to", "trl", "--output", tmp_path / "x.jsonl", code=2)
    assert "nothing says which response is better" in capsys.readouterr().err
    export("--to", "trl", "--output", tmp_path / "x.jsonl", code=2)
    assert "data: required" in capsys.readouterr().err
    path.write_text(json.dumps(ROWS[2]) + "\n", encoding="utf-8")
    export(path, "--to", "trl", "--output", tmp_path / "x.jsonl", code=2)
    assert "holds ties alone" in capsys.readouterr().err


def test_no_input_is_written_over(data, capsys):
    export(data, "--to", "trl", "--output", data, code=2)
    assert "would be overwritten" in capsys.readouterr().err
