"""A judge's version is that of its weights: another commit on the Hub, or another file, is another judge."""

from __future__ import annotations

import json

import pytest
from transformers import AutoModelForCausalLM

from softpref.judges.checkpoints import checkpoint_version, hub_commit

COMMIT, OTHER = "0123456789abcdef" * 2 + "01234567", "f" * 40


def on_hub(cache, name, commit, model=None, **files):
    """A repository in the Hub's cache, as a download leaves it."""
    repository = cache / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    if model is not None:
        model.save_pretrained(snapshot)
    for file, content in files.items():
        (snapshot / f"{file}.json").write_text(json.dumps(content), encoding="utf-8")
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / "main").write_text(commit, encoding="utf-8")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The Hub's cache, and no network."""
    for module in ("huggingface_hub.constants", "huggingface_hub.file_download.constants"):
        monkeypatch.setattr(f"{module}.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_a_model_of_the_hub_is_named_by_its_commit(tiny_llama, cache):
    on_hub(cache, "some/model", COMMIT, tiny_llama)
    model = AutoModelForCausalLM.from_pretrained("some/model", cache_dir=cache, local_files_only=True)
    assert checkpoint_version("some/model", model) == COMMIT
    on_hub(cache, "some/model", OTHER, tiny_llama)
    assert checkpoint_version("some/model", model) == OTHER
    assert hub_commit("no/model") is None


def test_the_base_of_an_adapter_counts(tiny_llama, cache, tmp_path):
    """Of an adapter in a folder and of one on the Hub; its base is on the Hub."""
    tiny_llama.config.name_or_path = "some/base"
    on_hub(cache, "some/base", COMMIT, tiny_llama)
    on_hub(cache, "some/adapter", OTHER, adapter_config={"base_model_name_or_path": "some/base"})
    assert checkpoint_version("some/adapter", tiny_llama) == f"{OTHER}+{COMMIT}"
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "some/base"}', encoding="utf-8")
    version = checkpoint_version(str(folder), tiny_llama)
    digest, _, commit = version.partition("+")
    assert len(digest) == 12
    assert commit == COMMIT
    on_hub(cache, "some/base", OTHER, tiny_llama)
    assert checkpoint_version(str(folder), tiny_llama) == f"{digest}+{OTHER}"
