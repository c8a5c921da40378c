"""Learning rate and number of updates of ``softpref real``, chosen on validation pairs of the held-out-arguments split.

    python scripts/choose_real_settings.py --output /tmp/choice

One learning rate and one number of updates for all losses: the highest mean AUC over four of them (and the lowest mean log
score after a temperature). Test pairs are never scored. Prints a line per run and number of updates.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from softpref.core.calibration import fit_temperature, log_score
from softpref.demo.paper_betas import treatment_of
from softpref.evaluation.classification import majority_auc, margins, side_logps
from softpref.research.votes.folds import find_data, read_votes
from softpref.research.votes.settings import METHODS, RealSettings
from softpref.research.votes.votes import Study
from softpref.training.recipe import TrainRecipe
from softpref.training.run import train

CHOSEN_ON = ("dpo", "cdpo", "gdpo", "gipo")
LEARNING_RATES = (3e-4, 1e-3, 3e-3)
UPDATES = (24, 48, 96)


def main() -> None:
    """Train the grid and print it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, required=True)
    disable_progress_bar()
    study = Study(parser.parse_args().output, read_votes(find_data()), RealSettings(debates=0), print)
    [fold] = study.folds
    study.prepare(fold)
    path = study.path(fold)
    share = [pair.soft_label for pair in fold.validation]
    reference = side_logps(str(path / "sft"), fold.validation)
    for method in CHOSEN_ON:
        for rate in LEARNING_RATES:
            run = path / f"{method}-{rate:g}"
            arguments = {**study.arguments(max(UPDATES), rate), "save_strategy": "steps", "save_steps": UPDATES[0]}
            recipe = TrainRecipe(
                str(path / "sft"),
                str(path / "train.jsonl"),
                str(run),
                loss_type=method,
                label_treatment=treatment_of(method),
                beta=METHODS[method],
                train=arguments,
                max_length=None,
                seed=study.settings.seed,
            )
            train(recipe, on_log=lambda _: None)
            for updates in UPDATES:
                z = METHODS[method] * margins(side_logps(str(run / f"checkpoint-{updates}"), fold.validation), reference)
                score = log_score(z / fit_temperature(z, share), share)
                print(f"{method} lr {rate:g} updates {updates}: AUC {majority_auc(z, share):.3f}, log score {score:.4f}")


if __name__ == "__main__":
    main()
