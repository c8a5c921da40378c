"""The labels of the file, and where they come from."""

from __future__ import annotations

from pathlib import Path

from softpref.data.inspection import Inspection
from softpref.data.pairs import PairSet
from softpref.report.document import Facts, Section
from softpref.report.format import number, percent
from softpref.report.sections.labels import HOW, label_histogram


def labels(pairs: PairSet, found: Inspection, dropped: int) -> Section:
    """A histogram and the facts; the facts alone where nothing is labelled."""
    reading = pairs.reading
    rows = [("pairs", f"{found.pairs:,}, of {found.prompts:,} prompts")]
    if dropped:
        rows.append(("dropped", f"{dropped:,} with two identical sides"))
    if not pairs.labelled:
        return Section("labels", "Labels", [Facts(rows)])
    source = HOW.get(reading.label_method or "", str(reading.label_method))
    if reading.vote_prior is not None:
        source += f", through a Beta({reading.vote_prior:.2f}, {reading.vote_prior:.2f}) prior"
    judges = sorted({str(pair.label_source["judge"]) for pair in pairs if pair.label_source.get("judge")})
    carried = f"{number(found.labels['effective_weight'])}: the share of a sure label that the average one carries"
    rows += [
        ("labels come from", "; ".join([source, *judges[:3]])),
        ("mean |2p − 1|", carried),
        ("exact ties", f"{reading.ties:,}"),
        ("second side preferred in the file", f"{reading.swapped:,} ({percent(reading.swapped / len(pairs))})"),
    ]
    figure = label_histogram(found.labels["histogram"], Path(pairs.name).name, "labels")
    return Section("labels", "Labels", [figure, Facts(rows)])
