"""Files appear whole or not at all, and what a disk refuses is one message."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from softpref.data.files import append_text, atomic_bytes, atomic_write, write_json, writing
from softpref.errors import StorageError

LIMIT = 20_000


def names(folder):
    return sorted(file.name for file in folder.iterdir())


@contextmanager
def small_disk(size=LIMIT):
    """In here no file may grow beyond ``size`` bytes: writing fails as on a full disk, with another errno."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_does_not_fit_leaves_the_earlier_one(tmp_path):
    file = tmp_path / "x.json"
    write_json(file, {"old": 1})
    before = file.read_bytes()
    with small_disk(), pytest.raises(StorageError, match=r"x\.json: cannot be written: the file would be larger"):
        write_json(file, list(range(LIMIT)))
    assert file.read_bytes() == before
    assert names(tmp_path) == ["x.json"]


def test_what_fails_for_another_reason_is_raised_as_it_is(tmp_path):
    def half():
        yield "half"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "x") as file:
        file.writelines(half())
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "x"):
        (tmp_path / "elsewhere" / "data.jsonl").read_text()
    assert names(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_device_is_written_to_and_stays_a_device():
    write_json(Path("/dev/null"), [1])
    assert Path("/dev/null").is_char_device()
    with pytest.raises(StorageError, match=r"/dev/full: cannot be written: the disk is full; make room"):
        write_json(Path("/dev/full"), [1])


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("folder", "it is a folder; give the name of a file"),
        ("file/x.json", "a part of the path is a file, not a folder"),
        ("n" * 300, "the name is too long"),
    ],
)
def test_a_place_that_takes_no_file_is_said_in_one_message(tmp_path, place, message):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=message):
        write_json(tmp_path / place, [1])
    assert names(tmp_path) == ["file", "folder"]


def test_a_link_is_followed_and_permissions_stay(tmp_path):
    target = tmp_path / "target.json"
    target.write_text("{}")
    target.chmod(0o600)
    (tmp_path / "link.json").symlink_to(target)
    write_json(tmp_path / "link.json", [1])
    assert (tmp_path / "link.json").is_symlink()
    assert target.read_text() == "[\n  1\n]\n"
    assert target.stat().st_mode & 0o777 == 0o600


def test_what_a_killed_writer_left_is_removed_and_a_living_ones_is_not(tmp_path):
    dies = (
        "import os, signal, sys; from pathlib import Path; from softpref.data.files import atomic_write\n"
        "with atomic_write(Path(sys.argv[1])) as file:\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", dies, str(tmp_path / "x.json")], check=False)
    assert len(names(tmp_path)) == 1
    with atomic_bytes(tmp_path / "x.json"):
        write_json(tmp_path / "x.json", [1])
        left = [name for name in names(tmp_path) if name != "x.json"]
        assert len(left) == 1
        assert f".{os.getpid()}." in left[0]
    assert names(tmp_path) == ["x.json"]


def test_lines_are_added_whole_or_not_at_all(tmp_path):
    file = tmp_path / "new" / "x.jsonl"
    append_text(file, "one\n", sync=True)
    with small_disk(), pytest.raises(StorageError, match="What was written before is kept"):
        append_text(file, "2" * (LIMIT + 1))
    append_text(file, "three\n")
    assert file.read_text() == "one\nthree\n"


def test_errors_of_libraries_that_write_are_understood(tmp_path):
    import torch
    from safetensors.torch import save_file

    many = torch.zeros(LIMIT)
    for save in (lambda: save_file({"a": many}, tmp_path / "a.safetensors"), lambda: torch.save(many, tmp_path / "a.pt")):
        with small_disk(), pytest.raises(StorageError, match="model: cannot be written"), writing(tmp_path / "model"):
            save()
    with pytest.raises(RuntimeError, match="shape"), writing(tmp_path / "model"):
        torch.zeros(2).reshape(3)
