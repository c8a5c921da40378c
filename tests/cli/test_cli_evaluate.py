"""``softpref evaluate`` with the judge of the demo's world, end to end on a model of two layers."""

import json

import pytest

from softpref.cli.main import main
from softpref.demo import plan_world
from softpref.demo.small_model import save, small_llama, word_tokenizer


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluate")
    tokenizer = word_tokenizer(plan_world.vocabulary())
    save(small_llama(tokenizer, hidden=16, layers=2, heads=2, context=128), tokenizer, root / "model")
    tasks = plan_world.tasks()[:6]
    rows = [{"prompt": task.prompt, "best": task.best} for task in tasks]
    (root / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return root


def arguments(place, **changes):
    options = {
        "model": place / "model",
        "against": "best",
        "data": place / "test.jsonl",
        "judge": "plan_world",
        "output": place / "out",
        "max_new_tokens": 8,
        **changes,
    }
    return ["evaluate", *(word for name, value in options.items() for word in (f"--{name}", str(value)))]


def test_a_random_model_loses_against_the_best_plans(place, capsys):
    assert main(arguments(place)) == 0
    out = capsys.readouterr().out
    result = json.loads((place / "out" / "evaluation.json").read_text())
    rates = result["win_rates"]
    assert (result["model"], result["against"], result["prompts"]) == ("model", "best", 6)
    assert rates["percentage"]["value"] < 0.1
    assert f"percentage        {rates['percentage']['value']:.3f} [" in out
    assert f"(coverage {rates['coverage']:.1%}, {rates['failed']} failed)" in out
    assert f"figures: {place / 'out'}/evaluation.json" in out
    assert len((place / "out" / "comparisons.jsonl").read_text(encoding="utf-8").splitlines()) == 6


def test_other_settings_into_the_same_folder_are_refused(place, capsys):
    output = place / "same"
    assert main(arguments(place, output=output)) == 0
    assert main(arguments(place, output=output, max_new_tokens=9)) == 2
    assert "give another output folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"responses": 2}, "needs a temperature above 0"),
        ({"data": "absent.jsonl"}, "absent.jsonl: no such file"),
        ({"model": "/nowhere"}, "'/nowhere': no such folder"),
        ({"max_new_tokens": "many"}, "max_new_tokens"),
    ],
)
def test_one_message(place, capsys, tmp_path, changes, message):
    assert main(arguments(place, output=tmp_path / "out", **changes)) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
