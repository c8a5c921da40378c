"""What inspect says of a data set, counted by hand."""

import pytest

from softpref.data.inspection import LABEL_BINS, inspect_pairs, label_summary
from softpref.data.pairs import PairSet, PreferencePair, Reading


def pair_set(*pairs):
    return PairSet(tuple(pairs), "pairs.jsonl", Reading(len(pairs)))


def labelled(*labels):
    return [PreferencePair("q", "a", "b", p) for p in labels]


def test_labels_by_hand():
    """Bins of 0.05: 0.5 → 10, 0.54 → 10, 0.55 → 11, 0.97 and 1 → 19. |2p − 1|: 0, 0.08, 0.1, 0.94, 1; mean 0.424."""
    found = label_summary(labelled(0.5, 0.54, 0.55, 0.97, 1.0))
    assert found["histogram"] == [0] * 10 + [2, 1] + [0] * 7 + [2]
    assert found["effective_weight"] == pytest.approx(2.12 / 5)
    assert found["ties"] == 1


def test_every_edge_falls_into_the_bin_that_it_begins():
    for i in range(LABEL_BINS):
        histogram = label_summary(labelled(i / LABEL_BINS))["histogram"]
        assert histogram.index(1) == i


def test_no_labels_no_figures():
    assert label_summary(labelled(None)) == {"histogram": [0] * LABEL_BINS, "effective_weight": None, "ties": 0}


def test_sizes_and_lengths_by_hand():
    """Chosen: 1, 2, 3, 4, 10 words. Median 3, 9 tenths at place round(3.6) = 4. Longer is chosen in 3 of 4 unequal,
    decided pairs: the tie and the pair of equal length say nothing."""
    long = " ".join("abcdefghij")
    found = inspect_pairs(
        pair_set(
            PreferencePair("one", "a", "b", 0.9),
            PreferencePair("one", "a b", "c", 0.8),
            PreferencePair("two", "a b c", "d", 0.7),
            PreferencePair("two words", "a b c d", "e f g h i", 0.6),
            PreferencePair("two", long, "k l", 0.75),
            PreferencePair("two", "m n o", "p", 0.5),
        )
    )
    assert (found.name, found.pairs, found.prompts) == ("pairs.jsonl", 6, 3)
    assert found.lengths["chosen"] == (1.0, 3.0, 4.0, 10.0)
    assert found.lengths["prompt"] == (1.0, 1.0, 1.0, 2.0)
    assert found.longer_is_chosen == pytest.approx(3 / 4)


def test_messages_are_measured_by_their_text():
    turn = [{"role": "user", "content": "two words"}, {"role": "user", "content": "and three more"}]
    found = inspect_pairs(pair_set(PreferencePair(turn, turn[:1], turn[1:], 0.9)))
    assert (found.lengths["prompt"][0], found.lengths["chosen"][0], found.longer_is_chosen) == (5.0, 2.0, 0.0)


GARBLED = "the replacement character \ufffd (text was decoded wrongly)"


def odd(*pairs):
    return {found.what: (found.count, found.rows) for found in inspect_pairs(pair_set(*pairs)).odd}


@pytest.mark.parametrize(
    ("pairs", "what", "rows"),
    [
        ([PreferencePair(" ", "a", "b", 0.9, row=1)], "empty prompt", (1,)),
        ([PreferencePair("q", "", "b", 0.9, row=1), PreferencePair("q", "a", "\n", 0.9, row=2)], "empty response", (1, 2)),
        ([PreferencePair("q", "a", "b", 0.9, row=i) for i in (1, 2)], "the same pair more than once", (1, 2)),
        (
            [PreferencePair("q", "a", "b", 0.9, row=1), PreferencePair("q", "b", "a", 0.9, row=4)],
            "the same pair with both preferences",
            (1, 4),
        ),
        ([PreferencePair("q", "a", "b", 0.9, weight=0.0, row=3)], "weight 0: teaches nothing", (3,)),
        ([PreferencePair("q", "a\ufffd", "b", 0.9, row=2)], GARBLED, (2,)),
        (
            [
                *(PreferencePair(f"q{i}", "a", "b", 0.9, row=i) for i in range(1, 4)),
                PreferencePair("q", "x " * 11, "b", 0.9, row=4),
            ],
            "a response over 10 times the median length",
            (4,),
        ),
    ],
)
def test_what_is_odd_is_counted_and_located(pairs, what, rows):
    assert odd(*pairs) == {what: (len(rows), rows)}


def test_nothing_odd_nothing_said():
    assert odd(PreferencePair("q", "a", "b", 0.9), PreferencePair("q", "a b", "c", 0.9)) == {}


def test_only_the_first_five_rows_are_named():
    found = odd(*(PreferencePair(f"q{i}", "", "b", 0.9, row=i) for i in range(1, 9)))
    assert found == {"empty response": (8, (1, 2, 3, 4, 5))}
