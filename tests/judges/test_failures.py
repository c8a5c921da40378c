"""Reasons that are one kind are counted once, and say what they have in common."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from softpref.judges.failures import MOST_KINDS, by_kind


def test_numbers_that_vary_become_a_range_and_others_stay():
    reasons = [f"{n} tokens, and the model reads at most 128" for n in (140, 129, 1000, 129)]
    assert by_kind([*reasons, "timeout"]) == {
        "129 to 1000 tokens, and the model reads at most 128": 4,
        "timeout": 1,
    }


def test_quotations_are_not_kinds():
    """0.050 twice, 0.5 once: a floating number; and of three tokens the commonest is named."""
    reasons = [
        f"the two answers had {mass} of the probability; the likeliest token was {said!r}"
        for mass, said in (("0.050", "Yes"), ("0.5", "it's 12"), ("0.050", "Yes"), ("0.2", 'a "b"'))
    ]
    assert by_kind(reasons) == {
        "the two answers had 0.050 to 0.5 of the probability; the likeliest token was 'Yes' (or 2 others)": 4
    }


def test_reasons_that_are_alike_stay_as_they_are():
    assert by_kind(["gave up after 5 calls: 503", "gave up after 5 calls: 503"]) == {"gave up after 5 calls: 503": 2}


def test_the_commonest_kinds_come_first_and_their_number_is_bounded():
    letters = [chr(ord("a") + i) * 3 for i in range(26)]
    found = by_kind([*letters, "zzz", "zzz"])
    assert next(iter(found.items())) == ("zzz", 3)
    assert len(found) == MOST_KINDS


@settings(deadline=None)
@given(st.lists(st.text(alphabet="ab '\"\\.07", max_size=12), max_size=12))
def test_every_reason_is_counted_once(reasons):
    """Whatever they hold: quotes that nobody closed, dots without digits."""
    assert sum(by_kind(reasons).values()) == len(reasons)


@settings(deadline=None)
@given(st.lists(st.text(alphabet="abc ", max_size=4), max_size=12))
def test_words_alone_are_counted_as_they_are(reasons):
    assert by_kind(reasons) == dict(Counter(reasons).most_common(MOST_KINDS))
