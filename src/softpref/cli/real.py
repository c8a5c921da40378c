"""The ``softpref real`` command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from softpref.cli.options import parse_options, say
from softpref.data.output_lock import only_writer
from softpref.data.outputs import check_outputs

if TYPE_CHECKING:
    from softpref.research.votes.settings import RealSettings


@dataclass
class RealOptions:
    """Learn from real votes on arguments (UKPConvArg1), and classify pairs of unseen arguments and of unseen debates.

    Attributes:
        output: Folder for everything it makes; run again, it goes on from what lies there.
        data: Folder that holds ukpconvarg1.jsonl; $SOFTPREF_DATA, or ../shared/data, if not given.
        model: Folder or Hub name of a model to start from; a small one from scratch if not given.
        learning_rate: Of the preference runs; chosen on validation for the model from scratch, 5e-6 with a model.
        sft_learning_rate: Of the SFT runs; chosen on validation for the model from scratch, 2e-5 with a model.
        updates: Updates of 32 pairs in every preference run; chosen on validation if not given.
        micro_batch: Pairs in memory at once, a divisor of 32.
        debates: How many of the 11 debates to leave out in turn, by name; all if not given, 0 for held-out arguments only.
        seed: Seed of splits, models and data order.
        quick: One fold, two losses, two updates: shows that it runs, and nothing else.
    """

    output: str = "real"
    data: str | None = None
    model: str | None = None
    learning_rate: float | None = None
    sft_learning_rate: float | None = None
    updates: int | None = None
    micro_batch: int = 32
    debates: int | None = None
    seed: int = 1
    quick: bool = False


# Usual for full fine-tuning of a pretrained model; not chosen on this data.
PRETRAINED = {"learning_rate": 5e-6, "sft_learning_rate": 2e-5}


def run(argv: Sequence[str]) -> None:
    """Run the study, print its tables and where they lie."""
    options = parse_options(RealOptions, "softpref real", argv)
    from softpref.research.votes.document import as_markdown
    from softpref.research.votes.folds import find_data
    from softpref.research.votes.votes import run_real

    data = find_data(options.data)
    say(f"data: {data}")
    _quiet()
    check_outputs({"model": options.model, "data": options.data}, folders={"output": options.output})
    with only_writer(options.output, "softpref real"):
        found = run_real(data, options.output, settings_of(options), say)
    say(as_markdown(found))
    say(f"written to {options.output}/results.md and results.json")


def _quiet() -> None:
    """No bar for every model that is loaded or saved: there are two hundred."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()


def settings_of(options: RealOptions) -> RealSettings:
    """The study that these options ask for."""
    from softpref.research.votes.settings import QUICK, RealSettings

    settings = QUICK if options.quick else RealSettings()
    given = {
        name: getattr(options, name)
        for name in ("model", "learning_rate", "sft_learning_rate", "updates", "debates")
        if getattr(options, name) is not None
    }
    pretrained = PRETRAINED if options.model is not None else {}
    return replace(settings, **{**pretrained, **given, "seed": options.seed, "micro_batch": options.micro_batch})
