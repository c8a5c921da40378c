"""How to make it again: exact commands, versions, seeds and hashes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from softpref.records.evaluation import HeadToHeadRecord
from softpref.report.collect import EvaluationResult, Found, RunResult
from softpref.report.document import Block, Facts, Section


def provenance(found: Found) -> Section:
    """One folded block per run and per head-to-head."""
    blocks: list[Block] = [Facts(_run(run), run.name, folded=True) for run in found.runs]
    blocks += [Facts(_duel(duel.record), f"{duel.name} (head to head)", folded=True) for duel in found.head_to_heads]
    return Section("provenance", "How it was made", blocks)


def _run(run: RunResult) -> list[tuple[str, str]]:
    record = run.run
    rows: list[tuple[str, Any]] = [
        ("command", record.command),
        ("data", f"{record.data.file}, SHA-256 {record.data.fingerprint}"),
        ("start", f"{record.model.start}, SHA-256 {record.model.identity}"),
        ("reference", f"SHA-256 {record.reference}" if record.reference else "none"),
        ("method", _listed(vars(record.method))),
        ("seed", record.seed),
        ("training", _listed(record.settings)),
        ("largest difference from the reference at step 0", record.step_0_difference),
        ("versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())),
    ]
    rows += [row for one in run.evaluations for row in _evaluation(one)]
    rows += [(f"classification {name}", one.command) for name, one in run.classifications.items()]
    rows.append(("log-ratios by label", run.over_optimisation.command if run.over_optimisation else None))
    return [(name, str(value)) for name, value in rows if value not in (None, "")]


def _evaluation(one: EvaluationResult) -> list[tuple[str, Any]]:
    return [
        (f"evaluation {one.name}", one.record.command),
        (f"evaluation {one.name}: prompts", one.record.data),
        (f"evaluation {one.name}: sampling", _listed(one.record.sampling or {})),
    ]


def _duel(record: HeadToHeadRecord) -> list[tuple[str, str]]:
    folders = [folder for runs in record.folders for folder in runs]
    rows = [
        ("command", record.command),
        ("models", ", ".join(folders or record.models)),
        ("judge", record.judge),
        ("prompts", record.prompts),
        ("sampling", _listed(record.sampling or {})),
    ]
    return [(name, str(value)) for name, value in rows if value not in (None, "")]


def _listed(values: Mapping[str, Any]) -> str:
    """Nested mappings are flattened: beta = 0.3."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat.update(value if isinstance(value, Mapping) else {key: value})
    return ", ".join(f"{key} = {value}" for key, value in flat.items() if value is not None)
