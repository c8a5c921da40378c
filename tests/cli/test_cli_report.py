"""``softpref report``, ``softpref card`` and ``softpref inspect --html`` as a user calls them."""

import json
import sys

import pytest

from softpref.cli.main import main

RUN = {
    "method": {"loss_type": "gdpo", "base": "dpo", "label_treatment": "geometric", "arguments": {"beta": 0.3}},
    "data": {
        "file": "pairs.jsonl",
        "fingerprint": "f" * 64,
        "reading": {"rows": 2},
        "tokens": {"kept": 2},
        "labels": None,
    },
    "model": {"start": "models/sft", "identity": "a" * 64},
    "reference": None,
    "seed": 1,
    "command": "softpref train",
    "versions": {},
    "finished": {"steps": 1},
}
ROWS = [
    {
        "prompt": "make tea",
        "chosen": "boil",
        "rejected": "wait here",
        "soft_label": 0.9,
        "judges": {"a": 1, "b": 0.2},
        "gold": 1,
    },
    {
        "prompt": "sleep",
        "chosen": "now",
        "rejected": "not now",
        "soft_label": 0.4,
        "judges": {"a": 0, "b": 0.2},
        "gold": 0,
    },
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "gdpo").mkdir()
    (tmp_path / "gdpo" / "run.json").write_text(json.dumps(RUN))
    return tmp_path / "gdpo"


@pytest.fixture
def data(tmp_path):
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path / "pairs.jsonl"


def run(capsys, *arguments, code=0):
    assert main([str(one) for one in arguments]) == code
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return out if code == 0 else err


def test_a_report_in_markdown(capsys, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "report", folder, "--format", "markdown") == "report: report.md\n"
    assert (tmp_path / "report.md").read_text().startswith("# softpref report\n")
    assert run(capsys, "report", folder) == "report: report.html\n"
    assert "format is 'pdf'" in run(capsys, "report", folder, "--format", "pdf", code=2)


def test_a_card_lies_in_the_run_and_is_never_replaced(capsys, folder, tmp_path):
    pytest.importorskip("huggingface_hub")
    assert run(capsys, "card", folder) == f"model card: {folder / 'README.md'}\n"
    (folder / "README.md").write_text("mine")
    assert "is there already, and may have been edited" in run(capsys, "card", folder, code=2)
    assert (folder / "README.md").read_text() == "mine"
    other = tmp_path / "card.md"
    run(capsys, "card", "--license", "mit", folder, "--output", other, "--base_model", "owner/base")
    assert "license: mit" in other.read_text()
    assert "base_model: owner/base" in other.read_text()


def test_a_card_is_about_one_run(capsys, folder, tmp_path):
    pytest.importorskip("huggingface_hub")
    assert "run: required" in run(capsys, "card", code=2)
    assert "unexpected argument" in run(capsys, "card", folder, folder, code=2)
    assert "holds no run" in run(capsys, "card", tmp_path / "nowhere", "--output", tmp_path / "x.md", code=2)


def test_a_card_without_the_hubs_library_says_what_to_install(capsys, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert "needs huggingface_hub: pip install 'softpref[hub]'" in run(capsys, "card", folder, code=2)


def test_a_page_about_a_data_set(capsys, data, tmp_path):
    page = tmp_path / "page.html"
    options = ("--annotators", "[judges]", "--gold", "gold")
    out = run(capsys, "inspect", "--data", data, "--html", page, *options)
    assert out.endswith(f"page: {page}\n")
    assert "2 pairs, 2 prompts" in out
    assert "Who disagrees with whom" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--annotators", "[judges]"], "annotators has no effect without html"),
        (["--orders", "by_order"], "orders has no effect without html"),
        (["--html", "page.txt"], "html is 'page.txt'; give a .html file"),
        (["--html", "x.html", "--gold_first", "1"], "gold_first and gold_second have no effect without gold"),
        (["--html", "x.html", "--annotators", "[judge]"], "no row holds judge"),
        (
            ["--html", "x.html", "--annotators", "[judges, gold]", "--gold", "nothing"],
            "row 1, nothing: has no gold label",
        ),
    ],
)
def test_options_of_the_page_that_are_wrong(capsys, data, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert message in run(capsys, "inspect", "--data", data, *arguments, code=2)
    assert not (tmp_path / "x.html").exists()


def test_completions_have_no_page(capsys, tmp_path):
    path = tmp_path / "sft.jsonl"
    path.write_text(json.dumps({"prompt": "p", "completion": "c"}) + "\n")
    assert "html is about pairs" in run(capsys, "inspect", "--data", path, "--html", tmp_path / "x.html", code=2)
