"""The ``softpref train`` command."""

from __future__ import annotations

from collections.abc import Sequence

from softpref.cli.options import parse_options, say
from softpref.training.recipe import TrainRecipe


def run(argv: Sequence[str]) -> None:
    """Train from a recipe."""
    recipe = parse_options(TrainRecipe, "softpref train", argv)
    from softpref.training.run import train

    say(f"run: {train(recipe, say=say)}")
