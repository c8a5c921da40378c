"""Speed settings change nothing that is learned: twenty updates in float64 end in the same weights, whatever computes them."""

from __future__ import annotations

import copy
import logging

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from softpref.errors import OptionError
from softpref.scoring.plain import pair_logps
from softpref.scoring.reference import CachedReference, Reference
from softpref.scoring.shared_prefix import PackedScorer

UPDATES = 20


@pytest.fixture(scope="session")
def start(word_tokenizer):
    """A GPT-2, of which every operation is float64 (norms over the root mean square, as Llama's, are fp32 inside)."""
    config = GPT2Config(
        vocab_size=len(word_tokenizer),
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=64,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=word_tokenizer.eos_token_id,
        pad_token_id=word_tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    return GPT2LMHeadModel(config).double()


@pytest.fixture
def trained(make_trainer, start, tmp_path, rows):
    """A trainer after twenty updates of four of the eight pairs; its cache is the test's own."""

    def run(**settings):
        settings = {
            "per_device_train_batch_size": 4,
            "max_steps": UPDATES,
            "seed": 3,
            "data_seed": 3,
            "learning_rate": 3e-3,
            "model": copy.deepcopy(start),
            "eval_dataset": rows,
            **settings,
        }
        if settings.get("precompute_ref_log_probs") is not False:
            settings.setdefault("reference_cache", str(tmp_path / "cache"))
        trainer = make_trainer(**settings)
        trainer.train()
        return trainer

    return run


@pytest.fixture
def reference_scored(monkeypatch):
    """Rows that the reference model scores, call by call."""
    calls, score = [], Reference.score

    def noted(self, scorer, pairs):
        calls.append([pair.row for pair in pairs])
        return score(self, scorer, pairs)

    monkeypatch.setattr(Reference, "score", noted)
    return calls


def assert_same_weights(one, other, digits=1e-8):
    for (name, a), b in zip(one.model.named_parameters(), other.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=digits, msg=name)


def assert_same_trajectory(one, other, digits=1e-8):
    """Weights at the end, what every update logged (in fp32), and an evaluation."""
    assert_same_weights(one, other, digits)
    logs = [trainer.state.log_history[:UPDATES] for trainer in (one, other)]
    assert max(abs(update["margin"]) for update in logs[0]) > 0.1, "nothing was learned"
    for ours, theirs in zip(*logs, strict=True):
        for name in ("loss", "margin", "accuracy", "brier", "effective_weight", "grad_norm"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-5, abs=1e-6), name
    assert one.evaluate()["eval_loss"] == pytest.approx(other.evaluate()["eval_loss"], rel=1e-6)


WAYS = {
    "plain": {"prefix_sharing": "off"},
    "accumulated": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4},
    "one pair at a time": {"max_tokens_per_batch": 1},
    "two pairs at a time": {"max_tokens_per_batch": 40},
    "the reference in every step": {"precompute_ref_log_probs": False},
    "plain, the reference in every step": {"prefix_sharing": "off", "precompute_ref_log_probs": False},
    "activations made again": {"gradient_checkpointing": True},
}


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize(
    ("loss", "ways"),
    [({"loss_type": "gdpo"}, WAYS), ({"loss_type": "cipo", "reduction": "mean"}, ["plain", "accumulated"])],
)
def test_twenty_updates_are_the_same(trained, loss, ways):
    """Every way has a cache of its own, so that what it computes is its own."""
    fast = trained(**loss, prefix_sharing="on")
    assert fast.checked.scorer == PackedScorer()
    assert isinstance(fast.reference, CachedReference)
    for name in ways:
        way = WAYS[name]
        own = {} if way.get("precompute_ref_log_probs") is False else {"reference_cache": f"{fast.args.output_dir}/{name}"}
        other = trained(**loss, **way, **own)
        assert (other.checked.scorer is pair_logps) == ("plain" in name)
        assert_same_trajectory(fast, other)


def test_a_second_run_never_scores_the_reference(trained, reference_scored):
    """Eight pairs once, for training and evaluation together; then from disk, for another loss as well."""
    first = trained()
    assert sorted(row for batch in reference_scored for row in batch) == list(range(1, 9))
    del reference_scored[:]
    second = trained()
    assert reference_scored == []
    assert_same_trajectory(first, second, digits=0)
    trained(loss_type="dpo", max_steps=2)
    assert reference_scored == []
    assert isinstance(second.reference, CachedReference)


def test_new_pairs_are_all_that_is_computed(trained, reference_scored, rows):
    trained(data=rows[:6], eval_dataset=None, max_steps=2)
    del reference_scored[:]
    trained(data=rows, eval_dataset=None, max_steps=2)
    assert sorted(row for batch in reference_scored for row in batch) == [7, 8]


def test_another_reference_finds_nothing_in_the_cache(trained, reference_scored, start):
    trained(max_steps=2)
    del reference_scored[:]
    other = copy.deepcopy(start)
    with torch.no_grad():
        next(other.parameters()).mul_(1.01)
    trained(max_steps=2, ref_model=other)
    assert sorted(row for batch in reference_scored for row in batch) == list(range(1, 9))


def test_pairs_that_were_never_scored_are_an_error(trained, rows):
    """Scored before training they would need the reference, which is gone: an error that says how, and not a 0."""
    trainer = trained(max_steps=2)
    new = [{**rows[0], "chosen": "pour the tea"}]
    with pytest.raises(OptionError, match=r"rows \[1\] were not scored under the reference.*eval_dataset"):
        trainer.evaluate(new)


def test_evaluation_before_training_scores_its_own_pairs(make_trainer, start, rows, tmp_path):
    new = [{**row, "chosen": "pour the tea " + row["chosen"]} for row in rows]
    found = [
        make_trainer(model=copy.deepcopy(start), reference_cache=cache, precompute_ref_log_probs=once).evaluate(new)
        for once, cache in ((True, str(tmp_path / "cache")), (False, None))
    ]
    assert found[0]["eval_loss"] == pytest.approx(found[1]["eval_loss"], rel=1e-9)


def test_an_adapter_learns_the_same(trained):
    peft = pytest.importorskip("peft")

    def adapter():
        return peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["c_attn"], r=2, fan_in_fan_out=True)

    fast = trained(peft_config=adapter(), learning_rate=3e-2, prefix_sharing="on")
    assert fast.checked.scorer == PackedScorer()
    for way in ({"prefix_sharing": "off"}, {"precompute_ref_log_probs": False}, {"max_tokens_per_batch": 40}):
        own = {} if "precompute_ref_log_probs" in way else {"reference_cache": fast.args.output_dir}
        assert_same_trajectory(fast, trained(peft_config=adapter(), learning_rate=3e-2, **way, **own))


def test_sft_learns_the_same(trained):
    """One side only, and no reference."""
    settings = {"loss_type": "sft", "beta": None, "precompute_ref_log_probs": None, "reference_cache": None}
    fast, plain = trained(**settings), trained(**settings, prefix_sharing="off")
    assert fast.checked.packed
    assert_same_weights(fast, plain)
    assert fast.state.log_history[UPDATES - 1]["loss"] < fast.state.log_history[0]["loss"] / 2


def test_a_model_that_shares_wrongly_is_said_so_once(make_trainer, start, caplog):
    """Tokens that meet outside attention: the run goes on, on the plain path, and 'on' is refused."""

    def running_mean(_layer, arguments):
        return (arguments[0] + arguments[0].cumsum(1), *arguments[1:])

    def tampered():
        model = copy.deepcopy(start)
        model.transformer.h[1].register_forward_pre_hook(running_mean)
        return model

    with caplog.at_level(logging.INFO, "softpref"):
        trainer = make_trainer(model=tampered(), max_steps=3, precompute_ref_log_probs=False)
        trainer.train()
    assert trainer.checked.scorer is pair_logps
    assert caplog.text.count("sharing it changed log-probs by up to") == 1
    with pytest.raises(OptionError, match="prefix_sharing is 'on', but"):
        make_trainer(model=tampered(), prefix_sharing="on", precompute_ref_log_probs=False).train()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("bf16", [False, True])
def test_on_a_device(trained, bf16):
    """In float64 the same weights; in bf16 the same way down."""
    settings = {"bf16": bf16, "prefix_sharing": "on"}
    fast = trained(**settings)
    plain = trained(**{**settings, "prefix_sharing": "off"}, reference_cache=fast.args.output_dir)
    assert fast.checked.packed
    if bf16:
        ends = [run.state.log_history[UPDATES - 1]["loss"] for run in (fast, plain)]
        assert ends[0] == pytest.approx(ends[1], abs=0.05)
    else:
        assert_same_trajectory(fast, plain)
