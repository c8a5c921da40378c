"""Records: what is written is read again; what is damaged is named by file and key."""

import json

import pytest

from run_folders import RUN, classification, evaluation, over_optimisation, run_record
from softpref.errors import InputError
from softpref.records.evaluation import ClassificationRecord, ComparisonRow, EvaluationRecord, OverOptimisationRecord
from softpref.records.figures import Interval, LengthControlled
from softpref.records.record import plain, read_rows
from softpref.records.run import RunRecord, read_metrics

RECORDS = [
    (RunRecord, RUN),
    (EvaluationRecord, evaluation()),
    (ClassificationRecord, classification()),
    (OverOptimisationRecord, over_optimisation("fell")),
]


@pytest.mark.parametrize(("kind", "values"), RECORDS, ids=lambda part: getattr(part, "__name__", ""))
def test_what_is_written_is_read_again(kind, values, tmp_path):
    record = kind.from_dict(values, "here")
    record.write(tmp_path / "record.json")
    assert kind.read(tmp_path / "record.json").as_dict() == record.as_dict()
    written = json.loads((tmp_path / "record.json").read_text())
    assert (written["record"], written["version"]) == (kind.kind, kind.version)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": {"arguments": 3}}, r"run\.json: method\.arguments: expected object, got int"),
        ({"data": {"labels": {"histogram": [1, "x"]}}}, r"run\.json: data\.labels.*"),
        ({"finished": {"steps": "20"}}, r"run\.json: finished\.steps: expected int, got str"),
        ({"versions": []}, r"run\.json: versions: expected object, got array"),
        ({"record": "labels"}, r"run\.json: is a record of 'labels', not of 'run'"),
        ({"version": 2}, r"run\.json: is of version 2, and this softpref reads 1; upgrade softpref"),
        ({"version": "one"}, r"run\.json: version: expected a whole number, got 'one'"),
    ],
)
def test_a_damaged_record_names_file_and_key(tmp_path, change, message):
    merged = {**RUN, **change}
    for key, value in RUN.items():
        if isinstance(value, dict) and isinstance(change.get(key), dict):
            merged[key] = {**value, **change[key]}
    (tmp_path / "run.json").write_text(json.dumps(merged))
    with pytest.raises(InputError, match=message):
        RunRecord.read(tmp_path / "run.json")


@pytest.mark.parametrize("text", ["[]", "3", '"text"', "null"])
def test_a_file_that_holds_no_object_is_refused(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match=r"run\.json"):
        RunRecord.read(tmp_path / "run.json")


def test_every_required_key_is_asked_for():
    for key in ("method", "data", "model"):
        with pytest.raises(InputError, match=f"object missing required field {key}"):
            RunRecord.from_dict({name: value for name, value in RUN.items() if name != key}, "run.json")


def test_an_undefined_bound_is_null_and_none(tmp_path):
    record = EvaluationRecord.from_dict(evaluation(kl={"value": 0.5, "low": None, "high": None}), "here")
    record.write(tmp_path / "e.json")
    assert EvaluationRecord.read(tmp_path / "e.json").kl == Interval(0.5)
    assert str(Interval(0.5)) == "0.500 [–, –]"


def test_an_interval_seen_from_the_other_side():
    """1 − 0.4 = 0.6, and [0.35, 0.45] becomes [0.55, 0.65]."""
    turned = Interval(0.4, 0.35, 0.45, 10, 5).turned()
    assert (turned.value, turned.low, turned.high, turned.n) == (pytest.approx(0.6), pytest.approx(0.55), pytest.approx(0.65), 10)
    assert [Interval(0.5, 0.4, high).excludes(0.6) for high in (0.59, 0.6, None)] == [True, False, False]
    assert plain(LengthControlled(0.5, model_longer=0.9))["model_longer"] == 0.9


def test_rows_name_their_line(tmp_path):
    file = tmp_path / "comparisons.jsonl"
    good = {"prompt": "a", "response": "b", "against": "c", "p": 0.5}
    file.write_text(json.dumps(good) + "\n" + json.dumps({**good, "p": "0.5"}) + "\n")
    with pytest.raises(InputError, match=r"comparisons\.jsonl: line 2: p: expected float \| null, got str"):
        read_rows(file, ComparisonRow)


@pytest.mark.parametrize(
    ("line", "problem"), [({"loss": 1.0}, "step: expected a whole"), ({"step": 1, "loss": "1"}, "loss: expected a number")]
)
def test_a_damaged_log_names_its_line(tmp_path, line, problem):
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 0, "loss": None}) + "\n" + json.dumps(line) + "\n")
    with pytest.raises(InputError, match=f"line 2: {problem}"):
        read_metrics(tmp_path / "metrics.jsonl")


def test_a_change_is_merged():
    assert run_record(method={"base": "ipo"}).method.base == "ipo"
    assert run_record().method.arguments == {"beta": 0.3}
