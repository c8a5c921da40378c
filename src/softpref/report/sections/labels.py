"""On what was learned: one histogram per data set, where its labels come from, and what they are worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from softpref.records.labels import LabelRecord
from softpref.records.run import DataFigures, LabelHistogram
from softpref.report import charts
from softpref.report.collect import Found
from softpref.report.document import Block, Column, Facts, Figure, Section, Table
from softpref.report.format import number, percent
from softpref.report.groups import slug

HISTOGRAM_COLUMNS = (
    Column("low", "p from", "number2"),
    Column("high", "to", "number2"),
    Column("pairs", "pairs", "count"),
)
EACH = (
    Column("who", "judge"),
    Column("coverage", "coverage", "percent"),
    Column("position_bias", "position bias", "signed"),
    Column("order_disagreement", "orders disagree", "percent"),
)
AGAINST = (
    Column("what", "compared with"),
    Column("pairs", "pairs", "count"),
    Column("accuracy", "accuracy, a tie half", "percent"),
    Column("kappa", "Cohen's κ", "signed"),
    Column("alpha", "Krippendorff's α", "signed"),
)
BETWEEN = (
    Column("one", "one"),
    Column("other", "other"),
    Column("accuracy", "equal verdicts", "percent"),
    Column("kappa", "Cohen's κ", "signed"),
    Column("comparisons", "pairs", "count"),
)
HOW = {"given": "given in the file", "votes": "people's votes", "rewards": "scores of a reward model"}


def labels(found: Found) -> Section:
    """One figure per data set, not per run: runs that compare losses share theirs."""
    data = {run.run.data.fingerprint: run.run.data for run in found.runs}
    labelled = [(one, one.labels) for one in data.values() if one.labels]
    blocks = [block for one, histogram in labelled for block in _data_set(one, histogram, several=len(labelled) > 1)]
    text = (
        "A soft label p is the probability that the chosen response is preferred. Near ½ the two are equals and, under "
        "geometric averaging, teach next to nothing; near 1 the preference is clear."
    )
    return Section("labels", "Data and labels", blocks, text)


def _data_set(data: DataFigures, labels: LabelHistogram, *, several: bool) -> list[Block]:
    name = Path(data.file).name
    figure = label_histogram(labels.histogram, name, slug("labels", data.fingerprint[:6] if several else ""))
    return [figure, Facts(_facts(data, labels), name), *_judges(data.labelling, name)]


def _judges(labelling: LabelRecord | None, name: str) -> list[Block]:
    """Labels from elsewhere beside the judge's; where several judged, each alone, and every two beside each other."""
    if labelling is None:
        return []
    blocks: list[Block] = []
    if labelling.against:
        rows: list[dict[str, Any]] = [{"what": what, **vars(one)} for what, one in labelling.against.items()]
        blocks.append(Table(slug("against", name), f"The labels of {name} against others", AGAINST, rows))
    if labelling.each:
        rows = [{"who": who, **vars(one)} for who, one in labelling.each.items()]
        blocks.append(Table(slug("judges", name), f"Each judge of {name}", EACH, rows))
    if between := labelling.between:
        rows = [{"one": two.judges[0], "other": two.judges[1], **vars(two)} for two in between.pairs]
        rows.sort(key=lambda row: row["accuracy"])
        alpha = f"Krippendorff's α of all: {number(between.alpha)}."
        blocks.append(Table(slug("agreement", name), "Who disagrees most", BETWEEN, rows, alpha))
    return blocks


def label_histogram(counts: Sequence[int], of: str, name: str) -> Figure:
    """Counts of p over equal bins of [0, 1]; empty bins below ½ are left out, since pairs are oriented."""
    bins = len(counts)
    start = 0 if any(counts[: bins // 2]) else bins // 2
    rows: list[dict[str, Any]] = [{"low": i / bins, "high": (i + 1) / bins, "pairs": counts[i]} for i in range(start, bins)]
    caption = f"Soft labels of {of}"
    bars = [(row["low"], row["high"], row["pairs"]) for row in rows]
    drawn = charts.histogram(bars, "soft label p", "pairs", caption, f"{name}-")
    most = max(rows, key=lambda row: row["pairs"])
    alt = f"Histogram of {sum(counts)} soft labels; most, {most['pairs']}, lie between {most['low']:g} and {most['high']:g}."
    return Figure(name, caption, alt, drawn, Table(name, caption, HISTOGRAM_COLUMNS, rows))


def _facts(data: DataFigures, labels: LabelHistogram) -> list[tuple[str, str]]:
    reading, labelling = data.reading, data.labelling
    source = f"judge {labelling.judge}" if labelling else HOW.get(reading.label_method or "", str(reading.label_method))
    if reading.vote_prior is not None:
        source += f", through a Beta({reading.vote_prior:.2f}, {reading.vote_prior:.2f}) prior"
    learned = data.tokens.kept if data.tokens else reading.rows
    rows = [
        ("labels come from", source),
        ("pairs", f"{reading.rows:,} rows, {learned:,} learned from{_dropped(data)}"),
        (
            "mean |2p − 1|",
            f"{number(labels.effective_weight)}: the share of a sure label that the average one carries",
        ),
        ("exact ties", f"{labels.ties}"),
        ("turned round to p ≥ ½", f"{reading.swapped:,}"),
    ]
    return rows + (_judged(labelling) if labelling else [])


def _dropped(data: DataFigures) -> str:
    why = {
        "too_long": "too long",
        "boundary": "unclear where the response begins",
        "cut": "cut",
        "identical": "identical tokens",
    }
    tokens = data.tokens
    counts = [f"{count} {what}" for key, what in why.items() if tokens and (count := getattr(tokens, key))]
    if data.reading.identical_dropped:
        counts.append(f"{data.reading.identical_dropped} with two identical sides")
    return f" ({', '.join(counts)})" if counts else ""


def _judged(labelling: LabelRecord) -> list[tuple[str, str]]:
    failures = ", ".join(f"{count} {what}" for what, count in labelling.failures.items())
    rows = [
        (
            "coverage",
            f"{labelling.labelled} of {labelling.asked} ({percent(labelling.coverage)})"
            + (f"; failed: {failures}" if failures else ""),
        ),
        ("position bias", f"{number(labelling.position_bias, '+.3f')} (0 without)"),
        ("orders disagree", percent(labelling.order_disagreement)),
        ("calibration", labelling.calibration or "none was applied"),
    ]
    return rows + [(name, number(value)) for name, value in labelling.gold.items()]
