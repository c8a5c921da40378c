"""How to make it again: exact commands, versions, seeds and hashes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from softpref.report.collect import EvaluationResult, Found, RunResult
from softpref.report.document import Block, Facts, Section


def provenance(found: Found) -> Section:
    """One folded block per run and per head-to-head."""
    blocks: list[Block] = [Facts(_run(run), run.name, folded=True) for run in found.runs]
    blocks += [Facts(_duel(duel.figures), f"{duel.name} (head to head)", folded=True) for duel in found.head_to_heads]
    return Section("provenance", "How it was made", blocks)


def _run(run: RunResult) -> list[tuple[str, str]]:
    record, data = run.run, run.run["data"]
    rows = [
        ("command", record.get("command")),
        ("data", f"{data['file']}, SHA-256 {data['fingerprint']}"),
        ("start", f"{record['model']['start']}, SHA-256 {record['model']['identity']}"),
        ("reference", f"SHA-256 {record['reference']}" if record.get("reference") else "none"),
        ("method", _listed(record["method"])),
        ("seed", record.get("seed")),
        ("training", _listed(record.get("settings") or {})),
        ("largest difference from the reference at step 0", record.get("step_0_difference")),
        ("versions", ", ".join(f"{name} {version}" for name, version in (record.get("versions") or {}).items())),
    ]
    rows += [row for one in run.evaluations for row in _evaluation(one)]
    rows += [(f"classification {name}", one.get("command")) for name, one in run.classifications.items()]
    rows.append(("log-ratios by label", (run.over_optimisation or {}).get("command")))
    return [(name, str(value)) for name, value in rows if value not in (None, "")]


def _evaluation(one: EvaluationResult) -> list[tuple[str, Any]]:
    figures = one.figures
    return [
        (f"evaluation {one.name}", figures.get("command")),
        (f"evaluation {one.name}: prompts", figures.get("data")),
        (f"evaluation {one.name}: sampling", _listed(figures.get("sampling") or {})),
    ]


def _duel(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [
        ("command", figures.get("command")),
        ("models", ", ".join(map(str, _flat(figures.get("folders") or figures["models"])))),
        ("judge", figures["judge"]),
        ("prompts", figures.get("prompts")),
        ("sampling", _listed(figures.get("sampling") or {})),
    ]
    return [(name, str(value)) for name, value in rows if value not in (None, "")]


def _flat(folders: Sequence[Any]) -> list[Any]:
    """One folder per method, or one per seed of each."""
    return [one for entry in folders for one in (entry if isinstance(entry, list) else [entry])]


def _listed(values: Mapping[str, Any]) -> str:
    """Nested mappings are flattened: beta = 0.3."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat.update(value if isinstance(value, Mapping) else {key: value})
    return ", ".join(f"{key} = {value}" for key, value in flat.items() if value is not None)
