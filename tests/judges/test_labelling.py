"""Pairs in, labelled pairs out: row order, coverage, the failed rows apart, and a summary by hand."""

import json

import pytest

from judge_doubles import TableJudge
from softpref.data.formats import read_pairs
from softpref.data.pairs import PreferencePair
from softpref.errors import InputError
from softpref.judges.labelling import label_pairs

PAIRS = [
    PreferencePair("q", "a", "b", id="one", weight=2.0, meta={"source": "s"}, row=1),
    PreferencePair("q", "c", "d", id="two", row=2),
    PreferencePair("q", "e", "f", id="three", meta={"topic": "tea"}, row=4),
    PreferencePair("q", "g", "h", id="four", row=5),
]
# p: (0.9 + 1 − 0.4)/2 = 0.75, failed, (0.2 + 1 − 0.9)/2 = 0.15, (0.6 + 1 − 0.8)/2 = 0.4
TABLE = {
    ("a", "b"): 0.9,
    ("b", "a"): 0.4,
    ("c", "d"): 0.7,
    ("d", "c"): None,
    ("e", "f"): 0.2,
    ("f", "e"): 0.9,
    ("g", "h"): 0.6,
    ("h", "g"): 0.8,
}


@pytest.fixture
def labelled(tmp_path):
    output = tmp_path / "out" / "pairs.jsonl"
    return output, label_pairs(PAIRS, TableJudge(TABLE), output)


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_rows_keep_their_order_and_their_fields(labelled):
    rows = lines(labelled[0])
    assert [row["id"] for row in rows] == ["one", "three", "four"]
    assert [row["soft_label"] for row in rows] == pytest.approx([0.75, 0.15, 0.4])
    assert {key: rows[0][key] for key in ("prompt", "response_1", "response_2", "weight", "meta")} == {
        "prompt": "q",
        "response_1": "a",
        "response_2": "b",
        "weight": 2.0,
        "meta": {"source": "s"},
    }


def test_a_label_knows_where_it_came_from(labelled):
    source = lines(labelled[0])[0]["label_source"]
    assert {key: source[key] for key in ("method", "judge", "orders")} == {
        "method": "judge",
        "judge": "table",
        "orders": "both",
    }
    assert (source["first_shown"], source["second_shown"]) == (pytest.approx(0.9), pytest.approx(0.4))


def test_what_is_written_is_read_as_oriented_pairs(labelled):
    found = read_pairs(labelled[0])
    assert [(p.chosen, p.rejected) for p in found] == [("a", "b"), ("f", "e"), ("h", "g")]
    assert [p.soft_label for p in found] == pytest.approx([0.75, 0.85, 0.6])
    assert found[0].label_source["judge"] == "table"


def test_failed_rows_stand_apart_without_a_label(labelled):
    [row] = lines(labelled[0].with_name("pairs.failed.jsonl"))
    assert (row["id"], row["response_1"], row["response_2"]) == ("two", "c", "d")
    assert row["failures"] == ["it said nothing"]
    assert "soft_label" not in row


def test_the_summary_by_hand(labelled):
    """Bias: (0.9 + 0.4 − 1) = 0.3, (0.2 + 0.9 − 1) = 0.1, (0.6 + 0.8 − 1) = 0.4; mean 0.8/3. The orders disagree where
    both favour the first shown: 0.6 and 0.8, one of three. A failed pair takes no part."""
    output, summary = labelled
    assert (summary.judge, summary.asked, summary.labelled, summary.coverage) == ("table", 4, 3, 0.75)
    assert summary.position_bias == pytest.approx(0.8 / 3)
    assert summary.order_disagreement == pytest.approx(1 / 3)
    assert json.loads(output.with_name("pairs.labels.json").read_text()) == summary.as_dict()


def test_labelling_again_asks_only_for_what_failed(labelled):
    output, _ = labelled
    judge, heard = TableJudge({**TABLE, ("d", "c"): 0.5}), []
    summary = label_pairs(PAIRS, judge, output, heard.append)
    assert judge.asked == [("d", "c")]
    assert [answer.question.first for answer in heard] == ["d"]
    assert (summary.labelled, summary.coverage) == (4, 1.0)
    assert [row["id"] for row in lines(output)] == ["one", "two", "three", "four"]
    assert output.with_name("pairs.failed.jsonl").read_text() == ""


def test_nothing_is_written_when_every_judgement_failed(tmp_path):
    output = tmp_path / "pairs.jsonl"
    with pytest.raises(InputError, match=r"the first 6 judgements failed \(it said nothing\)"):
        label_pairs(PAIRS, TableJudge(dict.fromkeys(TABLE)), output)
    assert not output.exists()


def test_messages_are_labelled_as_messages(tmp_path):
    turns = [[{"role": role, "content": text}] for role, text in (("user", "?"), ("assistant", "y"), ("assistant", "n"))]

    class Likes(TableJudge):
        def answer(self, questions):
            self.table = {("y", "n"): 0.8, ("n", "y"): 0.2}
            for question in questions:
                assert question.prompt == turns[0]
                plain = [type(question)("q", question.first[0]["content"], question.second[0]["content"])]
                [answer] = super().answer(plain)
                yield type(answer)(question, answer.first_logp, answer.second_logp)

    output = tmp_path / "pairs.jsonl"
    label_pairs([PreferencePair(*turns)], Likes({}), output)
    [pair] = read_pairs(output)
    assert (pair.prompt, pair.chosen, pair.rejected, pair.soft_label) == (*turns, pytest.approx(0.8))
