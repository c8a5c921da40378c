"""The grid runner: what is missing is computed, what was finished is on disk, and nothing is computed twice."""

import json
import os
import signal
import subprocess
import sys
import time
from multiprocessing import active_children
from pathlib import Path

import pytest

from grid_work import count, fail_at_three, not_finite, square, without_end
from processes import WITH_HELPERS, started
from softpref.errors import InputError
from softpref.research.grid import cores, crossed, key_of, run_grid


def computed(log):
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_results_come_in_the_order_of_the_cells(tmp_path):
    cells = [{"x": x} for x in (3, 1, 2)]
    assert [r["square"] for r in run_grid(cells, square, tmp_path / "g.jsonl", workers=1)] == [9, 1, 4]


def test_several_processes_give_the_same(tmp_path):
    cells = [{"x": x} for x in range(7)]
    results = run_grid(cells, square, tmp_path / "g.jsonl", workers=2)
    assert [r["square"] for r in results] == [x**2 for x in range(7)]
    assert os.getpid() not in {r["process"] for r in results}
    assert run_grid(cells, square, tmp_path / "g.jsonl", workers=2) == results


def test_a_rerun_computes_only_what_is_missing(tmp_path):
    file, log = tmp_path / "g.jsonl", tmp_path / "log"
    small, large = ([{"x": x, "log": str(log)} for x in range(n)] for n in (3, 5))
    run_grid(small, count, file, workers=1)
    assert computed(log) == [0, 1, 2]
    assert run_grid(large, count, file, workers=1) == [{"x": x} for x in range(5)]
    assert computed(log) == [0, 1, 2, 3, 4]
    assert run_grid(small, count, file, workers=1) == [{"x": x} for x in range(3)]
    assert computed(log) == [0, 1, 2, 3, 4]


def test_a_changed_setting_is_another_cell(tmp_path):
    file, log = tmp_path / "g.jsonl", tmp_path / "log"
    run_grid([{"x": 1, "log": str(log)}], count, file, workers=1)
    run_grid([{"x": 1, "log": str(log), "seed": 2}], count, file, workers=1)
    assert computed(log) == [1, 1]


def test_the_order_of_keys_and_doubles_do_not_matter(tmp_path):
    file, log = tmp_path / "g.jsonl", tmp_path / "log"
    twice = [{"x": 1, "log": str(log)}, {"log": str(log), "x": 1}]
    assert key_of(twice[0]) == key_of(twice[1])
    assert run_grid(twice, count, file, workers=1) == [{"x": 1}, {"x": 1}]
    assert computed(log) == [1]


def test_each_line_is_a_cell_with_its_result(tmp_path):
    run_grid([{"x": 2}], not_finite, tmp_path / "g.jsonl", workers=1)
    assert lines(tmp_path / "g.jsonl") == [{"cell": {"x": 2}, "result": {"value": None, "pair": [1, 2]}}]


def test_a_result_is_the_same_computed_or_read(tmp_path):
    first, again = (run_grid([{"x": 2}], not_finite, tmp_path / "g.jsonl", workers=1) for _ in range(2))
    assert first == again == [{"value": None, "pair": [1, 2]}]


@pytest.mark.parametrize("workers", [1, 2])
def test_what_was_finished_before_a_fault_is_on_disk(tmp_path, workers):
    file = tmp_path / "g.jsonl"
    with pytest.raises(RuntimeError, match="three"):
        run_grid([{"x": x} for x in range(4)], fail_at_three, file, workers=workers)
    kept = [line["cell"]["x"] for line in lines(file)]
    assert set(kept) <= {0, 1, 2}
    assert workers == 2 or kept == [0, 1, 2]


def test_the_half_line_of_a_kill_is_computed_again(tmp_path):
    file, log = tmp_path / "g.jsonl", tmp_path / "log"
    cells = [{"x": x, "log": str(log)} for x in range(3)]
    run_grid(cells, count, file, workers=1)
    whole = file.read_text()
    file.write_text(whole[:-7])
    assert run_grid(cells, count, file, workers=1) == [{"x": x} for x in range(3)]
    assert computed(log) == [0, 1, 2, 2]
    assert file.read_text() == whole


def test_a_line_that_is_no_cell_is_named(tmp_path):
    (tmp_path / "g.jsonl").write_text('{"cell": {"x": 1}, "result": {}}\n{"x": 1}\n')
    with pytest.raises(InputError, match=r"g\.jsonl: line 2 is no cell"):
        run_grid([{"x": 1}], square, tmp_path / "g.jsonl", workers=1)


def test_two_runs_on_one_file_are_refused(tmp_path):
    file = tmp_path / "g.jsonl"

    def second(_done, _total, _found):
        with pytest.raises(InputError, match="another run is writing to it"):
            run_grid([{"x": 2}], square, file, workers=1)

    run_grid([{"x": 1}], square, file, workers=1, on_cell=second)
    assert run_grid([{"x": 2}], square, file, workers=1)[0]["square"] == 4


def test_progress_is_told(tmp_path):
    told = []
    for n in (2, 3):
        cells = [{"x": x} for x in range(n)]
        run_grid(cells, square, tmp_path / "g.jsonl", workers=1, on_cell=lambda *seen: told.append(seen))
    assert told == [(0, 2, 0), (1, 2, 0), (2, 2, 0), (2, 3, 2), (3, 3, 2)]


INTERRUPTED = """
import sys
from pathlib import Path
from grid_work import without_end
from softpref.research.grid import run_grid
if __name__ == "__main__":
    run_grid([{"x": x} for x in range(9)], without_end, Path(sys.argv[1]), workers=2)
"""


def test_ctrl_c_ends_soon_and_keeps_what_was_finished(tmp_path):
    """The interrupt goes to the whole group, as a terminal sends it; nobody waits ten minutes for the cells at work."""
    file, script = tmp_path / "g.jsonl", tmp_path / "run.py"
    script.write_text(INTERRUPTED)
    arguments = [sys.executable, str(script), str(file)]
    with started(arguments, env=WITH_HELPERS, stderr=subprocess.PIPE, text=True) as run:
        while run.poll() is None and (not file.exists() or len(lines(file)) < 3):
            time.sleep(0.05)
        os.killpg(run.pid, signal.SIGINT)
        _, error = run.communicate()
    assert run.returncode != 0
    assert "KeyboardInterrupt" in error
    assert sorted(line["result"]["x"] for line in lines(file)) == [0, 1, 2]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="children are found through /proc")
def test_no_process_outlives_a_parent_that_was_killed(tmp_path):
    file, script = tmp_path / "g.jsonl", tmp_path / "run.py"
    script.write_text(INTERRUPTED)
    arguments = [sys.executable, str(script), str(file)]
    with started(arguments, env=WITH_HELPERS, stderr=subprocess.DEVNULL) as run:
        while run.poll() is None and (not file.exists() or len(lines(file)) < 3):
            time.sleep(0.05)
        children = [int(pid) for pid in Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()]
        assert len(children) >= 2
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        # a child that never ends runs into the time limit of the suite
        while any(map(is_python, children)):
            time.sleep(0.05)


def is_python(pid):
    try:
        return "python" in Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_no_process_is_left_when_progress_fails(tmp_path):
    def full(done, _total, _found):
        if done == 1:
            raise OSError("disk full")

    before = {*active_children()}
    with pytest.raises(OSError, match="disk full"):
        run_grid([{"x": x} for x in (0, 3, 4)], without_end, tmp_path / "g.jsonl", workers=2, on_cell=full)
    assert {*active_children()} == before


def test_crossed():
    assert crossed(a=(1, 2), b="xy") == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    ]
    assert crossed() == [{}]


def test_there_is_a_core():
    assert cores() >= 1
