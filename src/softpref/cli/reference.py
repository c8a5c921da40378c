"""The ``softpref reference`` command."""

from __future__ import annotations

from collections.abc import Sequence

from softpref.cli.options import parse_options, say
from softpref.training.recipe import TrainRecipe


def run(argv: Sequence[str]) -> None:
    """Score a recipe's pairs under its reference; ``softpref train`` with the same recipe finds them."""
    recipe = parse_options(TrainRecipe, "softpref reference", argv, ("config",))
    from softpref.training.run import score_reference

    say(f"{score_reference(recipe)} pairs are scored under the reference")
