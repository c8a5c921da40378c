"""``softpref losses``: the table, one loss, and what is no loss."""

import pytest

from softpref.cli.main import main
from softpref.core import LOSSES


def test_every_loss_is_listed(capsys):
    assert main(["losses"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[: len(LOSSES)]] == list(LOSSES)


@pytest.mark.parametrize("name", ["sppo", "sppo_hard"])
def test_one_loss_by_its_name_or_an_alias(name, capsys):
    assert main(["losses", name]) == 0
    out = capsys.readouterr().out
    assert "loss of a pair   (c − 1/(2β))² + (r + 1/(2β))²\n" in out
    assert "arXiv            2405.00675, eq. 4.7\n" in out
    assert "also as          sppo_hard (hard)\n" in out


@pytest.mark.parametrize(("argv", "message"), [(["spo"], "did you mean 'sppo'"), (["dpo", "ipo"], "give one loss, not 2")])
def test_what_is_no_loss_is_one_message(argv, message, capsys):
    assert main(["losses", *argv]) == 2
    assert message in capsys.readouterr().err
