"""Paid calls are made after somebody has agreed: in label, evaluate and head-to-head alike."""

import io
import json
import sys

import pytest

from helpers.hostile_server import HostileServer
from softpref.cli.judges import JudgeOptions, agree_to_pay
from softpref.cli.main import main
from softpref.errors import OptionError

SERVER = JudgeOptions(judge="server", price_in=2.0)


class Terminal:
    def __init__(self, answer):
        self.answer = answer

    def isatty(self):
        return True

    def readline(self):
        return self.answer


@pytest.mark.parametrize("answer", ["y\n", "YES\n"])
def test_the_price_is_shown_before_the_question(answer, capsys, monkeypatch):
    """1000 questions of 4000 characters are 1,000,000 tokens, which cost 2 at 2 a million."""
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    agree_to_pay([SERVER], 1000, 4000, yes=False)
    out = capsys.readouterr().out
    assert "at most 1000 questions, roughly 1,000,000 prompt tokens" in out
    assert "about 2.00 at your prices" in out


def test_without_a_yes_nothing_goes_on(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal("\n"))
    with pytest.raises(OptionError, match="not confirmed"):
        agree_to_pay([SERVER], 1, 1, yes=False)


def test_a_judge_that_costs_nothing_is_not_asked_about(capsys):
    agree_to_pay([JudgeOptions(judge="local")], 1000, 1000, yes=False)
    assert capsys.readouterr().out == ""


@pytest.fixture
def files(tmp_path):
    rows = [{"prompt": f"Question {i}?", "response_1": f"A {i}", "response_2": f"B {i}"} for i in range(3)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    for side in ("response_1", "response_2"):
        answers = [{"prompt": row["prompt"], "response": row[side]} for row in rows]
        (tmp_path / f"{side}.jsonl").write_text("\n".join(map(json.dumps, answers)), encoding="utf-8")
    return tmp_path


COMMANDS = {
    "label": ["label", "pairs.jsonl", "--output", "labelled.jsonl"],
    "evaluate": ["evaluate", "--model", "response_1.jsonl", "--against", "response_2.jsonl", "--output", "out"],
    "head-to-head": ["head-to-head", "response_1.jsonl", "response_2.jsonl", "--output", "out"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_each_command_asks_and_takes_yes(command, files, capsys, monkeypatch):
    monkeypatch.chdir(files)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with HostileServer() as server:
        judge = ["--judge", "server", "--base_url", server.url, "--judge_model", "m", "--judge_prompt", "general"]
        assert main([*command, *judge]) == 2
        out, err = capsys.readouterr()
        assert "stdin is not a terminal; pass --yes to confirm paid calls" in err
        assert "at most 6 questions" in out
        assert not any("Question" in asked for asked in server.seen)
        assert main([*command, *judge, "--yes"]) == 0
        assert sum(count for asked, count in server.seen.items() if "Question" in asked) == 6
