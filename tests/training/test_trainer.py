"""What one update is, what a step reports, and what stops a run."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from softpref.core import PairLogps, preference_loss
from softpref.data.pairs import Completion, PreferencePair
from softpref.errors import InputError, NonFiniteError, OptionError, ReferenceMismatchError
from softpref.loading.models import load_model
from softpref.scoring.plain import pair_logps
from tiny_models import perturbed


def test_the_first_step_of_a_fresh_policy(make_trainer):
    """Policy = reference: h = 0, so GDPO's loss is log 2, accuracy counts half, and σ(0) = ½ has its Brier score.

    Weights (1, 2, ½, 1, 3, 1, 0, 1½) sum to 10; Σ w(½ − p)² = .16 + 0 + .125 + .04 + .0075 + .01 + 0 + .30375 = .64625.
    Σ w|2p − 1| = .8 + 0 + .5 + .4 + .3 + .2 + 0 + 1.35 = 3.55.
    """
    trainer = make_trainer()
    trainer.train()
    first = trainer.state.log_history[0]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert first["margin"] == pytest.approx(0, abs=1e-6)
    assert first["accuracy"] == pytest.approx(0.5)
    assert first["brier"] == pytest.approx(0.064625, abs=1e-6)
    assert first["effective_weight"] == pytest.approx(0.355, abs=1e-6)
    assert first["pairs_per_second"] > 0
    assert trainer.step_zero_difference == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["dpo", "cdpo", "gdpo", "ipo", "cipo", "gipo", "ropo", "gropo", "hinge"])
def test_the_loss_is_that_of_the_core(name, make_trainer, tiny_llama, rows):
    """Σ wℓ / Σ w with ``preference_loss`` on log-probs computed here; under hard the tie (weight 2) has weight 0."""
    policy = perturbed(tiny_llama)
    trainer = make_trainer(model=policy, ref_model=copy.deepcopy(tiny_llama), loss_type=name, beta=0.2)
    tokens = list(trainer.train_dataset)
    ours, theirs = pair_logps(policy, tokens), pair_logps(tiny_llama, tokens)
    pair = PairLogps(ours.chosen, ours.rejected, theirs.chosen, theirs.rejected)
    label = torch.tensor([row["soft_label"] for row in rows])
    weight = torch.tensor([row["weight"] for row in rows])
    if name in ("dpo", "ipo", "ropo", "hinge"):
        weight = weight * (label != 0.5)
    expected = (preference_loss(name, pair, label, beta=0.2) * weight).sum() / weight.sum()
    trainer.train()
    assert trainer.state.log_history[0]["loss"] == pytest.approx(float(expected.detach()), rel=1e-5)


def test_ties_can_be_kept_under_hard(make_trainer, tiny_llama):
    """With the tie kept the loss is another one; at step 0 every DPO loss is log 2, so the policy starts elsewhere."""
    losses = []
    for ties in ("drop", "keep"):
        trainer = make_trainer(model=perturbed(tiny_llama), ref_model=copy.deepcopy(tiny_llama), loss_type="dpo", ties=ties)
        trainer.train()
        losses.append(trainer.state.log_history[0]["loss"])
    assert losses[0] != pytest.approx(losses[1], rel=1e-4)


def test_an_update_of_equals_teaches_nothing(make_trainer, rows, tiny_llama):
    """All labels ½ under geometric: log 2 on the display, and not one weight moves."""
    before = copy.deepcopy(tiny_llama.state_dict())
    trainer = make_trainer(data=[{**row, "soft_label": 0.5} for row in rows], max_steps=3)
    trainer.train()
    assert trainer.state.log_history[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert trainer.state.log_history[0]["effective_weight"] == 0
    assert all(torch.equal(before[name], value) for name, value in trainer.model.state_dict().items())


def test_hard_with_nothing_but_ties_is_refused(make_trainer, rows):
    with pytest.raises(InputError, match="every pair has weight 0"):
        make_trainer(data=[{**row, "soft_label": 0.5} for row in rows], loss_type="dpo")


def test_the_reference_is_computed_under_mixed_precision_like_the_policy(make_trainer):
    """bf16 autocast on one of the two alone would be a difference of tenths of a nat."""
    trainer = make_trainer(bf16=True)
    trainer.train()
    assert trainer.step_zero_difference == 0
    assert trainer.state.log_history[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)


def test_sft_keeps_pairs_without_a_better_side(make_trainer, rows):
    """SFT imitates the chosen side as it stands: eight rows count, the tie among them, and the one of weight 0 does not."""
    trainer = make_trainer(data=rows, loss_type="sft", beta=None)
    assert [trainer._weight(row, trainer.args) for row in trainer.train_dataset] == [r["weight"] for r in rows]


def test_metrics_are_of_the_log_probs_that_the_loss_sees(make_trainer, tiny_llama):
    """With reduction mean the margin is one of means."""
    policy = perturbed(tiny_llama)
    trainer = make_trainer(model=policy, ref_model=copy.deepcopy(tiny_llama), reduction="mean")
    tokens = list(trainer.train_dataset)
    ours, theirs = pair_logps(policy, tokens), pair_logps(tiny_llama, tokens)
    ratios = [
        (ours.chosen - theirs.chosen) / ours.chosen_length,
        (ours.rejected - theirs.rejected) / ours.rejected_length,
    ]
    weight = torch.tensor([row.weight for row in tokens])
    expected = ((ratios[0] - ratios[1]) * weight).sum() / weight.sum()
    trainer.train()
    assert trainer.state.log_history[0]["margin"] == pytest.approx(float(expected.detach()), rel=1e-4)


def test_a_checkpoint_without_its_optimizer_is_no_place_to_go_on_from(make_trainer, tiny_llama):
    saving = {"save_strategy": "steps", "save_steps": 1, "save_only_model": True}
    trainer = make_trainer(model=copy.deepcopy(tiny_llama), **saving)
    trainer.train()
    again = make_trainer(model=copy.deepcopy(tiny_llama), max_steps=2, **saving)
    with pytest.raises(InputError, match="was saved without its optimizer"):
        again.train(resume_from_checkpoint=True)


def test_a_torn_checkpoint_is_passed_over(make_trainer, tiny_llama):
    """A run killed while it wrote checkpoint 2 goes on from checkpoint 1."""
    saving = {"save_strategy": "steps", "save_steps": 1, "max_steps": 2}
    trainer = make_trainer(model=copy.deepcopy(tiny_llama), **saving)
    trainer.train()
    from softpref.training.checkpoints import last_whole_checkpoint

    assert last_whole_checkpoint(trainer.args.output_dir).name == "checkpoint-2"
    (last_whole_checkpoint(trainer.args.output_dir) / "trainer_state.json").unlink()
    assert last_whole_checkpoint(trainer.args.output_dir).name == "checkpoint-1"


def test_the_adapter_is_seeded(make_trainer, tiny_llama):
    peft = pytest.importorskip("peft")
    settings = {"task_type": "CAUSAL_LM", "target_modules": ["q_proj"], "r": 2}
    starts = []
    for seed in (1, 1, 2):
        trainer = make_trainer(model=copy.deepcopy(tiny_llama), peft_config=peft.LoraConfig(**settings), seed=seed)
        starts.append(torch.cat([v.flatten() for n, v in trainer.model.named_parameters() if ".lora_A." in n]))
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])


def test_no_sequence_is_longer_than_the_models_context(make_trainer, rows):
    """The tiny model has 64 positions: what does not fit is dropped and counted, whatever max_length says."""
    long = {**rows[0], "prompt": "make tea " * 40 + ":"}
    trainer = make_trainer(data=[*rows, long], max_length=1024)
    assert (trainer.train_dataset.counts.kept, trainer.train_dataset.counts.too_long) == (8, 1)


def test_rows_given_the_wrong_way_round_are_turned(make_trainer, rows, tiny_llama):
    """(y1, y2, p) and (y2, y1, 1 − p) are one judgement: the same weights come out, under hard too."""
    turned = [{**row, "chosen": row["rejected"], "rejected": row["chosen"], "soft_label": 1 - row["soft_label"]} for row in rows]
    ended = []
    for data in (rows, turned):
        trainer = make_trainer(data=data, model=copy.deepcopy(tiny_llama), loss_type="dpo", max_steps=2)
        trainer.train()
        ended.append(torch.cat([value.flatten() for value in trainer.model.parameters()]))
    torch.testing.assert_close(ended[0], ended[1], rtol=0, atol=2e-5)


def test_sft_is_the_mean_of_token_means(make_trainer, tiny_llama):
    """One response of 2 tokens and one of 4 count alike, each by its mean."""
    rows = [{"prompt": "make tea :", "completion": "wait"}, {"prompt": "make tea :", "completion": "boil the water"}]
    trainer = make_trainer(data=rows, loss_type="sft", beta=None)
    scores = pair_logps(tiny_llama, list(trainer.train_dataset))
    assert scores.chosen_length.tolist() == [2, 4]
    expected = -(scores.chosen / scores.chosen_length).mean()
    trainer.train()
    assert trainer.reference is None
    assert trainer.state.log_history[0]["loss"] == pytest.approx(float(expected.detach()), rel=1e-5)


def test_sft_on_pairs_trains_on_the_chosen_side_alone(make_trainer, tiny_llama, rows):
    data = [PreferencePair(r["prompt"], r["chosen"], r["rejected"], 0.9) for r in rows]
    alike = [Completion(r["prompt"], r["chosen"]) for r in rows]
    ended = []
    for some in (data, alike):
        trainer = make_trainer(data=some, model=copy.deepcopy(tiny_llama), loss_type="sft", beta=None, max_steps=2)
        trainer.train()
        ended.append(torch.cat([value.flatten() for value in trainer.model.parameters()]))
    torch.testing.assert_close(ended[0], ended[1])


def test_unlabelled_pairs_need_an_explicit_hard(make_trainer, rows):
    bare = [{k: v for k, v in row.items() if k != "soft_label"} for row in rows]
    for settings in ({"loss_type": "gdpo"}, {"loss_type": "dpo"}):
        with pytest.raises(InputError, match=r"row 1 has no soft_label.*label_treatment to 'hard'"):
            make_trainer(data=bare, **settings)
    trainer = make_trainer(data=bare, loss_type="dpo", label_treatment="hard")
    trainer.train()
    assert trainer.state.log_history[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)


def test_completions_need_sft(make_trainer):
    with pytest.raises(InputError, match=r"holds completions.*use loss_type sft"):
        make_trainer(data=[{"prompt": "make tea :", "completion": "wait"}])


@pytest.mark.parametrize(
    ("precompute", "message"),
    [(False, r"step 0: .* rows \[.*\] are not finite"), (True, r"under the reference .* rows \[.*\] are not finite")],
)
def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_rows(make_trainer, tiny_llama, precompute, message):
    with torch.no_grad():
        tiny_llama.get_input_embeddings().weight[5] = float("nan")
    trainer = make_trainer(reference_tolerance=float("inf"), precompute_ref_log_probs=precompute)
    trainer._gate_open = False
    with pytest.raises(NonFiniteError, match=message):
        trainer.train()


def test_the_gate_stops_a_policy_that_is_not_its_reference(make_trainer, tiny_llama):
    """The same weights, but one of them computes something else: a hook that is left on."""
    trainer = make_trainer(precompute_ref_log_probs=False)
    handle = trainer.model.model.embed_tokens.register_forward_hook(lambda _m, _i, out: out * 1.5)
    with pytest.raises(ReferenceMismatchError, match=r"differ by .* nats at step 0"):
        trainer.train()
    handle.remove()


def test_another_reference_is_no_fault_at_step_zero(make_trainer, tiny_llama, caplog):
    trainer = make_trainer(ref_model=perturbed(tiny_llama))
    trainer.train()
    assert trainer.step_zero_difference is None
    assert "no step-0 check; on the first rows they differ by up to" in caplog.text


def test_resume_refuses_another_reference(make_trainer, tiny_llama):
    saving = {"save_strategy": "steps", "save_steps": 1}
    trainer = make_trainer(model=copy.deepcopy(tiny_llama), **saving)
    trainer.train()
    checkpoint = f"{trainer.args.output_dir}/checkpoint-1"
    again = make_trainer(model=perturbed(tiny_llama), max_steps=2, **saving)
    with pytest.raises(ReferenceMismatchError, match="was trained against reference"):
        again.train(resume_from_checkpoint=checkpoint)


def test_a_resumed_run_ends_where_an_unbroken_one_does(make_trainer, tiny_llama):
    saving = {"save_strategy": "steps", "save_steps": 2, "per_device_train_batch_size": 2, "max_steps": 4}
    whole = make_trainer(model=copy.deepcopy(tiny_llama), **saving)
    whole.train()
    resumed = make_trainer(model=copy.deepcopy(tiny_llama), **saving)
    resumed.train(resume_from_checkpoint=f"{whole.args.output_dir}/checkpoint-2")
    assert resumed.state.global_step == 4
    for (name, a), b in zip(whole.model.named_parameters(), resumed.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6, msg=name)


def test_evaluation_is_the_weighted_mean_over_the_whole_set(make_trainer, rows):
    """In batches of 3 as in one of 8."""
    found = []
    for size in (3, 8):
        trainer = make_trainer(eval_dataset=rows, per_device_eval_batch_size=size)
        found.append(trainer.evaluate())
    assert found[0]["eval_loss"] == pytest.approx(math.log(2), abs=1e-6)
    for name in ("eval_loss", "eval_brier", "eval_effective_weight", "eval_accuracy"):
        assert found[0][name] == pytest.approx(found[1][name], abs=1e-6)


def test_the_policy_cannot_be_its_own_reference(make_trainer, tiny_llama):
    with pytest.raises(OptionError, match="ref_model is the policy itself"):
        make_trainer(model=tiny_llama, ref_model=tiny_llama)


def test_a_reference_that_is_known_is_never_loaded(make_trainer, tiny_llama, tmp_path, monkeypatch):
    """Its folder tells who it is; other weights in the same folder are another reference."""
    import softpref.training.references as module

    loaded = []

    def load(name, dtype):
        loaded.append(name)
        return load_model(name, dtype)

    monkeypatch.setattr(module, "load_model", load)
    folder, settings = tmp_path / "reference", {"reference_cache": str(tmp_path / "cache")}
    tiny_llama.save_pretrained(folder)
    margins = []
    for _ in range(2):
        trainer = make_trainer(model=perturbed(tiny_llama), ref_model=str(folder), **settings)
        trainer.train()
        margins.append(trainer.state.log_history[0]["margin"])
    assert loaded == [str(folder)]
    assert margins[0] == margins[1] != 0
    perturbed(tiny_llama).save_pretrained(folder)
    trainer = make_trainer(model=perturbed(tiny_llama), ref_model=str(folder), **settings)
    trainer.train()
    assert loaded == [str(folder)] * 2
    assert trainer.state.log_history[0]["margin"] == pytest.approx(0, abs=1e-4)
