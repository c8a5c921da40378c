"""Pairs come out of Arrow columns as they went in, and cost there what their numbers cost."""

from __future__ import annotations

import random
import tracemalloc

import pyarrow as pa
import pytest

from softpref.data.pairs import PreferencePair
from softpref.data.token_table import JoinedRows, TokenizedPair, TokenizedPairs, token_batch
from softpref.data.tokenization import tokenize_pairs

SOME = [
    TokenizedPair([1, 2], [3], [4, 5], 0.7, 1.5, 3),
    TokenizedPair([6], [7, 8], [], None, 0.0, 4),
    TokenizedPair([2**31 - 1], [0], [9], 1.0, 1 / 3, 2**40),
    TokenizedPair([5], [4], [3], 0.1 + 0.2, 1.0, 8, 0.25),
]


@pytest.fixture
def table():
    return TokenizedPairs([token_batch(part) for part in (SOME[:3], [], SOME[3:])])


def test_rows_come_back_with_every_bit(table):
    assert list(table) == SOME
    assert [table[place] for place in range(len(table))] == SOME
    assert all(type(i) is int for row in table for ids in row.sequences for i in ids)


def test_a_table_is_indexed_as_a_list_is(table):
    assert len(table) == 4
    assert table[-1] == SOME[-1]
    for part in (slice(1, 4), slice(None, None, -2), slice(3, 1), slice(-1, 99)):
        assert table[part] == SOME[part]
    for place in (4, -5):
        with pytest.raises(IndexError):
            table[place]


def test_no_rows_are_an_empty_table():
    empty = TokenizedPairs([token_batch([])])
    assert (len(empty), list(empty), empty[:3]) == (0, [], [])


@pytest.mark.parametrize("part", [slice(None), slice(0, None, 2), slice(1, None, 2), slice(5, 2, -1), slice(2, 7)])
def test_joined_rows_are_the_lists_put_together(table, part):
    other = [1, 2, 3]
    whole = [*SOME, *other, *SOME]
    joined = JoinedRows([table, other, table])[part]
    assert list(joined) == whole[part]
    assert len(joined) == len(whole[part])
    assert list(joined[1:]) == whole[part][1:]


def _pairs(count):
    words = random.Random(0)
    text = [" ".join(words.choices(["make", "tea", "boil", "pour", "serve", "wait"], k=100)) for _ in range(3)]
    return [PreferencePair(text[0] + " ", f"{text[1]} {i}", text[2], 0.7, row=i) for i in range(count)]


def test_a_token_costs_four_bytes_and_a_pair_its_numbers(word_tokenizer):
    """Bytes that Arrow holds: ids of 4; 3 offsets of 4; label, weight, row, tie of 8; a bit for each of two; an end a batch."""
    tokens = tokenize_pairs(_pairs(2500), word_tokenizer)
    ids = sum(row.tokens for row in tokens)
    batches = len(tokens.batches)
    needed = 4 * ids + (3 * 4 + 4 * 8) * len(tokens)
    assert needed <= sum(batch.nbytes for batch in tokens.batches) <= needed + 2 * len(tokens) / 8 + (3 * 4 + 2) * batches


def test_tokens_are_not_held_as_objects(word_tokenizer):
    """An id in a list is a reference of 8 bytes: Python must hold less than one tenth of that for all rows together."""
    pairs = _pairs(3000)
    tokenize_pairs(pairs[:10], word_tokenizer)
    tracemalloc.start()
    try:
        tokens = tokenize_pairs(pairs, word_tokenizer)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert pa.total_allocated_bytes() > 0
    assert held < 0.1 * 8 * sum(row.tokens for row in tokens)
