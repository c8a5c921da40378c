"""Several judges label a file: shares, failures, agreement and the store, worked by hand."""

import json
import math

import pytest

from judge_doubles import TableJudge
from softpref.data.formats import read_pairs
from softpref.data.pairs import PreferencePair
from softpref.errors import InputError, OptionError
from softpref.judges.joint import Joint, label_together
from softpref.judges.labelling import LabelOptions
from softpref.judges.store import JudgementStore

PAIRS = [
    PreferencePair("q", "a", "b", row=1),
    PreferencePair("q", "c", "d", row=2),
    PreferencePair("q", "e", "f", row=3),
]


def judge(identity, *p):
    """A judge without position bias: p for the first response of each pair; None is a failure."""
    table = {}
    for pair, x in zip(PAIRS, p, strict=True):
        table[pair.chosen, pair.rejected] = x
        table[pair.rejected, pair.chosen] = None if x is None else 1 - x
    return TableJudge(table, identity)


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def judges():
    return {"a": judge("A", 0.9, 0.2, None), "b": judge("B", 0.6, 0.4, 0.7)}


def test_labels_are_averages_and_keep_each_judges_share(tmp_path):
    """(0.9 + 0.6)/2 and (0.2 + 0.4)/2; a failed on the third pair, which has failed with it."""
    output = tmp_path / "out.jsonl"
    label_together(PAIRS, judges(), output, Joint())
    first, second = lines(output)
    assert (first["soft_label"], second["soft_label"]) == (pytest.approx(0.75), pytest.approx(0.3))
    source = first["label_source"]
    assert (source["method"], source["average"], source["orders"]) == ("judges", "probability", "both")
    assert source["judges"] == {
        "a": {"judge": "A", "p": pytest.approx(0.9), "weight": 0.5, "failures": []},
        "b": {"judge": "B", "p": pytest.approx(0.6), "weight": 0.5, "failures": []},
    }
    [failed] = lines(output.with_name("out.failed.jsonl"))
    assert failed["response_1"] == "e"
    assert failed["failures"] == ["a: it said nothing", "a: it said nothing"]
    assert [pair.soft_label for pair in read_pairs(output)] == pytest.approx([0.75, 0.7])


def test_one_of_two_is_enough_where_asked_for_and_the_label_says_so(tmp_path):
    output = tmp_path / "out.jsonl"
    found = label_together(PAIRS, judges(), output, Joint(min_judges=1))
    third = lines(output)[2]
    assert third["soft_label"] == pytest.approx(0.7)
    shares = third["label_source"]["judges"]
    assert (shares["a"]["p"], shares["a"]["weight"], shares["b"]["weight"]) == (None, 0.0, 1.0)
    assert shares["a"]["failures"] == ["it said nothing", "it said nothing"]
    assert (found.coverage, found.each["a"].coverage, found.each["b"].coverage) == (1.0, 2 / 3, 1.0)


def test_on_the_log_odds_scale(tmp_path):
    """Odds 9 and 1.5 make √13.5."""
    output = tmp_path / "out.jsonl"
    label_together(PAIRS, judges(), output, Joint("log_odds"))
    odds = math.sqrt(13.5)
    assert lines(output)[0]["soft_label"] == pytest.approx(odds / (1 + odds))


def test_agreement_between_judges_and_with_gold(tmp_path):
    """On the two pairs that both answered, both say 1 and 2: all equal, kappa and alpha 1. Gold says 1, 1, 1: b is right
    on two of three, and kappa is 0: gold never says 2, so chance alone gives ⅔."""
    found = label_together(PAIRS, judges(), tmp_path / "out.jsonl", Joint(), options=LabelOptions(gold=[1.0, 1.0, 1.0]))
    [between] = found.between.pairs
    assert between.judges == ("a", "b")
    assert (between.comparisons, between.accuracy, between.kappa, found.between.alpha) == (2, 1.0, 1.0, 1.0)
    b = found.each["b"].against["gold"]
    assert (b.pairs, b.accuracy, b.kappa) == (3, pytest.approx(2 / 3), pytest.approx(0.0))
    assert found.against["gold"].pairs == 2
    written = json.loads((tmp_path / "out.labels.json").read_text())
    assert written == json.loads(json.dumps(found.as_dict()))
    assert written["between"]["pairs"] == [{"judges": ["a", "b"], "comparisons": 2, "accuracy": 1.0, "kappa": 1.0}]


def test_each_judge_has_its_own_answers_in_the_store_and_none_is_asked_twice(tmp_path):
    output, asked = tmp_path / "out.jsonl", judges()
    label_together(PAIRS, asked, output, Joint())
    assert [len(one.asked) for one in asked.values()] == [6, 6]
    with JudgementStore(tmp_path / "out.sqlite") as store:
        assert store.judges() == {"A": 4, "B": 6}
    again = {**judges(), "c": judge("C", 0.5, 0.5, 0.5)}
    label_together(PAIRS, again, output, Joint(min_judges=2))
    assert [len(one.asked) for one in again.values()] == [2, 0, 6]  # a's failures, nothing of b, all of c


def test_a_calibration_is_of_these_judges_and_this_average():
    """Names do not matter; the judges, the average and how many must answer do."""
    two = judges()
    same = Joint().identity({"x": two["b"], "y": two["a"]})
    assert Joint().identity(two) == same == Joint(min_judges=2).identity(two)
    others = [Joint("log_odds").identity(two), Joint(min_judges=1).identity(two), Joint().identity({"a": two["a"]})]
    assert len({same, *others}) == 4


def test_the_joint_label_is_calibrated_and_shares_are_not(tmp_path):
    output = tmp_path / "out.jsonl"
    options = LabelOptions(calibrate=lambda p: p / 2, calibration_name="half.json")
    label_together(PAIRS, judges(), output, Joint(), options=options)
    row = lines(output)[0]
    assert row["soft_label"] == pytest.approx(0.375)
    assert row["label_source"]["uncalibrated"] == pytest.approx(0.75)
    assert row["label_source"]["judges"]["a"]["p"] == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("joint", "message"),
    [
        (Joint("logodds"), "did you mean 'log_odds'"),
        (Joint(min_judges=0), "min_judges is 0"),
        (Joint(min_judges=3), "between 1 and 2"),
    ],
)
def test_what_cannot_be_is_refused_before_anybody_is_asked(joint, message, tmp_path):
    asked = judges()
    with pytest.raises(OptionError, match=message):
        label_together(PAIRS, asked, tmp_path / "out.jsonl", joint)
    assert [one.asked for one in asked.values()] == [[], []]


def test_one_judge_under_two_names_is_refused():
    with pytest.raises(OptionError, match="judges a and b are the same judge"):
        Joint().check({"a": judge("A", 0.5, 0.5, 0.5), "b": judge("A", 0.5, 0.5, 0.5)})


def test_nothing_is_written_where_no_pair_has_enough_answers(tmp_path):
    deaf = {"a": judge("A", None, None, None), "b": judge("B", 0.6, 0.4, 0.7)}
    with pytest.raises(InputError, match=r"judge a: the first 6 judgements failed \(it said nothing\)"):
        label_together(PAIRS, deaf, tmp_path / "out.jsonl", Joint())
    assert not (tmp_path / "out.jsonl").exists()
