"""A checkpoint is taken only as it was written: each of its files cut, changed or removed is found and said."""

from __future__ import annotations

import copy
import json
import shutil

import pytest
import torch

from softpref.errors import InputError, StorageError
from softpref.training.checkpoints import MANIFEST_FILE, begin_checkpoint, checkpoint_fault, last_whole_checkpoint

SAVING = {"save_strategy": "steps", "save_steps": 1, "per_device_train_batch_size": 2, "max_steps": 3}
SAVING |= {"lr_scheduler_type": "linear", "seed": 3}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Where the run is kept that each test gets a copy of."""
    return tmp_path_factory.mktemp("kept") / "run"


@pytest.fixture
def trained(make_trainer, tiny_llama, tmp_path, kept):
    """A run of three updates with a checkpoint after each."""
    if not kept.is_dir():
        make_trainer(model=copy.deepcopy(tiny_llama), **SAVING, output_dir=str(kept)).train()
    shutil.copytree(kept, tmp_path / "run")
    return tmp_path / "run"


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


DAMAGES = {
    "removed": (lambda file: file.unlink(), "is missing"),
    "cut": (cut, "were written"),
    "flipped": (flip, "has changed since it was written"),
}


def test_every_file_of_a_checkpoint_is_in_its_manifest(trained):
    for folder in trained.glob("checkpoint-*"):
        files = {file.name for file in folder.iterdir()} - {MANIFEST_FILE}
        assert {"model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"} < files
        assert json.loads((folder / MANIFEST_FILE).read_text())["files"].keys() == files
        assert checkpoint_fault(folder) is None


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_file_in_turn_damaged_is_found_and_the_older_checkpoint_taken(trained, damage):
    act, message = DAMAGES[damage]
    newest = trained / "checkpoint-3"
    shutil.copytree(newest, trained / "whole")
    for name in sorted(file.name for file in newest.iterdir()):
        act(newest / name)
        if (damage, name) == ("removed", MANIFEST_FILE):
            # as an earlier version wrote it: whole by its files
            assert last_whole_checkpoint(trained).name == "checkpoint-3"
        else:
            said = []
            assert last_whole_checkpoint(trained, said.append).name == "checkpoint-2"
            what = f"{MANIFEST_FILE} is damaged" if name == MANIFEST_FILE else f"{name} "
            assert f"checkpoint-3: is damaged and left out ({what}" in said[0]
            assert name == MANIFEST_FILE or message in said[0]
        shutil.copy(trained / "whole" / name, newest / name)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"])
@pytest.mark.parametrize("act", [cut, lambda file: file.unlink()])
def test_without_a_manifest_what_is_missing_or_cut_is_found(trained, name, act):
    newest = trained / "checkpoint-3"
    (newest / MANIFEST_FILE).unlink()
    said = []
    assert last_whole_checkpoint(trained, said.append) == newest
    assert "has no manifest.json (an earlier version wrote it)" in said[0]
    act(newest / name)
    assert last_whole_checkpoint(trained).name == "checkpoint-2"


def test_going_on_past_a_damaged_checkpoint_ends_where_the_unbroken_run_does(trained, make_trainer, tiny_llama, caplog):
    whole = torch.load(trained / "checkpoint-3" / "optimizer.pt", weights_only=True)
    weights = (trained / "checkpoint-3" / "model.safetensors").read_bytes()
    flip(trained / "checkpoint-3" / "optimizer.pt")
    (trained / "checkpoint-2" / "scheduler.pt").unlink()
    again = make_trainer(model=copy.deepcopy(tiny_llama), **SAVING)
    again.train(resume_from_checkpoint=True)
    assert "checkpoint-3: is damaged and left out (optimizer.pt has changed since it was written)" in caplog.text
    assert "checkpoint-2: is damaged and left out (scheduler.pt is missing)" in caplog.text
    assert (trained / "checkpoint-3" / "model.safetensors").read_bytes() == weights
    now = torch.load(trained / "checkpoint-3" / "optimizer.pt", weights_only=True)
    torch.testing.assert_close(now["state"], whole["state"], rtol=0, atol=0)
    assert checkpoint_fault(trained / "checkpoint-3") is None


def test_a_named_checkpoint_that_is_damaged_is_refused(trained, make_trainer, tiny_llama):
    flip(trained / "checkpoint-2" / "model.safetensors")
    again = make_trainer(model=copy.deepcopy(tiny_llama), **SAVING)
    with pytest.raises(InputError, match=r"checkpoint-2: cannot be resumed from: model.safetensors has changed"):
        again.train(resume_from_checkpoint=str(trained / "checkpoint-2"))


def test_where_none_is_whole_nothing_begins_anew_unasked(trained):
    """Hours of training stand there; an unfinished checkpoint alone has lost nothing."""
    for folder in trained.glob("checkpoint-*"):
        (folder / "scheduler.pt").unlink()
    with pytest.raises(InputError, match=r"no whole checkpoint is left .*checkpoint-3: scheduler.pt is missing"):
        last_whole_checkpoint(trained)
    for folder in trained.glob("checkpoint-*"):
        begin_checkpoint(folder)
    assert last_whole_checkpoint(trained) is None


def test_a_disk_that_refuses_keeps_the_older_checkpoint_whatever_the_limit(make_trainer, tiny_llama, tmp_path, monkeypatch):
    """With a limit of one, the older checkpoint goes only when the newer one is whole."""
    trainer = make_trainer(model=copy.deepcopy(tiny_llama), **{**SAVING, "save_total_limit": 1})
    save = trainer._save_rng_state

    def full(folder):
        if folder.endswith("checkpoint-2"):
            raise OSError(28, "No space left on device")
        save(folder)

    monkeypatch.setattr(trainer, "_save_rng_state", full)
    with pytest.raises(StorageError, match=r"checkpoint-2: cannot be written: the disk is full.*Earlier checkpoints are kept"):
        trainer.train()
    assert [folder.name for folder in (tmp_path / "run").glob("checkpoint-*")] == ["checkpoint-1"]
    again = make_trainer(model=copy.deepcopy(tiny_llama), **{**SAVING, "save_total_limit": 1})
    again.train(resume_from_checkpoint=True)
    assert [folder.name for folder in (tmp_path / "run").glob("checkpoint-*")] == ["checkpoint-3"]
