"""The ``softpref bandit`` command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from softpref.cli.options import parse_options, say
from softpref.data.outputs import check_outputs
from softpref.errors import OptionError, nearest

# Which options have an effect on which figure; output has one on all.
FIGURES: Mapping[str, tuple[str, ...]] = {
    "policies": ("reward_range", "low_weight", "width", "labels", "training_time", "draws", "seed", "methods"),
    "factors": ("beta",),
    "effect": ("workers",),
    "labels": ("size", "workers"),
}


@dataclass
class BanditOptions:
    """The paper's one-dimensional bandit: what each loss makes of the same preferences, where that holds, and for which labels.

    Attributes:
        output: Folder for the figure and its numbers; run again, a map goes on from what lies there.
        figure: policies (Figure 1 right), factors (Figure 1 left), effect (where the first holds), labels (which loss for which).
        reward_range: Of policies: reward of the last action, the first one's being 0; 1 if not given.
        low_weight: Of policies: share of draws around action 20; 0.7 if not given.
        width: Of policies: standard deviation of both peaks, in actions; 8 if not given.
        labels: Of policies: what hard methods see, thresholded or sampled; thresholded if not given.
        training_time: Of policies: learning rate times steps of full-batch gradient descent; 10000 if not given.
        draws: Of policies: pairs of actions drawn; 500000 if not given.
        seed: Of policies: seed of the draws; 0 if not given.
        methods: Of policies: some of the eight methods, as [dpo,cdpo,gdpo], the default.
        beta: Of factors: beta of all methods; 1 if not given.
        size: Of labels: small (8 cells), default (945) or large (50400); default if not given.
        workers: Of effect and labels: processes at once; one per core if not given.
    """

    output: str = "bandit"
    figure: Literal["policies", "factors", "effect", "labels"] = "policies"
    reward_range: float | None = None
    low_weight: float | None = None
    width: float | None = None
    labels: Literal["thresholded", "sampled"] | None = None
    training_time: float | None = None
    draws: int | None = None
    seed: int | None = None
    methods: tuple[str, ...] | None = None
    beta: float | None = None
    size: Literal["small", "default", "large"] | None = None
    workers: int | None = None


def run(argv: Sequence[str]) -> None:
    """Make one figure and its numbers."""
    options = parse_options(BanditOptions, "softpref bandit", argv)
    given = _given(options)
    folder = Path(options.output)
    check_outputs({}, folders={"output": folder})
    make = {"policies": _policies, "factors": _factors, "effect": _effect, "labels": _labels}[options.figure]
    make(folder, given)


def _given(options: BanditOptions) -> dict[str, Any]:
    """The options that were given, all of which must have an effect on the figure."""
    if options.figure not in FIGURES:
        raise OptionError(f"figure is {options.figure!r}{nearest(options.figure, FIGURES)}")
    names = [field.name for field in fields(options) if field.name not in ("output", "figure")]
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    for name in given:
        if name not in FIGURES[options.figure]:
            of = " and ".join(figure for figure, known in FIGURES.items() if name in known)
            raise OptionError(f"{name} has no effect on the figure {options.figure}, only on {of}: leave it out")
    if given.get("workers", 1) < 1:
        raise OptionError(f"workers is {given['workers']}; give 1 or more")
    return given


def _policies(folder: Path, given: Mapping[str, Any]) -> None:
    from softpref.research.bandit.bandit import RESULT_FILE, BanditSettings, run_bandit
    from softpref.research.bandit.figures import policies

    settings = BanditSettings(**given)
    found, learnt = run_bandit(settings, folder)
    policies(folder / "bandit.png", settings, learnt)
    say(f"{'':<14}mode  expected reward  mass at 65 and above  KL to the data, nats")
    rows = {"data": found["data"], **found["methods"], "KL-regularised": found["kl_regularised_optimum"]}
    for name, row in rows.items():
        say(f"{name:<14}{row['mode']:>4}{row['expected_reward']:>17.3f}{row['mass_in_good_region']:>22.3f}{row['kl']:>23.3f}")
    say(f"written to {folder / RESULT_FILE} and {folder / 'bandit.png'}")


def _factors(folder: Path, given: Mapping[str, Any]) -> None:
    from softpref.research.bandit.figures import factors

    beta = given.get("beta", 1.0)
    if not 0 < beta < float("inf"):
        raise OptionError(f"beta is {beta}; it must be a finite number above 0")
    factors(folder / "factors.png", beta)
    say(f"written to {folder / 'factors.png'}")


def _effect(folder: Path, given: Mapping[str, Any]) -> None:
    from softpref.cli.progress import GridProgress
    from softpref.research.bandit.bandit import LABELS
    from softpref.research.bandit.effect import RESULT_FILE, run_effect
    from softpref.research.bandit.figures import effect

    with GridProgress("bandit") as progress:
        rows = run_effect(folder, on_cell=progress, **given)
    effect(folder / "effect.png", rows)
    for labels in LABELS:
        holds = [row["holds"] for row in rows if row["labels"] == labels]
        say(f"hard labels {labels}: the paper's effect is there in {sum(holds)} of {len(holds)} readings")
    say(f"written to {folder / RESULT_FILE} and {folder / 'effect.png'}")


def _labels(folder: Path, given: Mapping[str, Any]) -> None:
    from softpref.advice.evidence import write_evidence
    from softpref.cli.progress import GridProgress
    from softpref.data.files import atomic_write
    from softpref.research.bandit.evidence_table import as_markdown, evidence_of
    from softpref.research.bandit.figures import by_judge, by_votes
    from softpref.research.bandit.map import SIZES, run_map

    size = given.get("size", "default")
    if size not in SIZES:
        raise OptionError(f"size is {size!r}{nearest(size, SIZES)}")
    with GridProgress(f"{size} map") as progress:
        rows = run_map(size, folder, workers=given.get("workers"), on_cell=progress)
    write_evidence(folder / "evidence.json", evidence_of(rows, size))
    with atomic_write(folder / "labels.md") as file:
        file.write(as_markdown(rows, size))
    by_votes(folder / "labels_votes.png", rows)
    by_judge(folder / "labels_judge.png", rows)
    say(as_markdown(rows, size))
    say(f"written to {folder}: labels.md, evidence.json, labels_votes.png, labels_judge.png")
