"""The ``softpref train`` command."""

from __future__ import annotations

from collections.abc import Sequence

from softpref.cli.judges import JudgeOptions, make_judge
from softpref.cli.options import checked, parse_options, say
from softpref.training.recipe import TrainRecipe

PROG = "softpref train"


def run(argv: Sequence[str]) -> None:
    """Train from a recipe."""
    recipe = parse_options(TrainRecipe, PROG, argv, ("config",))
    judge = make_judge(checked(JudgeOptions, PROG, "judge", recipe.judge)) if recipe.judge else None
    from transformers.utils.logging import disable_progress_bar

    from softpref.cli.progress import TrainingProgress
    from softpref.training.run import train

    disable_progress_bar()  # of weights read and written
    with TrainingProgress(say) as progress:
        folder = train(recipe, on_log=progress, say=say, judge=judge)
    say(f"run: {folder}")
