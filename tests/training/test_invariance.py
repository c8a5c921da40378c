"""An update is a fixed set of pairs: however it is split, the same weights come out. Uneven labels, weights and lengths."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch

from two_processes import run_two

TWO_PROCESSES = """
import json, sys
from softpref import SoftPreferenceConfig, SoftPreferenceTrainer
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, out, rows = sys.argv[1:4]
args = SoftPreferenceConfig(output_dir=out, loss_type="gdpo", beta=0.3, learning_rate=1e-2, max_steps=2, report_to="none",
    per_device_train_batch_size=2, gradient_accumulation_steps=2, save_strategy="no", disable_tqdm=True, logging_steps=1,
    lr_scheduler_type="constant", seed=3, data_seed=3)
trainer = SoftPreferenceTrainer(AutoModelForCausalLM.from_pretrained(folder), args, train_dataset=json.load(open(rows)),
    processing_class=AutoTokenizer.from_pretrained(folder))
trainer.train()
logps = trainer.predict(json.load(open(rows))).predictions
log = trainer.state.log_history + [[values.tolist() for values in logps], trainer.evaluate(json.load(open(rows)))]
if trainer.is_world_process_zero():
    assert trainer.args.world_size == 2, trainer.args.world_size
    trainer.model.save_pretrained(out)
    json.dump(log, open(out + "/log.json", "w"))
"""


def weights(model):
    return torch.cat([value.detach().flatten() for value in model.parameters()])


@pytest.fixture
def trained(make_trainer, tiny_llama):
    """Weights and log after two updates of all eight pairs, split in a given way."""

    def run(batch, accumulate, **settings):
        trainer = make_trainer(
            model=copy.deepcopy(tiny_llama).double(),
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=accumulate,
            max_steps=2,
            seed=3,
            data_seed=3,
            **settings,
        )
        trainer.train()
        return weights(trainer.model), trainer.state.log_history

    return run


@pytest.mark.parametrize("loss_type", ["gdpo", "dpo", "cipo"])
@pytest.mark.parametrize(("batch", "accumulate"), [(1, 8), (2, 4), (3, 3)])
def test_accumulation_changes_nothing(trained, loss_type, batch, accumulate):
    """8×1 = 1×8 = 2×4, and 3×3 with a short last batch."""
    at_once, log = trained(8, 1, loss_type=loss_type)
    split, split_log = trained(batch, accumulate, loss_type=loss_type)
    torch.testing.assert_close(at_once, split, rtol=0, atol=1e-7)
    for name in ("loss", "margin", "brier", "effective_weight"):
        assert log[1][name] == pytest.approx(split_log[1][name], rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("count", [8, 5])
def test_two_processes_change_nothing(make_trainer, tiny_llama, word_tokenizer, rows, tmp_path, count):
    """Two ranks of 2×2 pairs are one rank of 8; with 5 pairs the loader repeats rows, and those must not count."""
    rows = rows[:count]
    folder, out = tmp_path / "model", tmp_path / "ddp"
    tiny_llama.save_pretrained(folder)
    word_tokenizer.save_pretrained(folder)
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    run_two(tmp_path, TWO_PROCESSES, folder, out, "rows.json")
    from transformers import AutoModelForCausalLM

    alone = make_trainer(data=rows, max_steps=2, seed=3, data_seed=3, eval_dataset=rows)
    alone.train()
    together = AutoModelForCausalLM.from_pretrained(out)
    torch.testing.assert_close(weights(alone.model), weights(together), rtol=0, atol=2e-5)
    log = json.loads((Path(out) / "log.json").read_text())
    for name in ("loss", "margin", "brier", "effective_weight"):
        assert log[1][name] == pytest.approx(alone.state.log_history[1][name], rel=1e-3, abs=1e-6)
    for values, expected in zip(log[-2], alone.predict(rows).predictions, strict=True):
        assert values == pytest.approx(expected.tolist(), rel=1e-4)
    evaluated = alone.evaluate()
    for name in ("eval_loss", "eval_brier", "eval_effective_weight"):
        assert log[-1][name] == pytest.approx(evaluated[name], rel=1e-3, abs=1e-6)
