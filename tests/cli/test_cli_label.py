"""``softpref label`` from the command line: one judge or several, gold, and the options that go together."""

import json

import pytest

from softpref.cli.main import main
from softpref.demo import plan_world

A, B = "{judge: plan_world, seed: 1}", "{judge: plan_world, seed: 2}"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Twelve pairs of plans; by their gold score the first is better in every other one."""
    path = tmp_path_factory.mktemp("label") / "pairs.jsonl"
    rows = []
    for i, task in enumerate(plan_world.tasks()[:12]):
        two = [task.best, ". ".join(task.best.split(". ")[:3]) + "."]
        first, second = two if i % 2 == 0 else reversed(two)
        better = plan_world.gold(task.prompt, first) > plan_world.gold(task.prompt, second)
        rows.append({"prompt": task.prompt, "response_1": first, "response_2": second, "gold": "A" if better else "B"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def label(data, output, *more):
    return main(["label", "--data", str(data), "--output", str(output), *more])


def test_one_judge(data, tmp_path, capsys):
    assert label(data, tmp_path / "out.jsonl", "--judge", "plan_world", "--seed", "1") == 0
    out = capsys.readouterr().out
    assert "labelled 12 of 12 pairs (coverage 100.0%), orders: both" in out
    assert "against" not in out


def test_several_judges_from_a_file_and_from_the_command_line_are_the_same(data, tmp_path, capsys):
    config = tmp_path / "label.yaml"
    config.write_text(f"data: {data}\njudges:\n  one: {A}\n  two: {B}\naverage: log_odds\n", encoding="utf-8")
    assert main(["label", "--config", str(config), "--output", str(tmp_path / "file.jsonl")]) == 0
    out = capsys.readouterr().out
    assert "all judges together: labelled 12 of 12 pairs" in out
    assert "one: labelled 12 of 12 pairs" in out
    assert "one and two, 12 pairs: equal verdicts " in out
    assert "agreement of all judges: Krippendorff's alpha " in out
    several = ("--judges.one.judge", "plan_world", "--judges.one.seed", "1", "--judges.two", B, "--average", "log_odds")
    assert label(data, tmp_path / "line.jsonl", *several) == 0
    assert (tmp_path / "file.jsonl").read_text() == (tmp_path / "line.jsonl").read_text()
    source = json.loads((tmp_path / "line.jsonl").read_text().splitlines()[0])["label_source"]
    assert list(source["judges"]) == ["one", "two"]


def test_gold_is_compared_with_and_not_used(data, tmp_path, capsys):
    gold = ("--gold", "gold", "--gold_first", "A", "--gold_second", "B")
    assert label(data, tmp_path / "with.jsonl", "--judge", "plan_world", *gold) == 0
    out = capsys.readouterr().out
    rows = [json.loads(line) for line in (tmp_path / "with.jsonl").read_text().splitlines()]
    right = sum((row["soft_label"] > 0.5) == (row["meta"]["gold"] == "A") for row in rows)
    assert f"against gold, {len(rows)} pairs: accuracy {right / len(rows):.3f}, Cohen's kappa " in out
    assert label(data, tmp_path / "without.jsonl", "--judge", "plan_world") == 0
    assert (tmp_path / "with.jsonl").read_text() == (tmp_path / "without.jsonl").read_text()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), "judge: required; see softpref label --help"),
        (("--judges.a", A), "judges names one judge only"),
        (("--judges.a", A, "--judges.b", B, "--judge", "plan_world"), "judge has no effect beside judges"),
        (("--judges.a", A, "--judges.b", B, "--seed", "3"), "seed has no effect beside judges"),
        (
            ("--judges.a", A, "--judges.b", "{judge: plan_world, sede: 1}"),
            "judges.b: unknown option 'sede'; did you mean 'seed'?",
        ),
        (("--judges.a", A, "--judges.b", "{seed: 1}"), "judges.b: judge: required"),
        (("--judges.a", A, "--judges.b", "plan_world"), "judges.b is 'plan_world'; give a mapping of options"),
        (("--judges.a", A, "--judges.b", "{judge: plan_world, seed: x}"), "judges.b: seed is 'x'; give a whole number or null"),
        (("--judges.a", A, "--judges.b", A), "judges a and b are the same judge"),
        (("--judges.a", A, "--judges.b", B, "--average", "mean"), "average is 'mean'"),
        (("--judges.a", A, "--judges.b", B, "--min_judges", "3"), "min_judges is 3"),
        (("--judge", "plan_world", "--average", "log_odds"), "average has no effect with one judge"),
        (("--judge", "plan_world", "--gold_first", "A"), "no effect without gold"),
        (("--judge", "plan_world", "--gold", "nothing"), "has no gold label"),
        (("--judge", "plan_world", "--orders", "second"), "orders is 'second'; known: both, first"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_message(more, message, data, tmp_path, capsys):
    assert label(data, tmp_path / "out.jsonl", *more) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "out.jsonl").exists()
