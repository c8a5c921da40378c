"""What a user's type checker sees: mypy and pyright read this file in ``make lint``; nothing runs it."""

import torch
from typing_extensions import assert_type

import softpref
from softpref import (
    PairLogps,
    PairSet,
    ReadOptions,
    SoftPreferenceConfig,
    SoftPreferenceTrainer,
    TrainRecipe,
    preference_loss,
    read_pairs,
    train,
)

logps = torch.zeros(2)
assert_type(preference_loss("gdpo", PairLogps(logps, logps, logps, logps), logps, beta=0.3), torch.Tensor)
pairs = read_pairs("pairs.csv", ReadOptions())
assert_type(pairs, PairSet)
assert_type(pairs[0].soft_label, float | None)
config = SoftPreferenceConfig(output_dir="runs/gdpo", loss_type="dpo", label_treatment="geometric", beta=0.3)
trainer = SoftPreferenceTrainer("model", args=config, train_dataset=pairs)
assert_type(trainer.args, SoftPreferenceConfig)
folder = train(TrainRecipe("model", "pairs.csv", "runs/gdpo"))
print(folder.name, softpref.LOSSES["dpo"].reduction)

SoftPreferenceConfig(output_dir="runs/gdpo", betaa=0.3)  # type: ignore[call-arg]
print(softpref.no_such_name)  # type: ignore[attr-defined]
