"""One row per annotator: rows about one and the same pair are put together, over sides exchanged, and their votes counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from softpref.data.label_columns import VOTE_KIND, LabelKind
from softpref.data.pairs import PreferencePair
from softpref.data.voters import VOTERS

_COUNTS = {1.0: (1.0, 0.0, 0.0), 0.0: (0.0, 1.0, 0.0), 0.5: (0.0, 0.0, 1.0)}


@dataclass
class Draft:
    """A pair without its label, the numbers that the label will be made of, and how many of its verdicts were both bad."""

    pair: PreferencePair
    label: tuple[float, ...] | None = None
    both_bad: int = 0


@dataclass
class Merged:
    """The drafts, one for each pair, the kind of their labels now, and the rows that differ where they may not."""

    drafts: list[Draft]
    kind: LabelKind | None
    rows: int = 0
    repeats: list[tuple[int, str, int]] = field(default_factory=list)


def merge(drafts: Sequence[Draft], kind: LabelKind | None, annotator: str | None) -> Merged:
    """Drafts of one pair become one.

    Votes are summed. Labels of 0, ½ and 1 that annotators gave are votes; other labels of theirs, and rewards, are averaged.
    Without an annotator only rows of one vote each are put together: other labels may be of a pair that the file means twice.
    """
    one_vote = kind is VOTE_KIND and all(draft.label is None or sum(draft.label) == 1 for draft in drafts)
    if kind is None or not (one_vote or annotator):
        return Merged(list(drafts), kind)
    groups: dict[str, list[Draft]] = {}
    for draft in drafts:
        groups.setdefault(_key(draft.pair), []).append(draft)
    if kind is not VOTE_KIND and len(groups) == len(drafts):
        return Merged(list(drafts), kind)
    single = kind.method == "given" and all(draft.label is not None and draft.label[0] in _COUNTS for draft in drafts)
    if single:
        for draft in drafts:
            draft.label = _COUNTS[draft.label[0]]  # type: ignore[index]
    merged = Merged([], VOTE_KIND if single else kind, len(drafts) - len(groups))
    for group in groups.values():
        turned = [_like(draft, group[0], merged.kind) for draft in group]
        merged.repeats += _repeats(turned, annotator)
        merged.drafts.append(_together(turned, merged.kind, annotator))
    return merged


def _key(pair: PreferencePair) -> str:
    sides = sorted(json.dumps(side, sort_keys=True) for side in (pair.chosen, pair.rejected))
    return json.dumps([pair.prompt, sides, pair.tools, pair.chat_template_kwargs], sort_keys=True, default=str)


def _like(draft: Draft, first: Draft, kind: LabelKind | None) -> Draft:
    """The draft with its sides in the first one's order."""
    if draft.pair.chosen == first.pair.chosen or draft.label is None:
        return draft
    label = draft.label
    turned = (1 - label[0],) if kind is not None and kind.method == "given" else (label[1], label[0], *label[2:])
    pair = replace(draft.pair, chosen=draft.pair.rejected, rejected=draft.pair.chosen)
    return replace(draft, pair=pair, label=turned)


def _repeats(group: Sequence[Draft], annotator: str | None) -> list[tuple[int, str, int]]:
    """Rows in which somebody votes a second time on this pair: the row, who, and the first row."""
    seen: dict[str, int] = {}
    again = []
    for draft in group:
        who = draft.pair.meta.get(annotator) if annotator else None
        if who is not None and str(who) in seen:
            again.append((draft.pair.row, str(who), seen[str(who)]))
        elif who is not None:
            seen[str(who)] = draft.pair.row
    return again


def _together(group: Sequence[Draft], kind: LabelKind | None, annotator: str | None) -> Draft:
    first = group[0]
    labels = [draft.label for draft in group if draft.label is not None]
    if not labels or (len(group) == 1 and kind is not VOTE_KIND):
        return first
    votes = kind is VOTE_KIND
    label = tuple(sum(column) if votes else fmean(column) for column in zip(*labels, strict=True))
    meta: dict[str, Any] = {name: value for name, value in first.pair.meta.items() if name != annotator}
    if annotator:
        who = [(draft.pair.meta.get(annotator), draft.label) for draft in group if draft.label is not None]
        voters = {str(name): _opinion(label, kind) for name, label in who if name is not None}
        meta |= {VOTERS: voters} if voters else {}
    return Draft(replace(first.pair, meta=meta), label, sum(draft.both_bad for draft in group))


def _opinion(label: Sequence[float], kind: LabelKind | None) -> float:
    """P(first side preferred) as one annotator's label has it: of counts their mean, of rewards which is higher."""
    if kind is VOTE_KIND:
        return (label[0] + label[2] / 2) / sum(label)
    return label[0] if len(label) == 1 else 0.5 * (1 + (label[0] > label[1]) - (label[0] < label[1]))
