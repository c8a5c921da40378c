"""``softpref calibrate``: what it prints and writes, a page that asks for nothing, and one message for what is wrong."""

import json
import re

import numpy as np
import pytest
from scipy.special import expit

from softpref.cli.main import main
from softpref.evaluation.judge_calibration import load_calibration


def rows(n=80, seed=0):
    """A judge whose log-odds are twice too large."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 2, n)
    gold = rng.random(n) < expit(z)
    return [
        {
            "prompt": f"q{i}",
            "response_1": "a",
            "response_2": "b",
            "soft_label": float(expit(2 * z[i])),
            "label_source": {"method": "judge", "judge": "j<1>", "orders": "both"},
            "meta": {"gold": int(gold[i])},
        }
        for i in range(n)
    ]


@pytest.fixture
def data(tmp_path):
    return write(tmp_path / "labels.jsonl", rows())


def write(path, found):
    path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    return path


def run(capsys, data, /, *arguments, code=0, **changes):
    options = {
        "data": data,
        "gold": "meta.gold",
        "method": "temperature",
        "output": data.with_name("c.json"),
        **changes,
    }
    words = [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    assert main(["calibrate", *words, *arguments]) == code
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return err if code else out


@pytest.mark.parametrize("method", ["temperature", "platt", "isotonic"])
def test_what_is_printed_is_what_is_written(capsys, data, method):
    out = run(capsys, data, method=method)
    found = load_calibration(data.with_name("c.json"))
    assert found.method == method
    assert f"{data}: 80 rows in 80 groups by prompt, judge j<1>, mean gold " in out
    assert "scores out of fold (5 folds, no group in fit and score alike), 95% intervals over groups:" in out
    for name, label in (("brier", "Brier score"), ("log_score", "log score, nats"), ("ece", "ECE, 10 bins")):
        [line] = [line for line in out.splitlines() if label in line]
        numbers = [float(x) for x in re.findall(r"[-+]?\d+\.\d+", line)]
        parts = ("before", "after", "difference")
        written = [getattr(getattr(found.scores, part)[name], k) for part in parts for k in ("value", "low", "high")]
        assert numbers == pytest.approx(written, abs=5e-4)
    assert f"calibration: {data.with_name('c.json')}" in out


def test_the_parameters_are_said(capsys, data):
    temperature = load_calibration_after(capsys, data, "temperature")
    assert f"temperature: T = {temperature[0].calibrator.temperature:.3f}, fitted on all rows" in temperature[1]
    found, out = load_calibration_after(capsys, data, "platt", "--symmetric", "false")
    assert f"platt: slope {found.calibrator.slope:.3f}, intercept {found.calibrator.intercept:+.3f}, fitted" in out
    assert found.calibrator.intercept != 0
    found, out = load_calibration_after(capsys, data, "isotonic")
    top = found.calibrator.values[-1]
    assert f"isotonic: {len(found.calibrator.knots)} knots, p from {1 - top:.3f} to {top:.3f}, fitted" in out


def load_calibration_after(capsys, data, method, *arguments):
    out = run(capsys, data, *arguments, method=method)
    return load_calibration(data.with_name("c.json")), out


def test_certain_answers_are_said(capsys, tmp_path):
    found = rows()
    found[0]["soft_label"], found[1]["soft_label"] = 0, 1
    out = run(capsys, write(tmp_path / "x.jsonl", found))
    assert "2 labels lay outside [1e-06, 1 − 1e-06] and count as its ends; the scores hang on that bound (--clip)" in out


def test_out_of_fold_labels_are_written(capsys, data):
    path = data.with_name("calibrated.jsonl")
    assert f"out-of-fold labels: {path}" in run(capsys, data, out_of_fold=path)
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(found) == 80
    assert all(row["label_source"]["calibration"]["out_of_fold"] for row in found)
    assert "is calibrated already" in run(capsys, path, code=2, output=data.with_name("d.json"))


def test_the_page_is_written(capsys, data):
    path = data.with_name("reliability.html")
    assert f"reliability plot: {path}" in run(capsys, data, html=path, method="isotonic")
    text = path.read_text(encoding="utf-8")
    assert "<h1>Calibration by isotonic</h1>" in text
    assert "judge: j&lt;1&gt;" in text


def test_gold_by_name(capsys, tmp_path):
    found = rows()
    for row in found:
        row["meta"]["gold"] = 2 - row["meta"]["gold"]
    path = write(tmp_path / "x.jsonl", found)
    out = run(capsys, path, gold_first=1, gold_second=2)
    assert out.splitlines()[1:7] == run(capsys, write(tmp_path / "y.jsonl", rows())).splitlines()[1:7]
    assert "give P(first side better), or say which values name the sides (--gold_first 1" in run(capsys, path, code=2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": "absent.jsonl"}, "absent.jsonl: no such file"),
        ({"method": "beta"}, "method is 'beta'; known: isotonic, platt, temperature"),
        ({"method": None}, "method"),
        ({"gold": "meta.human"}, "row 1, meta.human: has no gold label; give every row its gold label"),
        ({"folds": 1}, "folds is 1; with fewer than 2 the fit would be scored on its own rows"),
        ({"folds": 81}, "80 different values of prompt are too few for 81 folds"),
        ({"group": "meta.gold"}, "2 different values of meta.gold are too few for 5 folds"),
        ({"clip": 0.7}, "clip is 0.7; it must lie between 0 and 0.5"),
        ({"symmetric": "false"}, "symmetric false has no effect on a temperature"),
        ({"gold_first": 1}, "gold_first and gold_second name the two sides: give both"),
        ({"output": "c.txt"}, "output is 'c.txt'; give a .json file"),
        ({"html": "page.txt"}, "give a .html file"),
        ({"flods": 3}, "unknown option 'flods'; did you mean 'folds'?"),
    ],
)
def test_one_message(capsys, data, changes, message):
    err = run(capsys, data, code=2, **changes)
    assert err.startswith("softpref calibrate: ")
    assert message in err
    assert not data.with_name("c.json").exists()


def test_no_file_is_written_over_another(capsys, data):
    before = data.read_bytes()
    assert f"out_of_fold is the data file {data}" in run(capsys, data, code=2, out_of_fold=data)
    assert data.read_bytes() == before


def test_identical_sides_are_counted(capsys, tmp_path):
    found = rows()
    found[0]["response_2"] = "a"
    path = write(tmp_path / "x.jsonl", found)
    assert "dropped: 1 rows with two identical sides" in run(capsys, path, "--reading.identical", "drop")


def test_a_judge_without_a_miss_is_not_made_certain(capsys, tmp_path):
    """Always right at p = 0.9 and 0.2 on 40 rows: the fit says what it was held to, and no label becomes 0 or 1."""
    judged = [
        {
            "prompt": f"q{i}",
            "response_1": f"a{i}",
            "response_2": f"b{i}",
            "soft_label": 0.9 if i % 2 else 0.2,
            "gold": float(i % 2),
        }
        for i in range(40)
    ]
    path = write(tmp_path / "x.jsonl", judged)
    out = run(capsys, path, "--out_of_fold", str(tmp_path / "o.jsonl"), gold="gold")
    assert "the judge's labels part the gold ones without one miss, so 40 rows set the calibration no bound" in out
    p = [json.loads(line)["soft_label"] for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert all(0.005 < value < 0.995 for value in p)
