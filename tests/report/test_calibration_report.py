"""The page about a calibration: its figures are those of the file, intervals are drawn, and no text in it acts."""

import csv
import io
import json
import re

import pytest

from softpref.core.calibration import Temperature
from softpref.data.formats import read_pairs
from softpref.evaluation.judge_calibration import FitOptions, GoldOptions, calibrate, gold_rows
from softpref.report.calibration_report import calibration_report
from softpref.report.format import parameters
from softpref.report.markdown import markdown
from softpref.report.page import html

JUDGE = "j<script>alert(1)</script>"
GOLD = GoldOptions("meta.gold")


def outcome_of(tmp_path, counts, n=160, resamples=50):
    """Rows at p = 0.9 or 0.1 (log-odds ± 2.197) whose gold label is 1 in ``counts`` of n and of n."""
    rows = [
        {
            "prompt": f"q{p}{i}",
            "response_1": "a",
            "response_2": "b",
            "soft_label": p,
            "label_source": {"method": "judge", "judge": JUDGE, "orders": "both"},
            "meta": {"gold": int(i < count)},
        }
        for p, count in zip((0.1, 0.9), counts, strict=True)
        for i in range(n)
    ]
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return calibrate(gold_rows(read_pairs(path), GOLD), GOLD, FitOptions("temperature", resamples=resamples))


@pytest.fixture(scope="module")
def overconfident(tmp_path_factory):
    """A judge that says 0.9 where 0.75 is right."""
    return outcome_of(tmp_path_factory.mktemp("calibration"), (40, 120))


def test_the_figure_has_the_gold_of_every_bin(overconfident):
    [figure, _] = calibration_report(overconfident).sections[0].blocks
    rows = list(csv.DictReader(io.StringIO(figure.table.csv())))
    before = [(float(r["p"]), float(r["gold_value"]), int(r["rows"])) for r in rows if r["when"] == "before"]
    assert before == [(pytest.approx(0.1), 0.25, 160), (pytest.approx(0.9), 0.75, 160)]
    # after: each fold's p lies near the gold shares
    after = [float(r["p"]) for r in rows if r["when"] == "after"]
    assert min(after) == pytest.approx(0.25, abs=0.05)
    assert max(after) == pytest.approx(0.75, abs=0.05)
    assert "before: 0.25 at p = 0.10, 0.75 at p = 0.90; after: " in figure.alt
    assert all(float(r["gold_low"]) < float(r["gold_value"]) < float(r["gold_high"]) for r in rows)


def test_the_scores_are_those_of_the_file(overconfident):
    [_, table] = calibration_report(overconfident).sections[0].blocks
    scores = overconfident.calibration.scores
    for row, name in zip(table.rows, ("brier", "log_score", "ece"), strict=True):
        assert [row[part] for part in ("before", "after", "difference")] == [
            getattr(scores, part)[name] for part in ("before", "after", "difference")
        ]


def test_the_verdict_is_by_the_log_score(overconfident, tmp_path):
    verdict = calibration_report(overconfident).verdict
    gain = -overconfident.calibration.scores.difference["log_score"].value
    assert gain > 0
    assert verdict.startswith(f"On rows that it has not seen, calibration improves the log score by {gain:.3f} [")
    # nothing to mend, and five temperatures that are a little wrong
    fair = calibration_report(outcome_of(tmp_path, (16, 144)))
    assert fair.verdict.startswith("On rows that it has not seen, calibration worsens the log score by 0.0")
    few = calibration_report(outcome_of(tmp_path, (10, 30), n=40))
    assert few.verdict.endswith("] nats: it may be no difference.")


def test_the_page_asks_for_nothing_and_no_text_acts(overconfident):
    page = html(calibration_report(overconfident))
    assert page.count("<script>") == 1
    assert "j&lt;script&gt;alert(1)" in page
    assert not re.findall(r'(?:src|href)="(?!#|data:)', page)
    assert page.count("<figure") == 1


def test_it_is_the_same_in_markdown(overconfident):
    text = markdown(calibration_report(overconfident))
    value = overconfident.calibration.scores.before["brier"].value
    assert text.startswith("# Calibration by temperature\n\n**On rows that it has not seen")
    assert f"| Brier score | {value:.3f} \\[" in text
    assert "<script>" not in text


def test_a_temperature_in_words():
    assert parameters(Temperature(1.97)) == "T = 1.970"
