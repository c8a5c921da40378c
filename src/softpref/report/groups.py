"""Like stands beside like: evaluations of one name, against one opponent, by one judge."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from softpref.report.collect import EvaluationResult, RunResult


@dataclass(frozen=True)
class Group:
    """Evaluations that can be compared, by run. ``heading`` tells the group from the others of the page."""

    name: str
    against: str
    judge: str
    heading: str
    rows: Sequence[tuple[str, EvaluationResult]]

    @property
    def contenders(self) -> list[tuple[str, EvaluationResult]]:
        """Without a model that was compared with itself."""
        return [(run, one) for run, one in self.rows if one.record.model != self.against]


def group_evaluations(runs: Sequence[RunResult]) -> list[Group]:
    """In the order in which they are met, those with the most runs first."""
    found: dict[tuple[str, str, str], list[tuple[str, EvaluationResult]]] = {}
    for run in runs:
        for one in run.evaluations:
            key = (one.name, one.record.against, one.record.judge)
            found.setdefault(key, []).append((run.name, one))
    headings = _headings(list(found))
    groups = [Group(*key, headings[key], rows) for key, rows in found.items()]
    return sorted(groups, key=lambda group: -len(group.rows))


def _headings(keys: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], str]:
    """The evaluation's name, with the opponent and then the judge where it takes them to tell two groups apart."""
    names, pairs = [key[0] for key in keys], [key[:2] for key in keys]
    headings = {}
    for key in keys:
        name, against, judge = key
        heading = name if names.count(name) == 1 else f"{name}, against {against}"
        headings[key] = heading if pairs.count(key[:2]) == 1 else f"{heading}, judged by {judge}"
    return headings


def short(judge: Any) -> str:
    """A judge's identity without its settings, which stand where it was asked: ``simulated:plan_world_v1``."""
    parts = [part for part in str(judge).split(":") if "=" not in part]
    return ":".join(parts) or str(judge)


def slug(*words: Any) -> str:
    """A name for a file or a fragment, of letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", " ".join(map(str, words)).lower()).strip("-") or "figure"
