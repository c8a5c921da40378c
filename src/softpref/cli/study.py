"""The ``softpref study`` command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from softpref.cli.options import parse_options, say
from softpref.data.output_lock import only_writer
from softpref.data.outputs import check_outputs
from softpref.errors import InputError, OptionError, nearest
from softpref.run_folder import read_lines


@dataclass
class StudyOptions:
    """The paper's comparison in PlanWorld, where the truth is known: methods, label sets, noise, two criteria, and seeds.

    Stopped at any time, it goes on from what lies in the output.

    Attributes:
        output: Folder for runs, responses, figures and tables; small needs one of its own.
        size: small (minutes, shows nothing but that it runs), default (under two hours on two cores) or large.
        parts: Some of comparison, two_criteria, conditions and noise, as [comparison,noise]; all if not given.
        betas: chosen, on seeds and tasks of their own from one grid for all methods; or paper, the paper's for plans.
        workers: Processes at once; one per core if not given.
    """

    output: str = "study"
    size: Literal["small", "default", "large"] = "default"
    parts: tuple[str, ...] | None = None
    betas: Literal["chosen", "paper"] = "chosen"
    workers: int | None = None


def run(argv: Sequence[str]) -> None:
    """Conduct the study, and write its tables and pictures."""
    options = parse_options(StudyOptions, "softpref study", argv)
    if options.workers is not None and options.workers < 1:
        raise OptionError(f"workers is {options.workers}; give 1 or more")
    from softpref.cli.progress import GridProgress
    from softpref.records.record import command_line
    from softpref.research.study.conduct import conduct
    from softpref.research.study.plan import PARTS
    from softpref.research.study.publish import RESULT_FILE, TABLES_FILE, publish
    from softpref.research.study.settings import SIZES

    if options.size not in SIZES:
        raise OptionError(f"size is {options.size!r}{nearest(options.size, SIZES)}")
    parts = PARTS if options.parts is None else options.parts
    folder = Path(options.output)
    _refuse_another(folder, asdict(SIZES[options.size].training))
    check_outputs({}, folders={"output": folder})
    with only_writer(folder, "softpref study"):
        found = conduct(folder, SIZES[options.size], parts, options.betas, options.workers, GridProgress)
        say(publish(folder, found, command_line(), GridProgress, options.workers))
    say(f"written to {folder}: {TABLES_FILE}, {RESULT_FILE}, and the figures beside them")


def _refuse_another(folder: Path, training: dict[str, Any]) -> None:
    """Worlds and runs are told apart by seed and name alone: those of another size would be taken for this one's."""
    from softpref.research.study.conduct import CELLS_FOLDER

    file = folder / CELLS_FOLDER / "worlds.jsonl"
    if any(line.get("cell", {}).get("training", training) != training for line in read_lines(file)):
        raise InputError(f"{file}: holds the worlds of another size; give another output")
