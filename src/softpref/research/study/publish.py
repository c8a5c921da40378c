"""Write down what a study has found: ``study.json``, ``study.md`` and the pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from softpref.data.files import atomic_write, write_json
from softpref.research.study.conduct import Found, OnStage
from softpref.research.study.figures import frontiers, leads
from softpref.research.study.matches import play
from softpref.research.study.summary import summary_of
from softpref.research.study.tables import as_markdown

RESULT_FILE, TABLES_FILE = "study.json", "study.md"


def publish(study: Path, found: Found, command: str, on_stage: OnStage, workers: int | None = None) -> str:
    """Play head to head where it was not yet, and write everything; the tables are returned."""
    summary: dict[str, Any] = {"command": command, **summary_of(found)}
    if "comparison" in found.parts:
        with on_stage("head to head") as progress:
            runs = [run for run, _ in found.parts["comparison"]]
            matches = play(study, runs, found.size.training, workers, progress)
        for labels, by_judge in matches.items():
            summary["comparison"][labels]["head_to_head"] = by_judge
        frontiers(study / "frontiers.png", summary["comparison"])
    if {"comparison", "conditions", "noise"} & found.parts.keys():
        leads(study / "leads.png", summary)
    write_json(study / RESULT_FILE, summary)
    text = as_markdown(summary, command)
    with atomic_write(study / TABLES_FILE) as file:
        file.write(text)
    return text
