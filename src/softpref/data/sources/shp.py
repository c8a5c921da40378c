"""Stanford Human Preferences: two comments on one Reddit post, of which readers liked one better (Ethayarajh et al. 2022).

https://huggingface.co/datasets/stanfordnlp/SHP and SHP-2. The columns read here:

    post_id, domain, history, human_ref_A, human_ref_B, score_A, score_B, labels (1: A is better, 0: B), score_ratio

One vote a pair. Scores are upvotes less downvotes of whoever came by, in other numbers for each comment: no count of votes on the
pair, so ``score_ratio`` is kept as a note.
"""

from __future__ import annotations

from collections.abc import Iterator

from softpref.data.sources.rows import PairRow, Row, RowFaultError, inner, text, voted


def pairs(row: Row) -> Iterator[PairRow]:
    """One vote on two comments."""
    label = inner(row, "labels")
    if label not in (0, 1):
        raise RowFaultError("labels", f"is {label!r}", "give 1 where A is better, or 0")
    meta = {name: row.get(name) for name in ("domain", "post_id", "score_ratio") if row.get(name) is not None}
    votes = (int(label), 1 - int(label), 0)
    yield voted(text(row, "history").strip(), text(row, "human_ref_A"), text(row, "human_ref_B"), votes, meta=meta)
