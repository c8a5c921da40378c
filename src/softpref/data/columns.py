"""Which columns are read, and which of the others look as though they were meant to be."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Sequence
from typing import Any

from softpref.data.label_columns import LABEL_KINDS
from softpref.data.label_plan import WINNERS
from softpref.data.pairs import TEMPLATE_FIELDS
from softpref.data.side_columns import SIDES
from softpref.data.verdicts import SideNames, looks_like_verdict, number_or_yes

COMMON = ("prompt", "weight", "id", "meta", "label_source", *TEMPLATE_FIELDS)
LABELS = tuple(column for kind in LABEL_KINDS for column in kind.columns)
EVERY = frozenset({*COMMON, *LABELS, *(side for sides in SIDES for side in sides), "completion"})

# A column of one of these names would change what is learned, so leaving it unread in silence is not an option. Where the
# letters also stand inside other words (problem, operating, pivoted, franking, confidential), the word's edges count.
_LABEL_LIKE = re.compile(
    r"label|weight|margin(?!al)|reward|(?<!under)score|prefer|confiden(?!tia)|agree|winner|better"
    r"|(?<![a-z])rating|(?<![a-z])(?:up|down)?vote"
    r"|prob(?:s|as?|abilit(?:y|ies))?(?![a-z])"
    r"|(?<![a-z])rank(?:s|ed|ings?)?(?![a-z])"
)
# A misspelling keeps its first letter and nearly its length: prompt_id is no misspelt prompt, height no misspelt weight.
_CLOSE, _MORE_LETTERS = 0.8, 2
# one letter from everybody's own identifiers: uid, qid
_NEVER_MEANT = frozenset({"id"})


def looks_read(column: str) -> bool:
    """Whether leaving this column unread may be a mistake: it is named like a label, or nearly like a column that is read."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column).casefold()
    return bool(_LABEL_LIKE.search(words)) or meant(column) is not None


def names_a_verdict(column: str) -> bool:
    """Whether a column is called as a verdict on a pair is, whatever its values are."""
    return column.casefold().strip() in WINNERS


def meant(column: str) -> str | None:
    """The column that this one, not quite spelt like it, was meant to be."""
    if column in EVERY:
        return None
    name = column.casefold()
    for known in difflib.get_close_matches(name, EVERY - _NEVER_MEANT, cutoff=_CLOSE):
        if known[0] == name[0] and abs(len(known) - len(name)) <= _MORE_LETTERS:
            return known
    return None


def how_to_mend(column: str, read: Collection[str], present: Collection[str] = ()) -> str:
    """What to do with a column that looks read and is not, in a file of which these columns are read."""
    known = meant(column)
    hint = f"did you mean '{known}'?" if known and known not in present else f"known: {', '.join(sorted(read))}"
    return f"rename it; {hint}; or move it under meta if it is only a note (--meta_columns {column})"


def asked_about(column: str, values: Sequence[Any], names: SideNames | None) -> str | None:
    """What a column holds, where its values look like a verdict whatever it is called; None where it is a note.

    Numbers in a column that is called like a count, a place or a time are a note.
    """
    if names is None or not looks_like_verdict(values, names):
        return None
    scalar = [value for value in values if isinstance(value, str | int | float)]
    numeric = len(scalar) == len(values) and all(number_or_yes(value) is not None for value in scalar)
    if numeric and _A_NOTE.search(column.casefold()):
        return None
    return as_shown(values)


def as_shown(values: Sequence[Any]) -> str:
    """The first few different values of a column, for a message."""
    distinct = list(dict.fromkeys(map(_value_as_shown, values)))
    return ", ".join(distinct[:_SHOWN_VALUES]) + (", …" if len(distinct) > _SHOWN_VALUES else "")


def _value_as_shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[: _SHOWN_LENGTH - 1]}…"


def how_to_read(column: str) -> str:
    """What to write where a column that looks like a verdict is one, and where it is none."""
    return (
        f"if it says which side is better: --columns.winner {column} --winner_first VALUE --winner_second VALUE; "
        f"if by how much: --columns.strength {column} --strength_scale=FIRST..SECOND (its values where either side is much "
        f"better), or --strength_map; if it is only a note: --meta_columns {column}"
    )


_SHOWN_VALUES, _SHOWN_LENGTH = 5, 40
_A_NOTE = re.compile(
    r"(?:\A|[_ -])(?:u?q?id|ids|index|idx|no|nr|num|n|count|counts|len|length|tokens?|words?|chars?|turns?|folds?|split"
    r"|seed|epoch|batch|page|line|row|step|year|month|day|hour|date|time|timestamp|duration|seconds|sec|minutes|age|version"
    r"|temperature|top|k|position|level|difficulty|hash|source|size)(?:\Z|[_ -])"
    r"|\A(?:annotator|rater|worker|labell?er|coder|participant|respondent)(?:[_ -](?:id|name))?\Z"
    r"|\A(?:is|has|num)_|\A(?:unnamed: ?\d+|)\Z"
)
