"""``softpref import``: files on disk, counts on the screen, and what a user gets wrong."""

import json
from pathlib import Path

import pytest

import published_rows as published
from softpref.cli.main import main
from softpref.data.formats import read_completions, read_pairs


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [published.hh(chosen=f"Way {i}.") for i in range(8)] + [
        published.hh(chosen="No."),
        published.hh(before="\n\nAssistant: a"),
    ]
    write("hh.jsonl", rows)
    write("tldr.json", [published.tldr(), published.tldr(choice=1)])
    write("arena.jsonl", [published.arena("tie")])
    return tmp_path


def write(name, rows):
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def imports(capsys, *arguments):
    code = main(["import", *arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def test_pairs_and_what_became_of_the_rows(place, capsys):
    code, out, _ = imports(capsys, "hh", "--data", "hh.jsonl", "--output", "pairs.jsonl")
    assert code == 0
    assert out.splitlines() == [
        "10 rows, 8 pairs: pairs.jsonl",
        "  left out 1: both responses are the same text",
        "  left out 1: an answer without a question",
        "labels: the pairs have no label: softpref label gives them one, or train with label_treatment hard",
    ]
    pairs = read_pairs("pairs.jsonl")
    assert (pairs[0].prompt, pairs[0].chosen) == ("Human: How do I make tea?\n\nAssistant:", " Way 0.")
    record = json.loads(Path("pairs.import.json").read_text())
    assert record == {
        "format": "hh",
        "data": "hh.jsonl",
        "subset": None,
        "data_dir": None,
        "split": None,
        "revision": None,
        "texts": "plain",
        "rows": 10,
        "pairs": 8,
        "merged": 0,
        "completions": 0,
        "left_out": {"both responses are the same text": 1, "an answer without a question": 1},
    }


def test_half_of_the_winners_for_sft(place, capsys):
    """The paper's SFT set: 4 of 8 prompts, and their winners."""
    write("hh.jsonl", [published.hh(before=f"\n\nHuman: Question {i}?", chosen=f"Way {i}.") for i in range(8)])
    code, out, _ = imports(
        capsys,
        "hh",
        "--data",
        "hh.jsonl",
        "--output",
        "pairs.jsonl",
        "--sft_output",
        "sft.jsonl",
        "--texts",
        "messages",
    )
    assert code == 0
    assert "4 completions to imitate: sft.jsonl" in out
    for row in read_completions("sft.jsonl"):
        number = row.prompt[0]["content"].removeprefix("Question ").removesuffix("?")
        assert row.completion == [{"role": "assistant", "content": f"Way {number}."}]


def test_votes_say_how_they_become_labels(place, capsys):
    _, out, _ = imports(capsys, "tldr", "--data", "tldr.json", "--output", "tldr.jsonl")
    assert "1 votes on a pair that had one already were added to it" in out
    assert "labels: votes become p when the file is read" in out
    _, out, _ = imports(capsys, "arena", "--data", "arena.jsonl", "--output", "pairs.jsonl")
    assert "labels: no pair has two votes; give reading.vote_prior (1 is Laplace's rule) or reading.votes mean" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "format: required"),
        (["hhh"], "format is 'hhh'; did you mean 'hh'?"),
        (["hh", "tldr"], "data is given twice: as 'tldr' and as --data"),
        (["hh", "--data", "absent.jsonl"], "absent.jsonl: no such file"),
        (["hh", "--output", "pairs.csv"], "output is 'pairs.csv'; give a .jsonl file"),
        (["hh", "--output", "hh.jsonl"], "output is the data file hh.jsonl"),
        (["hh", "--sft_output", "pairs.jsonl"], "sft_output is the output file"),
        (["hh", "--sft_share", "0.5"], "sft_share has no effect without sft_output"),
        (["hh", "--seed", "1"], "seed has no effect without sft_output"),
        (["hh", "--sft_output", "sft.jsonl", "--sft_share", "0"], "sft_share is 0.0; it must be in (0, 1]"),
        (["hh", "--texts", "message"], "texts is 'message'; did you mean 'messages'?"),
        (["hh", "--split", "test"], "split has no effect on the file"),
        (["tldr"], "hh.jsonl: 10 faults\n  row 1, info: is missing; is this the format that you named?"),
    ],
)
def test_what_a_user_gets_wrong(place, capsys, arguments, message):
    given = [*arguments]
    for option, value in (("--data", "hh.jsonl"), ("--output", "pairs.jsonl")):
        given += [] if option in given else [option, value]
    code, _, err = imports(capsys, *given)
    assert code == 2
    assert message in err
    assert not Path("pairs.jsonl").exists()


def test_nothing_to_import_is_an_error(place, capsys):
    write("hh.jsonl", [published.hh(chosen="No.")])
    code, _, err = imports(capsys, "hh", "--data", "hh.jsonl", "--output", "pairs.jsonl")
    assert code == 2
    assert "none of 1 rows makes a pair (1: both responses are the same text)" in err
