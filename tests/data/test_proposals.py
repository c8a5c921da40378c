"""What a file looks like that is not read: the format it is of, or the columns to name; what is proposed then works."""

import json
import shlex

import pytest

import published_rows as published
from softpref.cli.main import main
from softpref.data.proposals import SIGNATURES, proposal
from softpref.data.sources.known import SOURCES

FORMATS = {
    "tldr": published.tldr(),
    "ultrafeedback": published.ultrafeedback(),
    "helpsteer2": published.helpsteer2("a", 1),
    "helpsteer2-votes": published.helpsteer2_preference([-1, 2]),
    "helpsteer3": published.helpsteer3([-1, 2]),
    "arena": published.arena(),
    "arena-55k": published.arena_55k(),
    "multipref": published.multipref(),
    "prism": published.prism("a", 1),
    "shp": published.shp(),
    "webgpt": published.webgpt(),
    "oasst": published.oasst("m", "t", rank=1.0, parent="p"),
    "nectar": published.nectar(1, 2),
    "pku-saferlhf": published.pku(),
    "dices": published.dices("1", "a", "No"),
    "argilla": published.argilla("a"),
    "label-studio": published.label_studio("left"),
    "nemo": published.nemo(),
    "nemo-rl": published.nemo_rl(0, 1),
    "ultrafeedback-binarized": published.argilla_binarized(clean=False),
    "coplan": published.coplan(),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_published_formats_are_recognised(name):
    assert name in SOURCES
    assert proposal([FORMATS[name]]) == f"looks like {name}: softpref import {name} --data FILE --output pairs.jsonl"


ROWS = {
    "names for better and worse": {"question": "Tea?", "good_answer": "Yes.", "bad_answer": "No."},
    "no name for the prompt": {"user_prompt": "Tea?", "chosen": "Yes.", "rejected": "No."},
    "a verdict under another name": {"task": "Tea?", "answer_a": "Yes.", "answer_b": "No.", "liked": "answer_a"},
}


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_what_is_proposed_is_read(tmp_path, capsys, row):
    path = tmp_path / "rows.jsonl"
    other = {**row, **{key: "Milk?" for key, value in row.items() if value == "Tea?"}}
    path.write_text(json.dumps(row) + "\n" + json.dumps(other) + "\n", encoding="utf-8")
    assert main(["inspect", "--data", str(path)]) == 2
    error = capsys.readouterr().err
    assert "looks like: " in error
    words = shlex.split(error.rpartition("looks like: ")[2])
    assert main(["inspect", "--data", str(path), *words, "--votes", "mean"]) == 0
    assert "2 pairs, 2 prompts" in capsys.readouterr().out


@pytest.mark.parametrize("row", [{"a": "x", "b": "y"}, {"prompt": "q", "chosen": "a", "rejected": "b", "soft_label": 1.4}])
def test_nothing_is_proposed_where_nothing_helps(tmp_path, capsys, row):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    assert main(["inspect", "--data", str(path)]) == 2
    assert "looks like:" not in capsys.readouterr().err
