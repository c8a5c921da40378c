"""The document about one labelled data set: who disagrees with whom, what is unsure, position, length, and what is odd."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from softpref.data.inspection import Inspection
from softpref.data.pairs import PairSet
from softpref.data.written import as_written
from softpref.evaluation.judge_calibration import GoldOptions, gold_rows
from softpref.report.data_sections.agreement import GOLD, agreement_section, mean_agreement
from softpref.report.data_sections.gold import against_gold
from softpref.report.data_sections.labels import labels
from softpref.report.data_sections.length import length, longer_wins
from softpref.report.data_sections.means import mean_by_prompt, prompt_of
from softpref.report.data_sections.odd import odd
from softpref.report.data_sections.position import position, read_orders
from softpref.report.data_sections.unsure import unsure
from softpref.report.document import Document
from softpref.report.format import interval, percent
from softpref.report.opinions import Opinions, read_opinions

# Below this p a pair is called unsure.
UNSURE = 0.6


@dataclass(frozen=True)
class Columns:
    """Where the file holds more than a label. All are columns, or paths such as ``meta.judges``.

    Attributes:
        annotators: opinions of judges or people (``opinions.read_opinions``).
        orders: counts by presentation order (``position.read_orders``).
        gold: a label that is trusted; the file's labels are held against it.
    """

    annotators: Sequence[str] = ()
    orders: str | None = None
    gold: GoldOptions | None = None


def data_report(pairs: PairSet, found: Inspection, dropped: int = 0, columns: Columns | None = None) -> Document:
    """Everything that can be said of the file without a model.

    Args:
        found: what ``inspect_pairs`` says of it.
        dropped: pairs with two identical sides, which are not among ``pairs``.

    Raises DataError, InputError or OptionError for columns that do not hold what they should.
    """
    columns = columns or Columns()
    written = [as_written(pair) for pair in pairs]
    opinions = read_opinions(written, columns.annotators, pairs.name)
    trusted = None if columns.gold is None else gold_rows(pairs, columns.gold)
    if trusted is not None:
        opinions = Opinions({**opinions.by_name, GOLD: trusted.gold.tolist()}, opinions.votes)
    orders = read_orders(written, columns.orders)
    sections = [
        labels(pairs, found, dropped),
        agreement_section(written, opinions),
        against_gold(trusted),
        position(pairs, orders),
        length(pairs, found),
        odd(pairs, found),
        unsure(pairs, opinions, orders),
    ]
    sentence, detail = _verdict(pairs, found, opinions)
    return Document(Path(pairs.name).name, sentence, detail, [section for section in sections if section.blocks])


def _verdict(pairs: PairSet, found: Inspection, opinions: Opinions) -> tuple[str, str]:
    detail = f"{found.pairs:,} pairs of {found.prompts:,} prompts in {pairs.name}."
    if not pairs.labelled:
        return "The pairs carry no soft label yet.", detail
    below = [float((pair.soft_label or 0.0) < UNSURE) for pair in pairs]
    sentence = f"{interval(mean_by_prompt(below, map(prompt_of, pairs)), '.0%')} of the labels are unsure (p < {UNSURE:g})"
    if longer := longer_wins(pairs):
        sentence += f"; of two unequal lengths the longer is preferred in {interval(longer, '.0%')} of pairs"
    if two := mean_agreement(opinions):
        detail += f" Two of the {two[0]} judges give equal verdicts on {percent(two[1])} of pairs, on average."
    return f"{sentence}.", detail
