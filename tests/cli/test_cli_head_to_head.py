"""``softpref head-to-head``: what a person types and reads."""

from __future__ import annotations

import json

import pytest

from softpref.cli.main import main


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Plans for six tasks as files: the best one, half of it, and its first step."""
    from softpref.demo import plan_world

    root = tmp_path_factory.mktemp("head_to_head")
    tasks = plan_world.tasks()[:12]
    for name, share in (("best", 1.0), ("half", 0.5), ("first", 0.0)):
        rows = []
        for task in tasks:
            steps = task.best.split(". ")
            rows.append({"prompt": task.prompt, "response": ". ".join(steps[: max(1, round(share * len(steps)))])})
        (root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return root


def files(place, *names):
    return [str(place / f"{name}.jsonl") for name in names]


def test_the_matrix_on_the_terminal_is_that_of_the_file(place, capsys, tmp_path):
    words = [*files(place, "best", "half"), f"short={place / 'first.jsonl'}"]
    assert main(["head-to-head", *words, "--judge", "plan_world", "--output", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    result = json.loads((tmp_path / "head_to_head.json").read_text())
    assert result["models"] == ["best", "half", "short"]
    [head] = [line for line in out.splitlines() if line.split() == ["best", "half", "short"]]
    table = out.splitlines()[out.splitlines().index(head) + 1 :][:3]
    cells = [[cell.rstrip("*") for cell in line.split()[1:]] for line in table]
    assert [cells[i][i] for i in range(3)] == ["–"] * 3
    for i, j, pair in zip((0, 0, 1), (1, 2, 2), result["pairs"], strict=True):
        value = pair["win_rates"]["percentage"]["value"]
        assert (cells[i][j], cells[j][i]) == (f"{value:.3f}", f"{1 - value:.3f}")
        failed = pair["win_rates"]["failed"]
        assert f"{pair['model']} – {pair['against']}: {value:.3f} [" in out
        assert f"{12 - failed} of 12 judged on 12 prompts" in out
    assert float(cells[0][2]) > 0.6
    assert f"figures: {tmp_path}/head_to_head.json" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["best"], "name at least two models"),
        (["best", "best"], "is named 2 times"),
        (["best", "absent"], "absent.jsonl: no such file"),
    ],
)
def test_one_message(place, capsys, tmp_path, words, message):
    assert main(["head-to-head", *files(place, *words), "--judge", "plan_world", "--output", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
