"""What ``softpref advise`` prints of small files, and that it is honest about what it does not know."""

import json
import subprocess
import sys

import pytest

from softpref.cli.main import main
from softpref.data.formats import write_rows


def advise(capsys, *arguments, code=0):
    assert main(["advise", *map(str, arguments)]) == code
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return " ".join(out.split()) if code == 0 else err


def rows(labels):
    return [{"prompt": f"q{k}", "chosen": "a", "rejected": "b", **label} for k, label in enumerate(labels)]


@pytest.fixture
def write(tmp_path):
    def write(labels):
        write_rows(tmp_path / "pairs.jsonl", rows(labels))
        return tmp_path / "pairs.jsonl"

    return write


def test_labels_are_described_by_hand(capsys, write):
    """|2p − 1| of 0.9, 0.7, 0.25, 0.5: 0.8, 0.4, 0.5, 0, mean 0.425."""
    out = advise(capsys, write({"soft_label": p} for p in (0.9, 0.7, 0.25, 0.5)))
    assert "pairs.jsonl: 4 pairs" in out
    assert "[0.90, 0.95) 1 █" in out
    assert "mean |2p − 1| = 0.425; 1 ties labels: 4 given calibration: none recorded" in out
    assert "doubt: 4 pairs are few: the map was made with 2000" in out
    assert "doubt: nothing says whether the labels are calibrated" in out
    assert "a one-dimensional bandit, not a language model (softpref bandit --figure labels; docs/research/which_loss.md)" in out


def test_a_treatment_and_a_beta_are_named(capsys, write):
    out = advise(capsys, "--data", write({"soft_label": p} for p in (0.9, 0.7, 0.8, 0.6) * 60))
    assert "advice: hard" in out
    assert "label_treatment hard (loss_type dpo): the beta you would take for DPO" in out
    for name in ("hard", "conservative", "geometric"):
        assert f"{name} " in out


def test_unsure_labels_of_few_votes_are_where_geometric_is_first(capsys, write):
    """Three votes, raw means: the map has geometric first or beside the first."""
    votes = [(2, 1)] * 80 + [(1, 2)] * 80 + [(3, 0)] * 60 + [(0, 3)] * 30
    data = write({"votes_1": a, "votes_2": b} for a, b in votes)
    out = advise(capsys, data, "--reading.votes", "mean", "--training", "medium", "--decoding", "sampled")
    assert "votes behind a label: 3, p their raw mean" in out
    assert "advice: geometric" in out
    assert "times the beta of DPO" in out


def test_a_judges_provenance_is_read(capsys, write):
    source = {"method": "judge", "judge": "j", "calibration": "temperature"}
    data = write({"soft_label": p, "label_source": source} for p in (0.9, 0.6) * 150)
    out = advise(capsys, data)
    assert "labels: 300 judge calibration: recorded in every label" in out
    assert "nothing says whether" not in out


def test_hard_labels_leave_nothing_to_choose(capsys, write):
    out = advise(capsys, write({"soft_label": p} for p in (0.0, 1.0) * 150))
    assert "every label is 0, 1 or a tie: hard and geometric are then the same loss" in out
    assert "advice: label_treatment hard (loss_type dpo)." in out


def test_outside_the_map_there_is_no_advice(capsys, write):
    out = advise(capsys, write({"soft_label": p} for p in (0.999, 0.995) * 150))
    assert "no advice: the evidence has nothing like these labels." in out
    assert "doubt: outside the map: mean |2p − 1| is 0.99, and in the map it goes from 0.04 to 0.9" in out
    assert "label_treatment" not in out


def test_votes_may_be_told(capsys, write):
    data = write({"soft_label": p} for p in (1 / 3, 2 / 3, 1.0) * 100)
    assert "votes behind a label: 3, p their raw mean" in advise(capsys, data, "--votes", 3)
    counted = write({"votes_1": a, "votes_2": 3 - a} for a in (0, 1, 2, 3) * 60)
    assert "votes has no effect" in advise(capsys, counted, "--votes", 3, code=2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--votes", 0], "votes is 0; give 1 or more"),
        (["--training", "lng"], "did you mean 'long'"),
        (["--decoding", "samples"], "did you mean 'sampled'"),
        (["--flips", 0.7], "flips is 0.7"),
        (["--sharpness", -1], "sharpness is -1"),
        (["--reading.votes", "mode"], "votes is 'mode'"),
    ],
)
def test_what_a_user_gets_wrong(capsys, write, arguments, says):
    assert says in advise(capsys, write([{"soft_label": 0.7}]), *arguments, code=2)


def test_files_that_do_not_serve(capsys, write, tmp_path):
    assert "data: required; see softpref advise --help" in advise(capsys, code=2)
    assert "no such file" in advise(capsys, tmp_path / "none.jsonl", code=2)
    assert "has no soft labels; label the pairs first" in advise(capsys, write([{}]), code=2)


WITHOUT_TORCH = """
import json, sys
from softpref.cli.main import main
code = main(["advise", sys.argv[1]])
print(json.dumps([code, "torch" in sys.modules]))
"""


def test_it_needs_no_torch(write):
    """Advice belongs to the part that installs without it."""
    data = write({"soft_label": p} for p in (0.9, 0.6) * 5)
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH, str(data)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [0, False]
