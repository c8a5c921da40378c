"""No command writes over what it reads, however the path is spelt, and one process at a time writes an output."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from softpref.cli.main import main
from softpref.data.output_lock import only_writer
from softpref.data.outputs import check_outputs
from softpref.errors import InputError, OptionError, StorageError


@pytest.fixture
def pairs(tmp_path, monkeypatch):
    """Four labelled pairs, in the current folder, with a symbolic and a hard link to them."""
    row = {"prompt": "goal :", "chosen": "a b", "rejected": "c d", "soft_label": 0.7, "meta": {"gold": 0.9}}
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps({**row, "prompt": f"goal {i} :"}) + "\n" for i in range(4)))
    (tmp_path / "link.jsonl").symlink_to(file)
    (tmp_path / "hard.jsonl").hardlink_to(file)
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    return file


SPELLINGS = ["pairs.jsonl", "folder/../pairs.jsonl", "link.jsonl", "hard.jsonl"]
COMMANDS = {
    "label": ["--judge", "plan_world"],
    "shape": ["--skewed", "0.8"],
    "calibrate": ["--gold", "meta.gold", "--method", "platt", "--output", "c.json"],
    "import": ["hh"],
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("command", COMMANDS)
def test_an_output_that_is_the_input_is_refused(pairs, capsys, command, spelling):
    before = pairs.read_bytes()
    option = "--out_of_fold" if command == "calibrate" else "--output"
    assert main([command, *COMMANDS[command], "--data", "pairs.jsonl", option, spelling]) == 2
    assert "is the data file pairs.jsonl" in capsys.readouterr().err
    assert pairs.read_bytes() == before
    assert sorted(file.name for file in pairs.parent.iterdir()) == ["folder", "hard.jsonl", "link.jsonl", "pairs.jsonl"]


def test_a_file_that_label_writes_beside_its_output_is_no_input(pairs, capsys):
    pairs.rename("a.failed.jsonl")
    assert main(["label", "--judge", "plan_world", "--data", "a.failed.jsonl", "--output", "a.jsonl"]) == 2
    assert "the .failed.jsonl file beside output is the data file a.failed.jsonl" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["report", "folder", "--output", "pairs.jsonl"], "which is there and no page"),
        (["evaluate", "--model", "folder/comparisons.jsonl", "--against", "rejected"], "comparisons.jsonl is the model file"),
        (
            ["head-to-head", "a=folder/comparisons/0_1.jsonl", "b=rejected"],
            "0_1.jsonl is the model folder/comparisons/0_1.jsonl file",
        ),
        (["train", "--model", "folder", "--output_dir", "folder"], "output_dir is the model folder folder"),
        (["train", "--model", "m", "--output_dir", "pairs.jsonl"], "output_dir is 'pairs.jsonl', which is a file"),
    ],
)
def test_what_other_commands_read_is_safe_too(pairs, capsys, command, message):
    if command[0] == "train":
        pytest.importorskip("transformers")
    for name in ("comparisons.jsonl", "comparisons/0_1.jsonl"):
        (pairs.parent / "folder" / name).parent.mkdir(exist_ok=True)
        (pairs.parent / "folder" / name).write_bytes(pairs.read_bytes())
    judged = ["--judge", "plan_world", "--output", "folder"] if command[0] in ("evaluate", "head-to-head") else []
    data = [] if command[0] == "report" else ["--data", "pairs.jsonl"]
    assert main([*command, *judged, *data]) == 2
    assert message in capsys.readouterr().err


def test_outputs_are_told_from_one_another_and_places_are_looked_at_first(tmp_path):
    with pytest.raises(OptionError, match="b is the a file"):
        check_outputs({}, {"a": tmp_path / "x", "b": tmp_path / "y" / ".." / "x"})
    with pytest.raises(OptionError, match="which is a folder; name a file"):
        check_outputs({}, {"a": tmp_path})
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="a part of the path is a file"):
        check_outputs({}, {"a": tmp_path / "file" / "x.json"})
    check_outputs({"data": "a/name-on-the-hub", "model": None}, {"a": tmp_path / "new" / "x.json", "b": None}, {"c": tmp_path})


# -------------------------------------------------------------------------------------------------- the lock

HOLDS = """
import sys
from softpref.data.output_lock import only_writer
with only_writer(sys.argv[1], "softpref train", sys.argv[2] or None):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder, job=""):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(folder), job], **pipes)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_with_the_name_of_the_first(tmp_path):
    with holder(tmp_path / "run") as process:
        with pytest.raises(InputError) as caught, only_writer(tmp_path / "run", "softpref train"):
            pass
        assert f"run: softpref train (process {process.pid} on " in str(caught.value)
        assert "is writing there; wait for its end, or give another output" in str(caught.value)
        process.kill()
    with only_writer(tmp_path / "run", "softpref train"):
        assert (tmp_path / "run").is_dir()
    # neither the lock of the killed process nor the folder that was made for it is left with anything in it
    assert not (tmp_path / "run").exists() or os.listdir(tmp_path / "run") == []  # noqa: PTH208


def test_processes_at_the_same_job_share_an_output(tmp_path):
    with holder(tmp_path, "label pairs.jsonl") as process:
        with only_writer(tmp_path, "softpref label", "label pairs.jsonl"):
            pass
        with pytest.raises(InputError, match="is writing there"), only_writer(tmp_path, "softpref label", "label others.jsonl"):
            pass
        with pytest.raises(InputError, match="is writing there"), only_writer(tmp_path, "softpref train"):
            pass
        process.stdin.close()
    assert list(tmp_path.iterdir()) == []


def test_a_stage_holds_what_its_caller_holds(tmp_path):
    with only_writer(tmp_path, "softpref train"):
        with only_writer(tmp_path / ".", "training"):
            pass
        assert [file.name for file in tmp_path.iterdir()] == [".softpref.lock"]
    assert list(tmp_path.iterdir()) == []


def test_of_many_that_begin_at_once_one_at_a_time_writes(tmp_path):
    """Taking, removing and taking again the lock file never lets two in."""
    script = """
import sys, os
from softpref.data.output_lock import only_writer
from softpref.errors import InputError
for _ in range(60):
    try:
        with only_writer(sys.argv[1], "x"):
            os.close(os.open(sys.argv[1] + "/inside", os.O_CREAT | os.O_EXCL))
            os.unlink(sys.argv[1] + "/inside")
    except InputError:
        pass
"""
    (tmp_path / "keep").touch()
    processes = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(3)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    assert [file.name for file in tmp_path.iterdir()] == ["keep"]
