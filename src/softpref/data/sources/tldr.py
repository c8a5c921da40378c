"""Comparisons of summaries of Reddit posts (Stiennon et al. 2020, arXiv 2009.01325).

https://huggingface.co/datasets/openai/summarize_from_feedback, subset ``comparisons``; the Hub's own script for it is not run
any more, so take its Parquet conversion: ``--revision refs/convert/parquet``. The original files,
https://github.com/openai/summarize-from-feedback#human-feedback-data, have the same columns:

    info       {id, post, title, subreddit, site, article}: a Reddit post, or (validation only) a news article
    summaries  [{text, policy, note}, {text, policy, note}]
    choice     0 or 1: the better summary, by one worker
    worker, batch, split, extra {confidence}
"""

from __future__ import annotations

from collections.abc import Iterator

from softpref.data.sources.rows import LeftOutError, PairRow, Row, RowFaultError, inner, items, text, voted


def pairs(row: Row) -> Iterator[PairRow]:
    """One worker's vote on one pair. News articles are left out: the paper's data are the Reddit posts."""
    if inner(row, "info", "post") is None:
        raise LeftOutError("a news article, no Reddit post")
    summaries = [text(one, "text").strip() for one in items(row, "summaries")]
    choice = inner(row, "choice")
    if len(summaries) != 2 or choice not in (0, 1):
        raise RowFaultError("choice", f"is {choice!r} among {len(summaries)} summaries", "give 0 or 1, of two")
    policies = [one.get("policy") for one in items(row, "summaries")]
    meta = {"post": text(row, "info", "id"), "policies": policies}
    yield voted(_prompt(row), summaries[0], summaries[1], (1 - choice, choice, 0), meta=meta)


def _prompt(row: Row) -> str:
    """The query of Stiennon et al.; the summary follows after a space."""
    info = inner(row, "info")
    subreddit, title = (info.get(name) or "" for name in ("subreddit", "title"))
    return f"SUBREDDIT: r/{subreddit}\nTITLE: {title}\nPOST: {text(info, 'post').strip()}\n\nTL;DR:"
