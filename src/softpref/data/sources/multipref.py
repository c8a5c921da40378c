"""MultiPref: two responses, each pair judged by two crowd workers and two experts (Miranda et al. 2024, arXiv 2410.19133).

https://huggingface.co/datasets/allenai/multipref. The columns read here:

    comparison_id, text, completion_a, completion_b, model_a, model_b, category
    normal_worker_annotations, expert_worker_annotations   [{evaluator, overall_pref, helpful_pref, …, overall_confidence, …}, …]

``overall_pref`` is A-is-clearly-better, A-is-slightly-better, Tie, B-is-slightly-better or B-is-clearly-better: a vote of each
person, whose name is kept. Preferences by aspect are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from softpref.data.sources.rows import LeftOutError, PairRow, Row, RowFaultError, inner, items, named_votes, text, user

GROUPS = ("normal_worker_annotations", "expert_worker_annotations")
_P_OF = {
    "a-is-clearly-better": 1.0, "a-is-slightly-better": 1.0, "tie": 0.5, "b-is-slightly-better": 0.0, "b-is-clearly-better": 0.0,
}  # fmt: skip


def pairs(row: Row) -> Iterator[PairRow]:
    """One pair with a vote of everybody who annotated it."""
    cast = [_vote(one, group) for group in GROUPS if row.get(group) is not None for one in items(row, group)]
    if all(group not in row for group in GROUPS):
        raise RowFaultError(GROUPS[0], "is missing")
    voters = {who: p for who, p in cast if p is not None}
    if not voters:
        raise LeftOutError("nobody's preference is there")
    meta = {"models": [row.get("model_a"), row.get("model_b")], "category": row.get("category")}
    sides = text(row, "completion_a"), text(row, "completion_b")
    identity = {} if row.get("comparison_id") is None else {"id": str(row["comparison_id"])}
    yield named_votes(user(text(row, "text")), *sides, voters, **identity, meta=meta)


def _vote(annotation: Any, group: str) -> tuple[str, float | None]:
    who, said = str(inner(annotation, "evaluator")), inner(annotation, "overall_pref")
    if said is None:
        return who, None
    p = _P_OF.get(str(said).strip().lower().replace(" ", "-").replace("_", "-"))
    if p is None:
        raise RowFaultError(f"{group}.overall_pref", f"is {said!r}", f"known: {', '.join(_P_OF)}")
    return who, p
