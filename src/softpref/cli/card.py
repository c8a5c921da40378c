"""The ``softpref card`` command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from softpref.cli.options import parse_options, say
from softpref.data.outputs import check_outputs
from softpref.errors import OptionError


@dataclass
class CardCommand:
    """Write a model card for the Hub about one run: data set, method, labels, results with intervals, limits.

    Attributes:
        run: Run folder of softpref train.
        output: The Markdown file to write; README.md in the run folder if not given. A file that is there is not replaced.
        base_model: Hub id of the model that training started from, where the run names a folder.
        dataset: Hub id of the pairs, where the run names a file.
        license: Licence of the weights, as the Hub names it.
    """

    run: str
    output: str | None = None
    base_model: str | None = None
    dataset: str | None = None
    license: str = "other"


def run(argv: Sequence[str]) -> None:
    """One run folder, and options in any order."""
    options = parse_options(CardCommand, "softpref card", argv, ("run",))
    output = Path(options.output or Path(options.run) / "README.md")
    if output.exists():
        raise OptionError(f"{output}: is there already, and may have been edited; remove it, or give another --output")
    check_outputs({}, {"output": output})
    from softpref.data.files import atomic_write
    from softpref.report.card import CardOptions, model_card

    text = model_card(options.run, CardOptions(options.base_model, options.dataset, options.license))
    with atomic_write(output) as file:
        file.write(text)
    say(f"model card: {output}")
