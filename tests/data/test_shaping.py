"""Skewed, stairs, balance and noise: counts by hand, expectations, seeds, and rows that read back as they were."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softpref.data.formats import read_pairs, write_rows
from softpref.data.pairs import PreferencePair
from softpref.data.shaping import Balanced, Noise, Skewed, Stairs, record_of, shape_pairs
from softpref.data.validation import pairs_from_rows
from softpref.data.written import as_written, written_row
from softpref.errors import InputError, OptionError

# p of the file's first side
LABELS = [0.9, 0.2, 0.8, 0.79, 0.5, 0.21, 0.35, 1.0, 0.66, 0.72]


def row(i, p, **more):
    return {
        "prompt": f"q{i}",
        "response_1": f"a{i}",
        "response_2": f"b{i}",
        "soft_label": p,
        "meta": {"place": i},
        **more,
    }


def pair_set(labels):
    return pairs_from_rows([(i, row(i, p)) for i, p in enumerate(labels, start=1)], "pairs.jsonl")


def shaped_labels(labels, shape, seed=0):
    """(place, p of the first side) of what stays."""
    return [(one["meta"]["place"], one["soft_label"]) for one in map(written_row, shape_pairs(pair_set(labels), shape, seed))]


def bulk(counts):
    """So many labels in the middle of each of the stairs' five steps."""
    return [0.675 + 0.05 * step for step, count in enumerate(counts) for _ in range(count)]


def histogram(pairs, edges):
    return np.histogram([pair.soft_label for pair in pairs], np.array(edges) - 1e-9)[0].tolist()


STEPS = [0.65, 0.7, 0.75, 0.8, 0.85, 0.9]


# --- skewed


def test_skewed_by_hand():
    """Oriented, the labels are .9 .8 .8 .79 .5 .79 .65 1 .66 .72: from 0.8 on, rows 1, 2, 3 and 8 go."""
    assert shaped_labels(LABELS, Skewed(0.8)) == [(4, 0.79), (5, 0.5), (6, 0.21), (7, 0.35), (9, 0.66), (10, 0.72)]


def test_a_threshold_is_one_from_either_side():
    """1 − 0.3 is 0.7 to the last bit here and there; both rows go, whatever the bits."""
    for p in np.round(np.arange(0.51, 1, 0.01), 2):
        assert shaped_labels([float(p), round(1 - float(p), 2), 0.5], Skewed(float(p))) == [(3, 0.5)]


# --- stairs


def test_stairs_by_hand():
    """5:4:3:2:1 from 10 9 6 8 2 pairs. Pairs per unit of height 10/5, 9/4, 6/3, 8/2, 2/1: the least, 2, gives 10 8 6 4 2."""
    shaped = shape_pairs(pair_set([*bulk([10, 9, 6, 8, 2]), 0.5, 0.64, 0.9, 0.97, 1.0]), Stairs(), 0)
    assert histogram(shaped, STEPS) == [10, 8, 6, 4, 2]
    assert len(shaped) == 30


def test_steps_of_ones_own():
    """Two steps over [0.6, 0.8) of heights 1 and 2: 3 and 7 pairs give 3 and 6."""
    labels = [0.6] * 3 + [0.7] * 7 + [0.8] * 5
    assert histogram(shape_pairs(pair_set(labels), Stairs((1, 2), 0.6, 0.8), 0), [0.6, 0.7, 0.8, 0.9]) == [3, 6, 0]


def test_an_edge_belongs_to_the_step_it_begins():
    """0.65 + 0.05 is not 0.7 to the last bit; 0.3 is 0.7 from the other side."""
    shaped = shape_pairs(pair_set([0.65, 0.7, 0.25, 0.8, 0.15, 0.9, 0.35, 0.3]), Stairs((1,) * 5), 0)
    assert histogram(shaped, STEPS) == [1, 1, 1, 1, 1]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 40), min_size=5, max_size=5), st.integers(0, 3))
def test_counts_fall_as_the_heights_do(counts, seed):
    scale = min(c / s for c, s in zip(counts, (5, 4, 3, 2, 1), strict=True))
    found = histogram(shape_pairs(pair_set(bulk(counts)), Stairs(), seed), STEPS)
    assert found == [int(scale * s + 1e-9) for s in (5, 4, 3, 2, 1)]


def test_a_step_without_a_pair_is_named():
    with pytest.raises(InputError, match=r"pairs\.jsonl: no pair has p in \[0\.7, 0\.75\), \[0\.85, 0\.9\); give other"):
        shape_pairs(pair_set([0.66, 0.76, 0.81]), Stairs(), 0)


# --- balance


def test_balance_by_hand():
    """Bins [.5, .75) and [.75, 1] hold rows 5 7 9 10 and 1 2 3 4 6 8: four of each stay."""
    kept = [place for place, _ in shaped_labels(LABELS, Balanced(2))]
    assert kept == sorted(kept)
    assert len(kept) == 8
    assert {5, 7, 9, 10} <= set(kept)


def test_certain_labels_are_in_the_last_bin():
    assert len(shaped_labels([1.0, 0.0, 0.5, 0.6], Balanced(2))) == 4


def test_an_empty_bin_is_named():
    with pytest.raises(InputError, match=r"no pair has p in \[0\.6, 0\.7\), \[0\.7, 0\.8\); give other or fewer bins"):
        shape_pairs(pair_set([0.5, 0.85, 0.95]), Balanced(5), 0)


# --- noise


def test_soft_averaging_by_hand():
    """(1 − 0.2)·p + 0.2·(1 − p) = 0.2 + 0.6·p; of the first side whichever side it is."""
    for (_, after), p in zip(shaped_labels(LABELS, Noise("soft_averaging", 0.2)), LABELS, strict=True):
        assert after == pytest.approx(0.2 + 0.6 * p, abs=1e-12)


def test_flips_by_hand():
    """Rate 1 turns every label round, rate 0 none; a binary flip thresholds first, and a tie stays one."""
    assert [p for _, p in shaped_labels([0.9, 0.2, 0.5], Noise("soft_flip", 1))] == pytest.approx([0.1, 0.8, 0.5])
    assert [p for _, p in shaped_labels([0.9, 0.2, 0.5], Noise("soft_flip", 0))] == [0.9, 0.2, 0.5]
    assert [p for _, p in shaped_labels([0.9, 0.2, 0.5], Noise("binary_flip", 1))] == [0, 1, 0.5]
    assert [p for _, p in shaped_labels([0.9, 0.2, 0.5], Noise("binary_flip", 0))] == [1, 0, 0.5]


@pytest.mark.parametrize("kind", ["binary_flip", "soft_flip"])
def test_a_fifth_of_many_labels_is_turned_round(kind):
    """4000 labels of 0.8 at rate 0.2: 800 flips, standard error 25."""
    shaped = shape_pairs(pair_set([0.8] * 4000), Noise(kind, 0.2), 1)
    assert sum(pair.soft_label < 0.5 for pair in shaped) == pytest.approx(800, abs=100)


def test_soft_flips_average_to_soft_averaging():
    """Mean label 0.2·0.2 + 0.8·0.8 = 0.68; s.e. 0.6·√(0.16/4000) = 0.004."""
    flipped = shape_pairs(pair_set([0.8] * 4000), Noise("soft_flip", 0.2), 2)
    assert np.mean([pair.soft_label for pair in flipped]) == pytest.approx(0.68, abs=0.016)


# --- all shapes

ALL = [
    Skewed(0.8),
    Stairs((1,), 0.5, 1),
    Balanced(2),
    Noise("binary_flip", 0.3),
    Noise("soft_flip", 0.3),
    Noise("soft_averaging", 0.3),
]
DRAWN = [Balanced(2), Stairs((1, 2), 0.5, 1), Noise("binary_flip", 0.3), Noise("soft_flip", 0.3)]


@pytest.mark.parametrize("shape", DRAWN, ids=str)
def test_a_seed_is_a_draw(shape):
    labels = LABELS * 3
    assert shaped_labels(labels, shape, 7) == shaped_labels(labels, shape, 7)
    assert len({str(shaped_labels(labels, shape, seed)) for seed in range(8)}) > 1


@pytest.mark.parametrize("shape", ALL, ids=str)
def test_order_sides_and_meta_are_kept(shape):
    places = [place for place, _ in shaped_labels(LABELS, shape)]
    assert places == sorted(places)
    for pair in shape_pairs(pair_set(LABELS), shape, 0):
        found = written_row(pair)
        i = found["meta"]["place"]
        assert (found["prompt"], found["response_1"], found["response_2"]) == (f"q{i}", f"a{i}", f"b{i}")


@pytest.mark.parametrize("shape", ALL, ids=str)
def test_a_label_says_how_it_was_shaped(shape):
    for pair in shape_pairs(pair_set(LABELS), shape, 3):
        [step] = pair.label_source["shaped"]
        assert pair.label_source["method"] == "given"
        assert step == {**record_of(shape), "seed": 3, "soft_label_before": LABELS[pair.meta["place"] - 1]}
        assert json.loads(json.dumps(step))["shape"] == type(shape).__name__.lower()


@pytest.mark.parametrize("shape", ALL, ids=str)
def test_what_is_written_reads_back(tmp_path, shape):
    shaped = shape_pairs(pair_set(LABELS), shape, 0)
    write_rows(tmp_path / "shaped.jsonl", map(written_row, shaped))
    back = read_pairs(tmp_path / "shaped.jsonl")
    assert [written_row(pair) for pair in back] == json.loads(json.dumps([written_row(pair) for pair in shaped]))
    for one, two in zip(map(as_written, back), map(as_written, shaped), strict=True):
        assert one.soft_label == two.soft_label


def test_shapes_follow_one_another(tmp_path):
    """Noise, then skewed: two entries, the label before each of them, and the weight and id still there."""
    rows = [(1, row(1, 0.9, weight=2, id="x", label_source={"method": "judge", "judge": "j"})), (2, row(2, 0.6))]
    write_rows(
        tmp_path / "one.jsonl",
        map(written_row, shape_pairs(pairs_from_rows(rows, "p"), Noise("soft_averaging", 0.25), 0)),
    )
    [first, _] = shape_pairs(read_pairs(tmp_path / "one.jsonl"), Skewed(0.8), 0)
    found = written_row(first)
    assert [(step["shape"], step["soft_label_before"]) for step in found["label_source"]["shaped"]] == [
        ("noise", 0.9),
        ("skewed", pytest.approx(0.7)),
    ]
    assert (found["weight"], found["id"], found["label_source"]["judge"]) == (2, "x", "j")
    assert found["soft_label"] == pytest.approx(0.75 * 0.9 + 0.25 * 0.1)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 10**6))
def test_a_label_that_was_turned_round_comes_back_as_it_was(millionths):
    [pair] = pair_set([millionths / 10**6])
    assert as_written(pair).soft_label == millionths / 10**6


def test_a_pair_without_a_label_is_only_turned_back():
    pair = PreferencePair("q", "b", "a", swapped=True)
    assert (as_written(pair).chosen, as_written(pair).soft_label) == ("a", None)


def test_votes_are_written_as_a_label(tmp_path):
    """Columns of votes beside a soft_label would be two sources of one label."""
    rows = [(1, {"prompt": "q", "chosen": "a", "rejected": "b", "votes_1": 1, "votes_2": 3})]
    pairs = pairs_from_rows([*rows, (2, {**rows[0][1], "votes_2": 0, "prompt": "r"})], "p")
    write_rows(tmp_path / "out.jsonl", map(written_row, shape_pairs(pairs, Skewed(1), 0)))
    first = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    assert first["response_1"] == "a"
    assert first["label_source"]["votes"] == [1, 3, 0]
    assert len(read_pairs(tmp_path / "out.jsonl")) == 2


def test_nothing_left():
    with pytest.raises(InputError, match=r"none of the 1 pairs is left with .*skewed.*0\.8"):
        shape_pairs(pair_set([0.9]), Skewed(0.8), 0)


def test_nothing_to_shape():
    pairs = pairs_from_rows([(1, {"prompt": "q", "chosen": "a", "rejected": "b"})], "p.jsonl")
    with pytest.raises(InputError, match=r"p\.jsonl: holds no soft_label"):
        shape_pairs(pairs, Skewed(0.8), 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Skewed(0.5), "skewed is 0.5"),
        (lambda: Skewed(80), "skewed is 80"),
        (lambda: Stairs(()), "relative heights"),
        (lambda: Stairs((1, 0)), "each above 0"),
        (lambda: Stairs((1, float("nan"))), "each above 0"),
        (lambda: Stairs(low=0.3), "from 0.3 to 0.9"),
        (lambda: Stairs(low=0.9, high=0.65), "from 0.9 to 0.65"),
        (lambda: Balanced(0), "balance is 0"),
        (lambda: Noise("soft-flip", 0.1), "did you mean 'soft_flip'"),
        (lambda: Noise("soft_flip", 1.1), "rate is 1.1"),
    ],
)
def test_settings_are_checked(make, message):
    with pytest.raises(OptionError) as caught:
        make()
    assert message in str(caught.value)
