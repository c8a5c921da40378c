"""What is allowed and worth a look: duplicates, empty and endless texts, responses that stand in many pairs."""

from __future__ import annotations

from collections import Counter

from softpref.data.inspection import Inspection
from softpref.data.pairs import PairSet, text_of
from softpref.report.data_sections.means import prompt_of
from softpref.report.document import Block, Column, Facts, Note, Section, Table
from softpref.report.format import percent

COLUMNS = (Column("what", "what"), Column("count", "pairs", "count"), Column("rows", "rows"))


def odd(pairs: PairSet, found: Inspection) -> Section:
    """A table of what was found, and how pairs hang together."""
    rows = [{"what": one.what, "count": one.count, "rows": _first(one.rows, one.count)} for one in found.odd]
    block: Block = Table("odd", "Allowed, and worth a look", COLUMNS, rows) if rows else Note("Nothing odd was found.")
    return Section("odd", "Duplicates and oddities", [block, Facts(_repeats(pairs))])


def _first(rows: tuple[int, ...], count: int) -> str:
    return ", ".join(map(str, rows)) + (" …" if count > len(rows) else "")


def _repeats(pairs: PairSet) -> list[tuple[str, str]]:
    """The same response in several pairs: a split by pair would have it in training and in the test."""
    prompts = Counter(map(prompt_of, pairs))
    sides = Counter((prompt_of(pair), text_of(side)) for pair in pairs for side in (pair.chosen, pair.rejected))
    repeated = sum(count for count in sides.values() if count > 1)
    mean = len(pairs) / max(1, len(prompts))
    rows = [("pairs per prompt", f"{mean:.2f}, at most {max(prompts.values(), default=0):,}")]
    if repeated:
        what = f"{percent(repeated / (2 * len(pairs)))} of all sides; a split by pair would have them in training and in the test"
        rows.append(("responses that stand in several pairs", what))
    return rows
