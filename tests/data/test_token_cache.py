"""Token ids come back as they were made, and only for what they were made of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from softpref.data.files import cache_folder
from softpref.data.pairs import Completion, PreferencePair
from softpref.data.token_cache import cached_tokens
from softpref.data.tokenization import TokenOptions, tokenize_pairs

PAIRS = [
    PreferencePair("make tea :", "boil the water .", "wait .", 0.8, 1.5, row=3),
    PreferencePair("make tea :", "pour .", "serve the pot .", None, 1.0, row=7),
    PreferencePair("make tea for two :", "boil the water . " * 9, "no .", 0.5, 0.0, row=8),
]


@pytest.fixture
def ask(word_tokenizer, tmp_path, monkeypatch):
    """Tokens through the cache, and how often they were made."""
    monkeypatch.setenv("SOFTPREF_CACHE", str(tmp_path))
    made = []

    def run(pairs=PAIRS, tokenizer=word_tokenizer, options=None, with_rejected=True):
        options = options or TokenOptions(max_length=20)

        def make():
            made.append(1)
            return tokenize_pairs(pairs, tokenizer, options, with_rejected=with_rejected)

        return cached_tokens(pairs, tokenizer, options, with_rejected, make)

    run.made = made
    return run


def test_the_second_time_is_the_first_one_read_back(ask):
    first, second = ask(), ask()
    assert len(ask.made) == 1
    assert list(first) == list(second)
    assert [type(row.prompt[0]) for row in second] == [int, int]
    assert (second.counts.kept, second.counts.too_long) == (2, 1) == (first.counts.kept, first.counts.too_long)
    assert second[1].soft_label is None


def test_other_rows_options_or_sides_are_made_anew(ask):
    ask()
    ask(pairs=[replace(PAIRS[0], soft_label=0.81), *PAIRS[1:]])
    ask(options=TokenOptions(max_length=20, truncation="keep"))
    ask(with_rejected=False)
    assert len(ask.made) == 4


def test_another_tokenizer_is_made_anew(ask, word_tokenizer):
    ask()
    other = type(word_tokenizer)(
        tokenizer_object=word_tokenizer.backend_tokenizer,
        eos_token="tea",  # noqa: S106
    )
    ask(tokenizer=other)
    assert len(ask.made) == 2


def test_a_torn_file_is_made_anew(ask):
    first = list(ask())
    file = next((cache_folder() / "tokens").glob("*.arrow"))
    file.write_bytes(file.read_bytes()[:100])
    assert list(ask()) == first
    assert len(ask.made) == 2
    assert list(ask()) == first
    assert len(ask.made) == 2


def test_a_byte_that_has_changed_is_found_and_the_tokens_are_made_anew(ask, caplog):
    """Every 41st byte of the file in turn: its headers, its ids, its counts, its digest."""
    first = list(ask())
    file = next((cache_folder() / "tokens").glob("*.arrow"))
    whole = file.read_bytes()
    for place in range(0, len(whole), 41):
        caplog.clear()
        made = len(ask.made)
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        assert list(ask()) == first
        assert len(ask.made) == made or "has changed since it was written" in caplog.text
    assert len(ask.made) > 1


def test_completions_have_no_other_side(ask):
    pairs = [Completion("make tea :", "boil .", 1.0, row=1)]
    assert list(ask(pairs=pairs, with_rejected=False)) == list(ask(pairs=pairs, with_rejected=False))
    assert len(ask.made) == 1
