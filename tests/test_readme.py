"""Every command and every snippet of the README is run, on the README's own files."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch

from softpref.cli.main import COMMANDS, main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands():
    lines = [line.split("#")[0].strip() for block in blocks("console") for line in block.splitlines()]
    return [line for line in lines if line]


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with the README's files, and the model that its recipe starts from."""
    from softpref.demo.small_model import bpe_tokenizer, save, small_llama

    folder = tmp_path_factory.mktemp("readme")
    [csv] = blocks("csv")
    [recipe] = blocks("yaml")
    (folder / "pairs.csv").write_text(csv)
    (folder / "recipe.yaml").write_text(recipe)
    tokenizer = bpe_tokenizer([csv], 300)
    save(small_llama(tokenizer, hidden=16, layers=1, heads=2, context=128), tokenizer, folder / "my-sft-model")
    return folder


def test_the_commands_run_one_after_the_other(here, monkeypatch, capfd):
    monkeypatch.chdir(here)
    ours = [shlex.split(command)[1:] for command in commands() if command.startswith("softpref")]
    assert [arguments[0] for arguments in ours] == ["inspect", "train", "report"]
    for arguments in ours:
        assert main(arguments) == 0, capfd.readouterr().err
    assert (here / "report.html").is_file()
    assert (here / "runs" / "gdpo" / "model.safetensors").is_file()


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {command.split()[1] for command in commands() if command.startswith("make")}
    assert named == {"demo", "test"}
    assert named <= targets
    assert "make lint" in (ROOT / ".ci" / "run").read_text()
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_the_python_runs(here, tmp_path, monkeypatch):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": "Name a fruit.", "chosen": " An apple.", "rejected": " A carrot.", "soft_label": 0.8}]
    logps = {name: torch.tensor([-1.0, -2.0]) for name in ("chosen", "rejected", "ref_chosen", "ref_rejected")}
    names = {
        "model": AutoModelForCausalLM.from_pretrained(here / "my-sft-model"),
        "tokenizer": AutoTokenizer.from_pretrained(here / "my-sft-model"),
        "rows": rows,
        "soft_label": torch.tensor([0.8, 0.5]),
        **logps,
    }
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)  # noqa: S102 — our own README
    torch.testing.assert_close(names["loss"], torch.full((2,), 2.0).log())
    assert names["trainer"].state.global_step > 0


def test_every_link_leads_somewhere():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md"]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_docs_name_no_command_that_does_not_exist():
    """In code blocks, and in code that a sentence quotes."""
    for page in (ROOT / "docs").rglob("*.md"):
        blocks = re.findall(r"^```\w*\n(.*?)^```|`([^`\n]+)`", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        code = "\n".join(part for pair in blocks for part in pair)
        for command in re.findall(r"^softpref ([a-z][a-z-]*)", code, flags=re.MULTILINE):
            assert command in COMMANDS, f"{page.name}: softpref {command}"
