"""The benchmark of a step: its ratios and its profile by hand, and that what it measures is the work it says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

FILE = Path(__file__).parents[1] / "benchmarks" / "step.py"


@pytest.fixture(scope="module")
def step():
    spec = importlib.util.spec_from_file_location("step_benchmark", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_ratios_are_taken_round_by_round(step):
    """2/1, 6/2 and 20/4 seconds are ratios of 2, 3 and 5: 3, and 2.5 to 4. 50 MiB beside 200 is a quarter."""
    duel = step.Duel(step.Result([1, 2, 4], 50), step.Result([2, 6, 20], 200))
    assert duel.faster() == "3.00× | 2.50 to 4.00"
    assert duel.memory() == 0.25


def test_a_contender_that_is_killed_leaves_the_others_figures(step):
    """What the system ends for its memory says so in its row; without any other there is no line of our own."""
    duel = step.Duel(step.Result([1, 2, 4], 50, flops=8.0, peak=8.0), step.Result([2, 6, 20], 200))
    model = step.Model(7, 4, 1, 6)
    rows = step.table({"trl": duel, "plain": "plain step was ended by signal 9"}, model).splitlines()
    assert rows[2].startswith("| TRL DPOTrainer | 1.00 | 3.00× | 2.50 to 4.00 | 200 MiB | 0.25×")
    assert rows[3] == "| plain step | – | plain step was ended by signal 9 | | | |"
    assert rows[4].startswith("| **softpref** | 3.00 |")
    assert len(step.table({"plain": "plain step was ended by signal 9"}, model).splitlines()) == 3


def test_work_that_cannot_be_left_out(step):
    """A body of 10·4² weights, 4 × 7 of the head. A pair of 3 + 2 + 1 tokens: 6 through the body, 3 through the head."""
    pair = SimpleNamespace(tokens=6, chosen=[1, 1], rejected=[1])
    assert step.flops(step.Model(7, 4, 1, 1), [pair, pair]) == 2 * 6 * (160 * 6 + 28 * 3)


def event(*names):
    """An operator inside others, the innermost first."""
    caller = None
    for name in reversed(names):
        caller = SimpleNamespace(name=name, cpu_parent=caller)
    return caller


@pytest.mark.parametrize(
    ("names", "part"),
    [
        (("aten::mm",), "body: matrix products"),
        (("aten::mm", "aten::matmul", "_TokenLogps"), "head: matrix products"),
        (("aten::addmm_", "_TokenLogpsBackward"), "head: matrix products"),
        (("aten::exp_", "_TokenLogpsBackward"), "head: exponentials, sums"),
        (
            ("aten::_scaled_dot_product_flash_attention_for_cpu", "aten::scaled_dot_product_attention"),
            "body: attention",
        ),
        (("aten::mul_", "Optimizer.step#AdamW.step"), "optimiser"),
        (("aten::silu",), "the rest: norms, rotations, activations, copies"),
    ],
)
def test_what_an_operator_is_for(step, names, part):
    assert step.part(event(*names)) == part


def test_the_profile_of_a_tiny_model(step, monkeypatch):
    """Every part of an update is seen, under the names that the operators of this torch have."""
    monkeypatch.setenv("SOFTPREF_CACHE", "set by the benchmark")
    table = step.profile(step.Model(70, 64, 1, 2), step.Shape(6, 4), warm_up=1)
    for part in (
        "body: matrix products",
        "head: matrix products",
        "body: attention",
        "head: exponentials",
        "optimiser",
    ):
        assert f"| {part}" in table
    assert "GFLOP/s" in table
