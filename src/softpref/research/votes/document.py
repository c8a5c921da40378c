"""The study's tables, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from softpref.research.markdown_table import table


def as_markdown(found: Mapping[str, Any]) -> str:
    """The tables of ``results.json``, with the command that made them."""
    parts = [f"`{found['command']}`: {found['seconds'] / 60:.0f} min of preference training and scoring.\n"]
    for name, figures in found["figures"].items():
        n = figures["pairs"]["test"]
        some = next(iter(figures["rows"].values()))["auc"]
        parts.append(f"### {name}\n\n{n} test pairs, {figures['ties']} ties; intervals over {some['clusters']} clusters.\n")
        parts.append(table([HEAD, *(_cells(row, figures["rows"][row]) for row in figures["rows"])]))
        if figures["differences"]:
            rows = [
                [pair, *(_figure(d[key], sign="+") for key in ("auc", "brier"))] for pair, d in figures["differences"].items()
            ]
            parts.append(table([["same pairs", "AUC", "Brier after T"], *rows]))
    return "\n".join(parts)


HEAD = ["", "AUC", "accuracy", "Brier raw", "Brier after T", "ECE raw", "ECE after T", "T"]


def _cells(name: str, row: Mapping[str, Any]) -> list[str]:
    calibrated = [_figure(row[when][key]) if row[when] else "–" for key in ("brier", "ece") for when in ("raw", "mended")]
    return [name, _figure(row["auc"]), _figure(row["accuracy"]), *calibrated, f"{row['temperature']:.3g}"]


def _figure(estimate: Mapping[str, float], sign: str = "") -> str:
    return f"{estimate['value']:{sign}.3f} [{estimate['low']:{sign}.3f}, {estimate['high']:{sign}.3f}]"
