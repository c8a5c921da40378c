"""A tokenizer beside a model: ids without a row in the embedding are refused before they are read."""

from __future__ import annotations

import copy

import pytest

from softpref.demo.small_model import small_llama
from softpref.errors import ModelError
from softpref.loading.vocabulary import check_vocabulary, embedding_rows


@pytest.fixture
def tokenizer(word_tokenizer):
    return copy.deepcopy(word_tokenizer)


def test_rows_are_the_embedding_s(word_tokenizer):
    model = small_llama(word_tokenizer, hidden=16, layers=1, heads=2, context=8)
    assert embedding_rows(model) == len(word_tokenizer)
    model.resize_token_embeddings(50)
    assert embedding_rows(model) == 50


def test_a_tokenizer_with_as_many_ids_or_fewer_is_taken(tokenizer):
    check_vocabulary(tokenizer, len(tokenizer), "m")
    check_vocabulary(tokenizer, len(tokenizer) + 9, "m")


def test_added_tokens_without_a_row_are_named_with_both_sizes(tokenizer):
    rows = len(tokenizer)
    tokenizer.add_tokens(["<tool>", "apple"])
    message = rf"m: the tokenizer has ids up to {rows + 1}, but the model's embedding has {rows} rows, none for '<tool>', 'apple'"
    with pytest.raises(ModelError, match=rf"{message}; .*resize_token_embeddings\({rows + 2}\)"):
        check_vocabulary(tokenizer, rows, "m")


@pytest.mark.parametrize("mark", ["pad_token", "eos_token", "bos_token"])
def test_a_mark_without_a_row_is_refused(tokenizer, mark):
    rows = len(tokenizer)
    tokenizer.add_special_tokens({mark: "[NEW]"})
    with pytest.raises(ModelError, match=r"none for '\[NEW\]'"):
        check_vocabulary(tokenizer, rows, "m")


def test_a_special_token_that_the_template_writes_is_refused(tokenizer):
    rows = len(tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    check_vocabulary(tokenizer, rows, "m")
    tokenizer.chat_template = "{% for m in messages %}<|im_start|>{{ m.content }}{% endfor %}"
    with pytest.raises(ModelError, match=r"none for '<\|im_start\|>'"):
        check_vocabulary(tokenizer, rows, "m")


def test_one_that_nothing_writes_is_refused_in_a_text_alone(tokenizer):
    """As Gemma 3's image token in its models of text."""
    rows = len(tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    check_vocabulary(tokenizer, rows, "m", [tokenizer("make tea")["input_ids"], []])
    with pytest.raises(ModelError, match=rf"m: a text holds token id {rows}, but the model's embedding has {rows} rows"):
        check_vocabulary(tokenizer, rows, "m", [[1, 2], tokenizer("make <image> tea")["input_ids"]])
