"""The document of a report: what the folders hold, in the order in which a person wants to know it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from softpref.report.collect import Found, RunResult
from softpref.report.document import Column, Document, Section, Table
from softpref.report.groups import Group, group_evaluations
from softpref.report.palette import colours_of
from softpref.report.sections.compared import compared
from softpref.report.sections.examples import examples
from softpref.report.sections.implicit_reward import implicit_reward
from softpref.report.sections.labels import labels
from softpref.report.sections.lengths import lengths
from softpref.report.sections.over_optimisation import over_optimisation
from softpref.report.sections.provenance import provenance
from softpref.report.sections.results import results
from softpref.report.sections.training import training
from softpref.report.verdict import cautions, verdict

CLASSIFICATION = "classification of a labelled set"
LOG_RATIOS = "log-ratios by label (over_optimisation.json)"
LABELS = "labels"
# What training by imitation cannot have.
OF_PAIRS = (CLASSIFICATION, LOG_RATIOS, LABELS)


def run_report(found: Found, title: str, notes: Mapping[str, Any] | None = None) -> Document:
    """The whole report. ``notes``: a ``summary`` to stand below the verdict, and a ``table`` of results from elsewhere.

    Sections without anything to show are left out; what the folders could have held and do not is said at the end.
    """
    notes = notes or {}
    groups = group_evaluations(found.runs)
    colours = colours_of(_names(found))
    said = verdict(found, groups)
    sections = [
        compared(found),
        _noted(notes),
        labels(found),
        *results(found, groups, colours),
        lengths(groups, colours),
        over_optimisation(found, colours),
        implicit_reward(found, colours),
        training(found, colours),
        examples(groups, found.head_to_heads),
        provenance(found),
    ]
    return Document(
        title,
        said.sentence,
        " ".join(filter(None, [said.detail, notes.get("summary")])),
        [section for section in sections if section.blocks],
        cautions(found, groups),
        _missing(found, groups),
        colours,
    )


def _names(found: Found) -> list[str]:
    """Runs, and models that a head-to-head alone knows."""
    models = [name for duel in found.head_to_heads for name in duel.record.models]
    return list(dict.fromkeys([*(run.name for run in found.runs), *models]))


def _noted(notes: Mapping[str, Any]) -> Section:
    table = notes.get("table")
    if table is None:
        return Section("noted", "Result", [])
    keys = [f"column_{place}" for place in range(len(table["head"]))]
    columns = [Column(key, head) for key, head in zip(keys, table["head"], strict=True)]
    rows = [dict(zip(keys, row, strict=True)) for row in table["rows"]]
    return Section("noted", table["caption"], [Table("noted", table["caption"], columns, rows)])


def _missing(found: Found, groups: Sequence[Group]) -> list[str]:
    """What was looked for and not found, by run where some have it."""
    looked: dict[str, Callable[[RunResult], Any]] = {
        "evaluations": lambda run: run.evaluations,
        "a training log": lambda run: run.training,
        CLASSIFICATION: lambda run: run.classifications,
        LOG_RATIOS: lambda run: run.over_optimisation,
        LABELS: lambda run: run.run.data.labels,
    }
    said = []
    for what, of in looked.items():
        could = [run for run in found.runs if run.run.method.base != "sft" or what not in OF_PAIRS]
        without = [run.name for run in could if not of(run)]
        if without:
            said.append(what if len(without) == len(could) else f"{what} of {', '.join(without)}")
    if not found.head_to_heads and len(found.runs) > 1:
        said.append("a head-to-head between the runs")
    if any(one.record.length_controlled is None for group in groups for _, one in group.contenders):
        said.append("win rates at equal length")
    return said
