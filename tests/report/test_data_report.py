"""The page about a labelled data set, by hand: agreement, votes, position, length, what is unsure."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softpref.data.formats import read_pairs
from softpref.data.inspection import inspect_pairs
from softpref.data.read_options import ReadOptions
from softpref.evaluation.judge_calibration import GoldOptions
from softpref.report.data_report import Columns, data_report
from softpref.report.data_sections.agreement import two_agree, vote_facts
from softpref.report.document import Examples, Facts, Figure, Matrix, Table

ROWS = [
    {
        "prompt": "make tea",
        "response_1": "boil the water",
        "response_2": "wait",
        "soft_label": 0.9,
        "meta": {"judges": {"ann": 1.0, "bob": [3, 1]}, "gold": 1},
    },
    {
        "prompt": "make tea",
        "response_1": "no",
        "response_2": "boil the water",
        "soft_label": 0.25,
        "meta": {"judges": {"ann": 0.0, "bob": [3, 1]}, "gold": 2},
    },
    {"prompt": "wait", "response_1": "yes", "response_2": "no", "soft_label": 0.5, "meta": {"judges": {"ann": 0.5}, "gold": 1}},
    {
        "prompt": "sleep",
        "response_1": "now",
        "response_2": "not now",
        "soft_label": 0.55,
        "meta": {"judges": {"ann": 0.8, "bob": [1, 0]}, "gold": 2},
    },
]


def document(path, rows=ROWS, columns=None, reading=None):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    pairs = read_pairs(path, reading)
    return data_report(pairs, inspect_pairs(pairs), 0, columns)


def blocks(of, section, kind):
    [found] = [one for one in of.sections if one.name == section] or [None]
    return [] if found is None else [block for block in found.blocks if isinstance(block, kind)]


@pytest.fixture
def plain(tmp_path):
    return document(tmp_path / "pairs.jsonl")


def test_the_verdict(plain):
    """0.5 and 0.55 lie below 0.6: half. Of the three decided pairs the longer side wins twice, and loses once."""
    assert plain.verdict.startswith("50% [")
    assert "of the labels are unsure (p < 0.6); of two unequal lengths the longer is preferred in 67% [" in plain.verdict
    assert plain.detail.startswith("4 pairs of 3 prompts in ")


def test_labels(plain):
    [figure] = blocks(plain, "labels", Figure)
    assert {row["low"]: row["pairs"] for row in figure.table.rows if row["pairs"]} == {0.5: 1, 0.55: 1, 0.75: 1, 0.9: 1}
    [facts] = blocks(plain, "labels", Facts)
    said = dict(facts.rows)
    assert said["exact ties"] == "1"
    assert said["second side preferred in the file"] == "1 (25.0%)"
    assert said["labels come from"] == "given in the file"


def test_what_the_file_does_not_hold_is_left_out(plain):
    assert {section.name for section in plain.sections} == {"labels", "length", "odd", "pairs"}


def test_who_disagrees_with_whom(tmp_path):
    """Verdicts: ann + − 0 +, bob + + ? +, the label + − 0 +. Ann and bob agree on 2 of 3, ann and the label on 4 of 4."""
    columns = Columns(["meta.judges"])
    found = document(tmp_path / "pairs.jsonl", columns=columns)
    [matrix] = blocks(found, "agreement", Matrix)
    shares = {pair: cell.value for pair, cell in matrix.cells.items()}
    assert shares == pytest.approx(
        {
            ("ann", "bob"): 2 / 3,
            ("bob", "ann"): 2 / 3,
            ("ann", "the label"): 1,
            ("the label", "ann"): 1,
            ("bob", "the label"): 2 / 3,
            ("the label", "bob"): 2 / 3,
        }
    )
    assert list(matrix.names) == ["ann", "bob", "the label"]
    [listed] = blocks(found, "agreement", Table)
    assert [row["pairs"] for row in listed.rows] == [3, 3, 4]
    assert "Two of the 2 judges give equal verdicts on 66.7% of pairs, on average." in found.detail


def test_opinions_follow_the_pair_that_was_turned_round(tmp_path):
    """Row 2 was turned to p = 0.75: ann's 0 becomes 1, bob's ¾ becomes ¼."""
    found = document(tmp_path / "pairs.jsonl", columns=Columns(["judges"]))
    [examples] = blocks(found, "pairs", Examples)
    turned = next(one for one in examples.items if one.note.endswith("row 2"))
    assert turned.p == 0.75
    assert turned.labels == [1.0, 0.25]
    assert turned.disagreement == 0.75
    assert turned.sides[0].text == "boil the water"
    assert turned.sides[0].note == "p = 0.75; ann 1.00; bob 0.25"


def test_gold_is_another_judge_and_a_measure(tmp_path):
    """Gold + − + −, the label + − 0 +: two equal of four. Brier: (0.1² + 0.25² + 0.5² + 0.55²) / 4 = 0.15625."""
    found = document(tmp_path / "pairs.jsonl", columns=Columns(gold=GoldOptions("gold", "1", "2")))
    [matrix] = blocks(found, "agreement", Matrix)
    assert matrix.cells["gold", "the label"].value == 0.5
    [scores] = blocks(found, "calibration", Facts)
    assert dict(scores.rows)["Brier score"].startswith("0.156 [")
    [figure] = blocks(found, "calibration", Figure)
    assert [row["p"] for row in figure.table.rows] == pytest.approx([0.25, 0.525, 0.9])
    assert [(row["gold"].value, row["pairs"]) for row in figure.table.rows] == [(0, 1), (0.5, 2), (1, 1)]


def test_votes_by_hand():
    """3:1 has 3 agreeing of 6 pairs of voters, 2:0 all of one: mean 75%. One of the two is unanimous."""
    said = dict(vote_facts([(3, 1, 0), (2, 0, 0), (1, 0, 0)]))
    assert said["votes"] == "2.33 per pair, from 1 to 4, on 3 pairs"
    assert said["unanimous"] == "50.0% of the 2 pairs with two votes or more"
    assert said["two voters agree"] == "75.0% of the time"


@given(st.lists(st.integers(0, 6), min_size=3, max_size=3).filter(lambda counts: sum(counts) > 1))
def test_two_voters_agree_as_often_as_counting_says(counts):
    voters = [choice for choice, count in enumerate(counts) for _ in range(count)]
    pairs = [(a, b) for i, a in enumerate(voters) for b in voters[i + 1 :]]
    assert two_agree(tuple(counts)) == pytest.approx(sum(a == b for a, b in pairs) / len(pairs))


def test_votes_of_the_labels_are_told(tmp_path):
    rows = [
        {**{k: row[k] for k in ("prompt", "response_1", "response_2")}, "votes_1": 2, "votes_2": i} for i, row in enumerate(ROWS)
    ]
    found = document(tmp_path / "pairs.jsonl", rows, reading=ReadOptions(vote_prior=1.0))
    [facts] = blocks(found, "agreement", Facts)
    assert dict(facts.rows)["votes"] == "3.50 per pair, from 2 to 5, on 4 pairs"


def test_position(tmp_path):
    """Biases 0.9 + 0.3 − 1 = 0.2 and 0.8 + 0.8 − 1 = 0.6: mean 0.4; only the second pair's orders disagree."""
    shown = [(0.9, 0.3), (0.8, 0.8)]
    rows = [
        {**ROWS[i], "label_source": {"method": "judge", "judge": "j", "first_shown": a, "second_shown": b}}
        for i, (a, b) in enumerate(shown)
    ]
    found = document(tmp_path / "pairs.jsonl", [*rows, ROWS[3]])
    [facts] = blocks(found, "position", Facts)
    said = dict(facts.rows)
    assert said["position bias"].startswith("+0.400")
    assert said["the two orders disagree"].startswith("50.0%")
    assert said["pairs with both orders"] == "2 of 3"
    differ, bias = blocks(found, "position", Figure)
    assert [(row["low"], row["differ"]) for row in differ.table.rows] == [(0.75, 1.0), (0.9, 0.0)]
    assert [row["bias"] for row in bias.table.rows] == pytest.approx([0.6, 0.2])


def test_position_from_counts_by_order(tmp_path):
    """First side 3 of 4 when shown first; when shown second 1 of 4, so what is first is preferred 3 of 4: bias ½."""
    row = {**ROWS[0], "by_order": {"original": [3, 1], "swapped": [1, 3]}}
    found = document(tmp_path / "pairs.jsonl", [row], Columns(orders="by_order"))
    [facts] = blocks(found, "position", Facts)
    assert dict(facts.rows)["position bias"].startswith("+0.500")


def test_length(plain):
    """3 words against 1, twice, the longer preferred; 2 against 1, where p = 0.55 prefers the shorter. The tie is left out."""
    [figure] = blocks(plain, "length", Figure)
    assert [(row["ratio"], row["longer"].value, row["pairs"]) for row in figure.table.rows] == [
        ("2 to 3 times", 0.0, 1),
        ("3 times or more", 1.0, 2),
    ]
    [words] = blocks(plain, "length", Table)
    assert [(row["side"], row["at_0"], row["at_1"]) for row in words.rows] == [
        ("prompt", 1, 2),
        ("chosen", 1, 3),
        ("rejected", 1, 2),
    ]


def test_an_empty_response_is_longer_by_any_measure(tmp_path):
    found = document(tmp_path / "pairs.jsonl", [{**ROWS[0], "response_2": ""}])
    [figure] = blocks(found, "length", Figure)
    assert [row["ratio"] for row in figure.table.rows] == ["3 times or more"]
    [odd] = blocks(found, "odd", Table)
    assert [row["what"] for row in odd.rows] == ["empty response"]


def test_repeated_responses_are_told(plain):
    """'boil the water' answers 'make tea' in two pairs: 2 of 8 sides."""
    [facts] = blocks(plain, "odd", Facts)
    assert dict(facts.rows)["responses that stand in several pairs"].startswith("25.0% of all sides")


def test_no_labels(tmp_path):
    rows = [{key: row[key] for key in ("prompt", "response_1", "response_2")} for row in ROWS]
    found = document(tmp_path / "pairs.jsonl", rows)
    assert found.verdict == "The pairs carry no soft label yet."
    assert {section.name for section in found.sections} == {"labels", "length", "odd"}
