"""Markdown says what the page says, and text from elsewhere stays text in it."""

import pytest

from run_folders import comparison, evaluation, training, write_full, write_run
from softpref.report.collect import read_folders
from softpref.report.markdown import code, escaped, markdown
from softpref.report.page import write_report
from softpref.report.run_report import run_report


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a_b*c* `d` [e](f)", r"a\_b\*c\* \`d\` \[e\](f)"),
        ("<script>&", "&lt;script&gt;&amp;"),
        ("two\nlines | and a cell", r"two lines \| and a cell"),
        ("# no heading", r"\# no heading"),
        ("a\u202eb\ud83d", r"a\\u202eb\\ud83d"),
    ],
)
def test_words_stay_words(text, line):
    assert escaped(text) == line


@pytest.mark.parametrize(
    ("text", "span"), [("a | b", "`a | b`"), ("a`b", "``a`b``"), ("`", "`` ` ``"), ("a\n\nb", "`a b`"), ("", "–")]
)
def test_code_stays_code(text, span):
    assert code(text) == span


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    root = tmp_path_factory.mktemp("markdown")
    path = write_report(write_full(root), root / "report.md", "Three *losses*", "markdown")
    return path.read_text(encoding="utf-8")


def test_every_section_of_the_page_but_the_examples(said, tmp_path):
    folders = write_full(tmp_path)
    titles = [section.title for section in run_report(read_folders(folders), "t").sections]
    assert "Examples" in titles
    headings = [line[3:] for line in said.splitlines() if line.startswith("## ")]
    assert headings == [title for title in titles if title != "Examples"]
    assert said.startswith("# Three \\*losses\\*\n\n**gdpo beats each of the 2 others")


def test_tables_keep_their_intervals(said):
    assert "| gdpo | 70.0% \\[60.0 to 80.0\\] |" in said
    assert "|  | gdpo | dpo | cdpo |\n| --- | --- | --- | --- |\n| gdpo | – | 60.0% \\[55.0 to 65.0\\] |" in said
    widths = {block: {row.count(" | ") for row in block.splitlines()} for block in said.split("\n\n") if block.startswith("|")}
    assert widths
    assert all(len(found) == 1 for found in widths.values())


def test_a_figure_becomes_words(said):
    assert "*Margin: chosen less rejected along training.* chosen less rejected, nats: dpo from 0.00 to 3.00;" in said


def test_hostile_names_break_no_table(tmp_path):
    name = "a | b <img src=x onerror=alert(1)> `c`"
    folder = write_run(tmp_path / name, metrics=training(), evaluations={"greedy": evaluation()}, comparisons=[comparison()])
    text = markdown(run_report(read_folders([folder]), name))
    assert "<img" not in text.replace("`", "")
    rows = [line for line in text.splitlines() if line.startswith("| a \\| b")]
    assert len(rows) >= 2
