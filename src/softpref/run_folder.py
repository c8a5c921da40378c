"""The layout of a run folder: the names of its files, and how they are read. Nothing heavy is imported here.

RUN/
  recipe.yaml        the resolved recipe
  run.json           what was run: method, data, model, versions; ``finished`` once it is
  metrics.jsonl      one line per log of the training
  frontier.json      points of reward against KL along training, where somebody measured them
  evaluations/NAME/
    evaluation.json     figures
    comparisons.jsonl   one line per judged pair of responses
  classifications/NAME/
    classification.json   the implicit reward on a labelled set
  over_optimisation.json  where the log-probs of both sides went

HEAD_TO_HEAD/            a folder of its own: several runs against each other
  head_to_head.json
  comparisons/I_J.jsonl
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from softpref.errors import InputError

RECIPE_FILE = "recipe.yaml"
RUN_FILE = "run.json"
METRICS_FILE = "metrics.jsonl"
FRONTIER_FILE = "frontier.json"
EVALUATIONS_FOLDER = "evaluations"
EVALUATION_FILE = "evaluation.json"
COMPARISONS_FILE = "comparisons.jsonl"
JUDGEMENTS_FILE = "judgements.sqlite"
CLASSIFICATIONS_FOLDER = "classifications"
CLASSIFICATION_FILE = "classification.json"
OVER_OPTIMISATION_FILE = "over_optimisation.json"
HEAD_TO_HEAD_FILE = "head_to_head.json"
COMPARISONS_FOLDER = "comparisons"


def read_json(file: Path) -> Any:
    """What a JSON file holds, None where there is no such file. A number that is not finite is read as None.

    Raises InputError where the file is not JSON.
    """
    if not file.is_file():
        return None
    try:
        return _parse(file.read_bytes())
    except ValueError as error:
        raise InputError(f"{file}: is not JSON ({error})") from error


def checkpoints_of(run: Path) -> dict[int, Path]:
    """The folders of a run's checkpoints by their step, in order."""
    steps = {path.name.rpartition("-")[2]: path for path in run.glob("checkpoint-*")}
    return {int(step): steps[step] for step in sorted((step for step in steps if step.isdigit()), key=int)}


def read_lines(file: Path) -> list[dict[str, Any]]:
    r"""The objects of a JSONL file, none where there is no such file. Lines end at ``\n`` and nowhere else.

    A last line that a kill tore off, half-written and without its end, is left out. Raises InputError for any other
    line that is no JSON object.
    """
    if not file.is_file():
        return []
    *whole, last = file.read_bytes().split(b"\n")
    rows = [_row(file, number, line) for number, line in enumerate(whole, start=1) if line.strip()]
    if last.strip():
        try:
            rows.append(_row(file, len(whole) + 1, last))
        except InputError:
            return rows
    return rows


def _row(file: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = _parse(line)
    except ValueError as error:
        raise InputError(f"{file}: line {number} is not JSON ({error})") from error
    if not isinstance(row, dict):
        raise InputError(f"{file}: line {number} is no JSON object")
    return row


def _parse(text: bytes) -> Any:
    try:
        return json.loads(text.decode("utf-8"), parse_constant=lambda _: None)
    except RecursionError:
        raise ValueError("nested too deeply") from None
