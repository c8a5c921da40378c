"""Gold labels beside a judge's, scores that come from unseen prompts only, and the file that carries a calibration."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit

from softpref.core.calibration import FITS, Isotonic, Platt, Temperature, brier, log_score
from softpref.core.statistics import cluster_bootstrap
from softpref.data.formats import read_pairs, write_rows
from softpref.data.pairs import swap_sides
from softpref.data.read_options import ReadOptions
from softpref.data.validation import pairs_from_rows
from softpref.errors import DataError, InputError, OptionError
from softpref.evaluation.judge_calibration import (
    SCORES,
    Calibration,
    FitOptions,
    GoldOptions,
    apply_calibration,
    calibrate,
    calibrator_for,
    gold_rows,
    load_calibration,
    out_of_fold,
    pair_digest,
    reliability,
    write_calibration,
    write_out_of_fold,
)
from softpref.records.figures import Interval

GOLD = GoldOptions("meta.gold")
FOLDER = Path(os.environ.get("SOFTPREF_DATA") or Path(__file__).parents[2].parent / "shared" / "data")


def row(i, p, gold, prompt=None, **source):
    judge = {"method": "judge", "judge": "j", "orders": "both", **source}
    return {
        "prompt": prompt or f"q{i}",
        "response_1": f"a{i}",
        "response_2": f"b{i}",
        "soft_label": p,
        "label_source": judge,
        "meta": {"gold": gold},
    }


def pair_set(*rows):
    return pairs_from_rows(list(enumerate(rows, start=1)), "labels.jsonl")


def fitting(method="temperature", **changes):
    return FitOptions(method, **{"resamples": 50, **changes})


def simulated(n=400, temperature=2.5, seed=0, prompts=None):
    """A judge whose log-odds are ``temperature`` times too large; every prompt in n / prompts rows."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 1.5, n)
    gold = (rng.random(n) < expit(z)).astype(int)
    p = expit(temperature * z)
    return pair_set(*(row(i, float(p[i]), int(gold[i]), f"q{i % (prompts or n)}") for i in range(n)))


def fitted(pairs=None, method="temperature", gold=GOLD, **changes):
    return calibrate(gold_rows(pairs or simulated(), gold), gold, fitting(method, **changes))


# --- gold


def test_p_and_gold_are_of_the_files_first_side():
    """Reading turns rows 2 and 3 to p ≥ ½; gold is about the side that the file has first, so p is turned back."""
    rows = gold_rows(pair_set(row(1, 0.9, 1), row(2, 0.2, 0), row(3, 0.4, 1), row(4, 0.5, 0.25)), GOLD)
    assert rows.p.tolist() == [0.9, 0.2, 0.4, 0.5]
    assert rows.gold.tolist() == [1, 0, 1, 0.25]
    assert [pair.chosen for pair in rows.pairs] == ["a1", "a2", "a3", "a4"]
    assert (rows.judge, rows.orders, rows.name) == ("j", "both", "labels.jsonl")


@pytest.mark.parametrize(
    ("first", "second", "values"), [("1", "2", (1, 2)), ("A", "B", ("A", "B")), ("true", "false", (True, False))]
)
def test_gold_may_name_the_side(first, second, values):
    rows = gold_rows(pair_set(row(1, 0.9, values[0]), row(2, 0.2, values[1])), GoldOptions("meta.gold", first, second))
    assert rows.gold.tolist() == [1, 0]


@pytest.mark.parametrize("path", ["gold", "meta.gold"])
def test_a_column_is_found_with_and_without_meta(path):
    rows = [{**row(i, p, None), "gold": g, "meta": {}} for i, p, g in ((1, 0.9, 1), (2, 0.3, "0.5"))]
    assert gold_rows(pair_set(*rows), GoldOptions(path)).gold.tolist() == [1, 0.5]


def test_a_path_goes_down():
    rows = [{**row(i, 0.9, None), "meta": {"human": {"share": share}}} for i, share in ((1, 0.8), (2, 0.4))]
    assert gold_rows(pair_set(*rows), GoldOptions("meta.human.share")).gold.tolist() == [0.8, 0.4]


def test_groups_are_prompts_or_a_path():
    rows = [row(1, 0.9, 1, "q"), row(2, 0.8, 0, "r"), row(3, 0.7, 1, "q")]
    for i, one in enumerate(rows):
        one["meta"]["debate"] = {"name": i // 2}
    assert gold_rows(pair_set(*rows), GOLD).groups.tolist() == [0, 1, 0]
    assert gold_rows(pair_set(*rows), replace(GOLD, group="meta.debate.name")).groups.tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("bad", "gold", "message"),
    [
        (row(2, 0.8, None), GOLD, "row 2, meta.gold: has no gold label; give every row its gold label"),
        (row(2, 0.8, 1.5), GOLD, "row 2, meta.gold: 1.5 is not a number in [0, 1]; give P(first side better), or say"),
        (row(2, 0.8, "A"), GOLD, "row 2, meta.gold: A is not a number in [0, 1]"),
        (row(2, 0.8, True), GOLD, "row 2, meta.gold: true is not a number in [0, 1]"),
        (row(2, 0.8, [1, 0]), GOLD, "row 2, meta.gold: [1, 0] is not a number in [0, 1]"),
        (
            row(2, 0.8, 3),
            GoldOptions("meta.gold", "1", "2"),
            "row 2, meta.gold: is 3; write 1 (first side better) or 2",
        ),
        (row(2, 0.8, 1), replace(GOLD, group="meta.debate"), "row 2, meta.debate: has no group; give every row one"),
        (
            row(2, 0.8, 1, calibration="c.json"),
            GOLD,
            "row 2, label_source: is calibrated already; calibrate the judge's",
        ),
        (row(2, 0.8, 1, sides_exchanged=True), GOLD, "row 2, label_source: sides were exchanged, so gold may be about"),
        (row(2, 0.8, 1, judge="k"), GOLD, "row 2, label_source: judge is 'k', but 'j' in row 1; calibrate each judge"),
        (row(2, 0.8, 1, orders="one"), GOLD, "row 2, label_source: orders is 'one', but 'both' in row 1"),
    ],
)
def test_faults_name_file_row_field_and_mend(bad, gold, message):
    with pytest.raises(DataError) as caught:
        gold_rows(pair_set(row(1, 0.9, 1), bad), gold)
    assert str(caught.value).startswith("labels.jsonl: ")
    assert message in str(caught.value)


def test_all_faults_together_in_order():
    with pytest.raises(DataError) as caught:
        gold_rows(pair_set(row(1, 0.9, 1), row(2, 0.9, 7), row(3, 0.9, None), row(4, 0.9, 1, judge="k")), GOLD)
    assert [fault.row for fault in caught.value.faults] == [2, 3, 4]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (pair_set(row(1, 0.9, 1), row(2, 0.8, 1)), "labels.jsonl: meta.gold: all 2 gold labels are 1, which calibrates nothing"),
        (pair_set(row(1, 0.5, 1), row(2, 0.5, 0)), "labels.jsonl: soft_label: all are 0.5"),
        (pair_set({"prompt": "q", "chosen": "a", "rejected": "b", "meta": {"gold": 1}}), "holds no soft_label to calibrate"),
    ],
)
def test_a_file_that_calibrates_nothing(pairs, message):
    with pytest.raises(InputError) as caught:
        gold_rows(pairs, GOLD)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GoldOptions("gold", first="1"), "give both"),
        (lambda: GoldOptions("gold", "1", "1"), "different ones"),
        (lambda: FitOptions("temprature"), "did you mean 'temperature'"),
        (lambda: FitOptions("temperature", symmetric=False), "symmetric false has no effect on a temperature"),
        (lambda: FitOptions("platt", clip=0.5), "clip is 0.5"),
        (lambda: FitOptions("platt", folds=1), "the fit would be scored on its own rows"),
        (lambda: FitOptions("platt", resamples=0), "resamples is 0"),
    ],
)
def test_options_are_checked(make, message):
    with pytest.raises(OptionError) as caught:
        make()
    assert message in str(caught.value)


# --- nothing is scored on rows that it was fitted on


class Memory:
    """Knows the gold label of every log-odds that it was fitted on, and has no opinion on others."""

    def __init__(self, z, y, _symmetric):
        self.known = dict(zip(z.tolist(), y.tolist(), strict=True))

    def __call__(self, log_odds):
        return np.array([{1.0: 99.0, 0.0: -99.0}.get(self.known.get(z), 0.0) for z in log_odds])


def test_a_method_that_learns_rows_by_heart_gains_nothing(monkeypatch):
    """Every row unseen: p = ½ throughout, Brier ¼, log score log 2."""
    monkeypatch.setitem(FITS, "platt", Memory)
    rows = gold_rows(simulated(60), GOLD)
    after = out_of_fold(np.linspace(-3, 3, 60), rows, fitting("platt"))
    assert_array_equal(after, 0)
    assert (SCORES["brier"](after, rows.gold), SCORES["log_score"](after, rows.gold)) == (
        0.25,
        pytest.approx(np.log(2)),
    )


def test_no_prompt_is_in_fit_and_score_alike(monkeypatch):
    """Log-odds stand for prompts, so one of the prompt's other rows would give it away. Every fold trains on all the rest."""
    monkeypatch.setitem(FITS, "platt", Memory)
    rows = gold_rows(simulated(90, prompts=9), GOLD)
    same = replace(rows, gold=(rows.groups % 2).astype(float))
    for seed in range(5):
        assert_array_equal(out_of_fold(same.groups.astype(float), same, fitting("platt", seed=seed, folds=4)), 0)


def test_folds_share_the_groups_out_evenly(monkeypatch):
    seen = []
    monkeypatch.setitem(FITS, "platt", lambda z, _y, _s: seen.append(len(z)) or Platt(1.0, 0.0))
    out_of_fold(np.zeros(23), gold_rows(simulated(23), GOLD), fitting("platt", folds=5))
    assert sorted(seen) == [18, 18, 18, 19, 19]


def test_the_seed_deals_the_folds():
    rows = gold_rows(simulated(60), GOLD)
    z = np.linspace(-3, 3, 60)
    assert_array_equal(out_of_fold(z, rows, fitting(seed=3)), out_of_fold(z, rows, fitting(seed=3)))
    assert not np.array_equal(out_of_fold(z, rows, fitting(seed=3)), out_of_fold(z, rows, fitting(seed=4)))


def test_too_few_prompts_for_the_folds():
    with pytest.raises(InputError, match=r"labels\.jsonl: 3 different values of prompt are too few for 5 folds; .*--folds"):
        fitted(simulated(30, prompts=3))


# --- scores


def test_scores_are_those_of_the_rows():
    outcome = fitted(simulated(120, prompts=40))
    scores, gold, groups = outcome.calibration.scores, outcome.rows.gold, outcome.rows.groups
    assert scores.before["brier"].value == brier(expit(outcome.before), gold)
    assert scores.after["log_score"].value == log_score(outcome.after, gold)
    paired = cluster_bootstrap(
        lambda a, b, y: log_score(b, y) - log_score(a, y), outcome.before, outcome.after, gold, clusters=groups, resamples=50
    )
    assert scores.difference["log_score"] == Interval.of(paired)
    assert (paired.n, paired.clusters) == (120, 40)
    for name in SCORES:
        value = scores.after[name].value - scores.before[name].value
        assert scores.difference[name].value == pytest.approx(value, abs=1e-15)


@pytest.mark.parametrize("method", sorted(FITS))
def test_an_over_confident_judge_is_mended(method):
    """True temperature 2.5 on 1500 rows: every score falls, and its interval lies below 0."""
    outcome = fitted(simulated(1500), method, resamples=200)
    for name in SCORES:
        figure = outcome.calibration.scores.difference[name]
        assert figure.high < 0, name
    if method != "isotonic":
        calibrator = outcome.calibration.calibrator
        found = calibrator.temperature if method == "temperature" else 1 / calibrator.slope
        assert found == pytest.approx(2.5, rel=0.2)


def test_a_calibrated_judge_is_left_alone():
    outcome = fitted(simulated(1500, temperature=1.0), resamples=200)
    figure = outcome.calibration.scores.difference["log_score"]
    assert abs(figure.value) < 0.003
    assert outcome.calibration.calibrator.temperature == pytest.approx(1, abs=0.15)


def test_certain_answers_are_clipped_and_counted():
    rows = [row(i, float(i % 2), (i // 2) % 2) for i in range(20)]
    outcome = fitted(pair_set(*rows, row(30, 0.005, 0), row(31, 0.01, 0)), clip=0.01)
    assert outcome.clipped == 21
    assert np.abs(outcome.before).max() == pytest.approx(np.log(99))


def test_reliability_by_hand():
    """Bins of a tenth: p = .62 .64 with gold 1 0, and .91 with 1. Means .63 against ½, .91 against 1."""
    pairs = pair_set(row(1, 0.62, 1), row(2, 0.64, 0), row(3, 0.91, 1))
    rows = gold_rows(pairs, GOLD)
    [(low, first), (high, last)] = reliability(np.log(rows.p / (1 - rows.p)), rows)
    assert (low, high) == (pytest.approx(0.63), pytest.approx(0.91))
    assert (first.value, first.low, first.high, last.value) == (0.5, 0, 1, 1)


# --- the file


@pytest.mark.parametrize("method", sorted(FITS))
def test_a_calibration_survives_its_file(tmp_path, method):
    outcome = fitted(simulated(200), method)
    write_calibration(tmp_path / "c.json", outcome.calibration)
    loaded = load_calibration(tmp_path / "c.json")
    p = np.linspace(0, 1, 41)
    assert_array_equal(apply_calibration(loaded, p), apply_calibration(outcome.calibration, p))
    assert loaded.record.as_dict() == json.loads((tmp_path / "c.json").read_text(), parse_constant=pytest.fail)
    assert (loaded.method, loaded.clip) == (method, 1e-6)
    on = loaded.fitted_on
    assert (on.judge, on.orders, on.gold, on.rows, on.groups) == ("j", "both", "meta.gold", 200, 200)
    assert (on.file, on.group, on.symmetric, len(on.pairs)) == ("labels.jsonl", "prompt", True, 200 * 12)


@pytest.mark.parametrize("calibrator", [Temperature(2.0), Platt(0.5, 0.0), Isotonic((0.0, 1.0), (0.5, 0.7), True)])
def test_application_is_odd_and_finite(calibrator):
    """At T = 2 (slope ½) p = 0.9 becomes s(log 9 / 2) = ¾; p = ½ stays exactly that; 0 and 1 are the clip's."""
    calibration = Calibration(calibrator, 1e-6, {}, {})
    p = np.array([0, 1e-9, 0.1, 0.3, 0.5, 0.7, 0.9, 1 - 1e-9, 1])
    assert_allclose(apply_calibration(calibration, 1 - p), 1 - apply_calibration(calibration, p), atol=1e-12)
    assert apply_calibration(calibration, 0.5) == 0.5
    assert 0 < apply_calibration(calibration, 0.0) == apply_calibration(calibration, 1e-9)
    if not isinstance(calibrator, Isotonic):
        assert apply_calibration(calibration, 0.9) == pytest.approx(0.75, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("not json", "is not JSON"),
        ("[]", "expected an object as softpref calibrate writes it"),
        ("{}", "object missing required field method; it was not written by softpref calibrate"),
        ('{"version": 2}', "is of version 2, and this softpref reads 1"),
    ],
)
def test_files_that_are_no_calibration(tmp_path, text, message):
    path = tmp_path / "c.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_calibration(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "magic"}, "method is 'magic'"),
        ({"parameters": {"t": 1}}, "parameters: "),
        ({"parameters": {"temperature": -1}}, "above 0, not -1"),
        ({"parameters": {"temperature": "2"}}, "parameters: "),
        ({"clip": -1}, "clip is -1; it must lie between 0 and 0.5"),
        ({"clip": None}, "clip: expected float, got null"),
        ({"clip": "x"}, "clip: expected float, got str"),
    ],
)
def test_a_changed_calibration_is_refused(tmp_path, change, message):
    path = tmp_path / "c.json"
    write_calibration(path, fitted(simulated(60), "temperature").calibration)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError) as caught:
        load_calibration(path)
    assert message in str(caught.value)


# --- its use


def others(n):
    """Pairs that no calibration here has seen."""
    return [replace(pair, prompt=f"another {pair.prompt}") for pair in simulated(n)]


@pytest.fixture
def written(tmp_path):
    pairs = simulated(40)
    outcome = fitted(pairs)
    write_calibration(tmp_path / "c.json", outcome.calibration)
    return tmp_path / "c.json", list(pairs), outcome


def test_a_calibration_is_applied_to_other_pairs(written):
    path, _, outcome = written
    calibrated = calibrator_for(path, others(41), "j", "both")
    assert calibrated(0.9) == apply_calibration(outcome.calibration, 0.9)
    assert type(calibrated(0.9)) is float


def test_the_pairs_of_the_fit_are_refused(written):
    """However they come: unlabelled, in another order, with the sides exchanged, with other notes, among others."""
    path, pairs, _ = written
    again = [replace(swap_sides(pair), soft_label=None, meta={}, label_source={}) for pair in reversed(pairs)]
    message = r"c\.json: was fitted on 40 of these 40 pairs \(rows .*, …; in labels\.jsonl\).*--out_of_fold"
    for same in (pairs, again):
        with pytest.raises(InputError, match=message):
            calibrator_for(path, same)
    few = [replace(pair, row=100 + i) for i, pair in enumerate([*others(41), *again[:2]])]
    with pytest.raises(InputError, match=r"fitted on 2 of these 43 pairs \(rows 141, 142; in labels\.jsonl\)"):
        calibrator_for(path, few)


@pytest.mark.parametrize(("judge", "orders", "message"), [("k", "both", "judge 'j', not 'k'"), ("j", "one", "orders 'both'")])
def test_labels_of_another_kind_are_refused(written, judge, orders, message):
    with pytest.raises(InputError, match=message):
        calibrator_for(written[0], others(41), judge, orders)


def test_what_is_not_known_is_not_compared(tmp_path, written):
    calibrator_for(written[0], others(41))
    bare = pair_set(*({k: v for k, v in row(i, 0.2 + i / 20, i % 2).items() if k != "label_source"} for i in range(10)))
    write_calibration(tmp_path / "bare.json", fitted(bare).calibration)
    calibrator_for(tmp_path / "bare.json", others(41), "j", "both")


def test_a_digest_is_of_the_texts():
    one, two = simulated(4)[0], simulated(4, seed=1)[0]
    assert pair_digest(one) == pair_digest(two) == pair_digest(swap_sides(one))
    for name in ("prompt", "chosen", "rejected"):
        assert pair_digest(one) != pair_digest(replace(one, **{name: "other"}))


def test_out_of_fold_labels(tmp_path, written):
    """The file's order and sides; the label before beside it; and they are not calibrated twice."""
    _, _, outcome = written
    write_out_of_fold(tmp_path / "labels.jsonl", outcome)
    rows = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert_allclose([one["soft_label"] for one in rows], expit(outcome.after), atol=1e-15)
    assert [one["label_source"]["uncalibrated"] for one in rows] == outcome.rows.p.tolist()
    assert [one["response_1"] for one in rows] == [f"a{i}" for i in range(40)]
    assert rows[0]["label_source"] == {
        "method": "judge",
        "judge": "j",
        "orders": "both",
        "uncalibrated": outcome.rows.p[0],
        "calibration": {"method": "temperature", "out_of_fold": True, "folds": 5, "seed": 0},
    }
    with pytest.raises(DataError, match="is calibrated already"):
        gold_rows(read_pairs(tmp_path / "labels.jsonl"), GOLD)


def test_what_label_writes_can_be_calibrated(tmp_path):
    """Rows as they stand in a file, read through read_pairs."""
    write_rows(tmp_path / "x.jsonl", [row(i, 0.1 + i / 15, int(i > 4)) for i in range(10)])
    outcome = fitted(read_pairs(tmp_path / "x.jsonl"))
    assert_allclose(outcome.rows.p, [0.1 + i / 15 for i in range(10)], atol=1e-15)


# --- real judges


@pytest.mark.skipif(not (FOLDER / "llmbar_judges.jsonl").is_file(), reason=f"no real data in {FOLDER}: set SOFTPREF_DATA")
@pytest.mark.parametrize("method", sorted(FITS))
def test_real_judges_are_over_confident(method):
    """Six models' verdicts on LLMBar and LLMEval²: the log score falls, and its interval lies below 0. T is about 2."""
    pairs = read_pairs(FOLDER / "llmbar_judges.jsonl", ReadOptions(identical="drop"))
    gold = GoldOptions("meta.gold", "1", "2")
    outcome = fitted(pairs, method, gold, clip=0.01, resamples=300)
    assert outcome.calibration.fitted_on.groups == 617
    assert outcome.calibration.scores.difference["log_score"].high < 0
    if method == "temperature":
        assert outcome.calibration.calibrator.temperature == pytest.approx(1.97, abs=0.02)
