"""The table of evidence that ships, made by the bandit's map and read by ``softpref advise``. Nothing heavy is imported here.

One row per cell of the map, in the columns that the table names: what was varied, how sure the labels looked, and for every
pair of ``figures`` (budget, readout) seven whole numbers: how far hard is before geometric (below 0: behind) and the
half-width of that 95% interval over worlds, the same for conservative, all in thousandths of the reward range, and the
places of the three chosen betas in ``betas``. 0 as a half-width of a difference that is not 0 is one below half a thousandth.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from softpref.data.files import atomic_write

EVIDENCE = Path(__file__).with_name("evidence.json")

# The treatments by their method, in the order of every row's betas.
TREATMENTS = {"hard": "dpo", "conservative": "cdpo", "geometric": "gdpo"}
READOUTS = ("greedy", "sampled", "within_1_nat")
AXES = ("reward_range", "low_weight", "votes", "raw", "sharpness", "noise", "bias", "flips", "confidence")
# Differences below a hundredth of the reward range are called none.
NEGLIGIBLE = 0.01


def write_evidence(file: Path, evidence: Mapping[str, Any]) -> None:
    """One cell a line, so that two versions can be compared."""
    head = {key: value for key, value in evidence.items() if key != "cells"}
    with atomic_write(file) as out:
        out.write("{\n")
        out.writelines(f' "{key}": {_compact(value)},\n' for key, value in head.items())
        out.write(' "cells": [\n' + ",\n".join(map(_compact, evidence["cells"])) + "\n ]\n}\n")


def read_evidence(file: Path = EVIDENCE) -> dict[str, Any]:
    """The shipped table, or another one."""
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
