"""The lines of a training run."""

import pytest

from softpref.cli.progress import TrainingProgress, log_line

STEP = {
    "loss": 0.64123,
    "grad_norm": 4.2,
    "learning_rate": 9.17e-7,
    "margin": 0.1204,
    "chosen_logratio": 0.1,
    "accuracy": 0.61,
    "brier": 0.07,
    "pairs_per_second": 163.7,
    "rewards/margins": 0.04,
    "epoch": 0.5,
}


def test_a_step_is_one_line_of_80_columns():
    line = log_line(STEP)
    assert line == "loss 0.6412  margin +0.120  accuracy 61.0%  lr 9.2e-07  164 pairs/s"
    assert len(f"step  1000/10000  {line}") <= 86


def test_held_out_pairs_are_named():
    logs = {"eval_loss": 0.6875, "eval_margin": -0.065, "eval_accuracy": 0.9375, "eval_brier": 0.0751, "eval_runtime": 0.01}
    assert log_line(logs) == "held out: loss 0.6875  margin -0.065  accuracy 93.8%  Brier 0.0751".replace(": ", ":  ", 1)


@pytest.mark.parametrize("logs", [{"train_runtime": 3.0, "train_loss": 0.6}, {"step": 1, "of": 2}])
def test_times_alone_are_no_line(logs):
    assert log_line(logs) is None


def test_progress_says_each_line_with_its_step(capsys):
    lines = []
    with TrainingProgress(lines.append) as progress:
        progress({"step": 5, "of": 120, **STEP})
        progress({"step": 120, "of": 120, "train_runtime": 1.0})
    assert lines == ["step   5/120  loss 0.6412  margin +0.120  accuracy 61.0%  lr 9.2e-07  164 pairs/s"]
    assert capsys.readouterr().out == ""
