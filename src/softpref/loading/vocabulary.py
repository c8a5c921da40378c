"""A tokenizer beside a model: every id that it can give has a row in the embedding."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from softpref.errors import ModelError
from softpref.loading.weights import shown

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def embedding_rows(model: Any) -> int:
    """How many token ids a model knows."""
    # an adapter's wrapper around the embedding may hide its size
    rows = getattr(model.get_input_embeddings(), "num_embeddings", None)
    return int(rows or model.config.get_text_config().vocab_size)


def name_of(model: Any) -> str:
    """The folder or Hub name that a model came from, for messages."""
    return str(getattr(model.config, "name_or_path", "") or "the model")


def check_vocabulary(tokenizer: PreTrainedTokenizerBase, rows: int, name: str, texts: Iterable[Iterable[int]] = ()) -> None:
    """Raises ModelError where the tokenizer has ids that the model ``name``, with an embedding of ``rows``, does not know.

    A special token that is no mark of the tokenizer's and stands in no chat template may lie beyond the embedding: published
    models have such (an image's token in a model of text). Then the ids in ``texts`` are looked at.
    """
    beyond = {token: i for token, i in tokenizer.get_vocab().items() if i >= rows}
    if not beyond:
        return
    special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    marks = {tokenizer.pad_token, tokenizer.eos_token, tokenizer.bos_token, tokenizer.unk_token}
    template = str(tokenizer.chat_template or "")
    used = sorted(token for token in beyond if token not in special or token in marks or token in template)
    if used:
        raise ModelError(
            f"{name}: the tokenizer has ids up to {max(beyond.values())}, but the model's embedding has {rows} rows, none for "
            f"{shown([repr(token) for token in used])}; give the tokenizer that belongs to the model, or call "
            f"model.resize_token_embeddings({max(beyond.values()) + 1}) and save the model"
        )
    refuse_unknown_ids(texts, rows, name)


def refuse_unknown_ids(texts: Iterable[Iterable[int]], rows: int, name: str) -> None:
    """Raises ModelError for a token id that the model ``name`` has no row for: it would be read outside of the embedding."""
    highest = max((max(ids, default=0) for ids in texts), default=0)
    if highest >= rows:
        raise ModelError(
            f"{name}: a text holds token id {highest}, but the model's embedding has {rows} rows; remove that special token "
            "from the text, or give the tokenizer that belongs to the model"
        )
