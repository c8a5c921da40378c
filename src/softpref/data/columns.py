"""Which columns are read, and which of the others look as though they were meant to be."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection

from softpref.data.label_columns import LABEL_KINDS
from softpref.data.pairs import TEMPLATE_FIELDS

SIDES = (("chosen", "rejected"), ("response_1", "response_2"))
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


def meant(column: str) -> str | None:
    """The column that this one, not quite spelt like it, was meant to be."""
    if column in EVERY:
        return None
    name = column.casefold()
    for known in difflib.get_close_matches(name, EVERY - _NEVER_MEANT, cutoff=_CLOSE):
        if known[0] == name[0] and abs(len(known) - len(name)) <= _MORE_LETTERS:
            return known
    return None


def how_to_mend(column: str, read: Collection[str]) -> str:
    """What to do with a column that looks read and is not, in a file of which these columns are read."""
    known = meant(column)
    hint = f"did you mean '{known}'?" if known else f"known: {', '.join(sorted(read))}"
    return f"rename it; {hint}; or move it under meta if it is only a note"
