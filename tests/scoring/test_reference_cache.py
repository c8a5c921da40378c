"""The reference's scores on disk: what a key depends on, what a kill leaves behind, and that nothing is computed twice."""

from __future__ import annotations

import json
import math
from contextlib import ExitStack

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from softpref.data.tokenization import TokenizedPair
from softpref.errors import NonFiniteError, OptionError
from softpref.scoring.reference import CachedReference, Reference, score_once
from softpref.scoring.reference_cache import ReferenceCache, pair_key, reference_key
from softpref.scoring.scores import PairScores

ids = st.lists(st.integers(0, 300), max_size=4)


def pair(number, row=None):
    return TokenizedPair([number], [number, 1], [2], 0.7, 1.0, number if row is None else row)


class CountingScorer:
    """Scores are the first id of the prompt and half of it; it may die at its n-th call."""

    def __init__(self, dies_at=None):
        self.dies_at = dies_at
        self.scored = []

    def __call__(self, _model, pairs):
        if len(self.scored) + 1 == self.dies_at:
            raise KeyboardInterrupt
        self.scored.append([one.prompt[0] for one in pairs])
        first = torch.tensor([float(one.prompt[0]) for one in pairs])
        return PairScores(-first, -first / 2, torch.ones(len(pairs)), torch.ones(len(pairs)))


@pytest.fixture
def cache_at(tmp_path):
    """A cache with this key, closed when the test ends."""
    with ExitStack() as stack:

        def make(key="key"):
            cache = ReferenceCache(tmp_path, key)
            stack.callback(cache.close)
            return cache

        yield make


@pytest.fixture
def reference():
    return Reference(torch.nn.Linear(1, 1), "identity")


@given(st.tuples(ids, ids, ids), st.tuples(ids, ids, ids))
def test_the_key_is_the_token_ids_and_where_they_part(one, other):
    keys = [pair_key(TokenizedPair(*sides, None, 1.0, 1)) for sides in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)


def test_a_token_on_the_other_side_of_a_boundary_is_another_key():
    keys = {
        pair_key(TokenizedPair(*sides, None, 1.0, 1)) for sides in (([1, 2], [3], [4]), ([1], [2, 3], [4]), ([1], [2], [3, 4]))
    }
    assert len(keys) == 3


def test_label_weight_and_row_are_not_in_the_key():
    """Runs that compare losses and labels on the same pairs share their reference."""
    assert pair_key(TokenizedPair([1], [2], [3], 0.7, 1.0, 1)) == pair_key(TokenizedPair([1], [2], [3], None, 2.0, 9))


def test_another_reference_configuration_or_precision_is_another_key():
    config = {"rope_theta": 1e4, "hidden_size": 16, "_name_or_path": "a", "transformers_version": "5.20"}
    keys = [
        reference_key("identity", config, "bf16"),
        reference_key("another", config, "bf16"),
        reference_key("identity", {**config, "rope_theta": 1e6}, "bf16"),
        reference_key("identity", config, "torch.float32"),
    ]
    assert len(set(keys)) == 4
    elsewhere = {"transformers_version": "5.23", "_name_or_path": "b", "hidden_size": 16, "rope_theta": 1e4}
    assert reference_key("identity", elsewhere, "bf16") == keys[0]


def test_scores_come_back_to_the_last_digit(cache_at):
    exact = (-math.pi * 100, -1 / 3)
    cache = cache_at()
    cache.add([pair(1)], [exact])
    cache.close()
    assert cache_at().read() == {pair_key(pair(1)): exact}


def test_reading_leaves_no_trace(tmp_path):
    assert ReferenceCache(tmp_path / "cache", "key").read() == {}
    assert not (tmp_path / "cache").exists()


def test_another_key_is_another_place(cache_at):
    cache = cache_at("one")
    cache.add([pair(1)], [(-1.0, -2.0)])
    assert cache_at("two").read() == {}


def test_two_writers_do_not_wait_for_one_another(cache_at):
    """Each has a file of its own, open at the same time; both read the union, and so does a third."""
    one, two = cache_at(), cache_at()
    for number in (1, 3):
        one.add([pair(number)], [(-float(number), 0.0)])
        two.add([pair(number + 1)], [(-float(number + 1), 0.0)])
    expected = {pair_key(pair(number)): (-float(number), 0.0) for number in (1, 2, 3, 4)}
    assert one.read() == two.read() == cache_at().read() == expected
    assert len(list(one.folder.iterdir())) == 2


def test_half_a_line_is_not_a_line(cache_at):
    """Wherever the kill came: only the line being written is lost, and its pair is computed again."""
    cache = cache_at()
    cache.add([pair(1), pair(2)], [(-1.25, -0.5), (-2.25, -1.5)])
    cache.close()
    (file,) = cache.folder.iterdir()
    whole = file.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole) - 1):
        file.write_bytes(whole[:end])
        again = cache_at()
        assert again.read() == {pair_key(pair(1)): (-1.25, -0.5)}
        assert again.missing([pair(1), pair(2)]) == [pair(2)]
    again.add([pair(2)], [(-2.25, -1.5)])
    assert len(cache_at().read()) == 2


def test_a_byte_that_has_changed_is_found_wherever_it_is(cache_at, caplog):
    """No digit of a score, a key or a check may change without its pair being computed again, with a notice."""
    pairs, scores = [pair(1), pair(2), pair(3)], [(-1.25, -0.5), (-2.25, -1.5), (-3.5, -2.5)]
    cache = cache_at()
    cache.add(pairs, scores)
    (file,) = cache.folder.iterdir()
    whole = file.read_bytes()
    first = whole.index(b"\n") + 1
    for place in range(first, whole.index(b"\n", first)):
        caplog.clear()
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        again = cache_at()
        read = {key: both for key, both in again.read().items() if key in {pair_key(one) for one in pairs}}
        everything = {pair_key(one): both for one, both in zip(pairs, scores, strict=True)}
        assert read in (everything, {pair_key(pairs[0]): scores[0], pair_key(pairs[2]): scores[2]})
        if len(read) == 2:
            assert again.missing(pairs) == [pairs[1]]
            assert f"{file}: line 2 has changed since written" in caplog.text
        else:
            # JSON takes another space, or none, for the same content
            assert whole[place : place + 1].isspace()


def test_what_is_missing_is_named_once(cache_at):
    cache = cache_at()
    cache.add([pair(1)], [(-1.0, -0.5)])
    found = cache.missing([pair(3, row=1), pair(1), pair(2), pair(3, row=4), pair(2)])
    assert sorted(one.prompt[0] for one in found) == [2, 3]


def test_a_killed_run_goes_on_where_it_was(reference, cache_at):
    """Each batch is on disk before the next one is computed; the second run computes the third pair alone."""
    pairs = [pair(1), pair(2), pair(3)]
    killed, cache = CountingScorer(dies_at=3), cache_at()
    with pytest.raises(KeyboardInterrupt):
        score_once(reference, killed, [[one] for one in pairs], cache)
    again, cache = CountingScorer(), cache_at()
    score_once(reference, again, [cache.missing(pairs)], cache)
    assert (killed.scored, again.scored) == ([[1], [2]], [[3]])
    assert cache.read() == {pair_key(one): (-float(one.prompt[0]), -one.prompt[0] / 2) for one in pairs}


def test_every_batch_is_on_disk_before_the_next(reference, cache_at):
    cache, seen = cache_at(), []

    def scorer(model, pairs):
        seen.append(len(cache_at().read()))
        return CountingScorer()(model, pairs)

    done = []
    score_once(reference, scorer, [[pair(1), pair(2)], [pair(3)]], cache, done.append)
    assert (seen, done) == ([0, 2], [2, 1])


def test_what_is_not_finite_is_named_and_not_kept(reference, cache_at):
    def scorer(model, pairs):
        scores = CountingScorer()(model, pairs)
        scores.rejected[0] = math.nan
        return scores

    cache = cache_at()
    with pytest.raises(NonFiniteError, match=r"rows \[7\] are not finite"):
        score_once(reference, scorer, [[pair(1, row=7), pair(2, row=8)]], cache)
    assert cache_at().read() == {}


def test_cached_scores_are_looked_up_in_the_order_of_the_pairs():
    """Lengths are the pairs' own; a pair that was never scored is an error that names its row, never a 0."""
    known = {pair_key(pair(number)): (-float(number), -number / 3) for number in (1, 2)}
    reference = CachedReference("identity", known)
    scores = reference.score(CountingScorer(), [pair(2), pair(1)])
    assert scores.chosen.tolist() == [-2, -1]
    assert scores.rejected.tolist() == [-2 / 3, -1 / 3]
    assert scores.chosen.dtype == torch.float64
    assert (scores.chosen_length.tolist(), scores.rejected_length.tolist()) == ([2, 2], [1, 1])
    with pytest.raises(OptionError, match=r"rows \[17\] were not scored under the reference"):
        reference.score(CountingScorer(), [pair(1), pair(5, row=17)])


def test_a_line_is_readable_without_softpref(tmp_path, cache_at):
    cache = cache_at("key" * 20)
    cache.add([pair(1)], [(-1.5, -0.5)])
    (file,) = (tmp_path / ("key" * 20)[:32]).iterdir()
    assert json.loads(file.read_text())[:3] == [pair_key(pair(1)), -1.5, -0.5]
