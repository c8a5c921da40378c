"""Every loss under every treatment trains through the fast path: scored by the trainer, and equal to the core on its own."""

import copy

import pytest
import torch

from loss_family import METHODS, has_beta, treatment_option
from softpref.core import LOSSES, Extras, preference_loss
from softpref.core.treatments import resolve
from softpref.errors import InputError, OptionError

VOTES = [(3, 1, 1), (2, 2, 1), (4, 0, 0), (0, 1, 4), (2, 1, 0), (1, 0, 1), (5, 2, 0), (0, 0, 2)]


@pytest.fixture
def voted(rows):
    """The rows with vote counts in place of a label: ties among them."""
    counts = ("votes_1", "votes_2", "votes_tie")
    return [
        {"prompt": r["prompt"], "response_1": r["chosen"], "response_2": r["rejected"], **dict(zip(counts, v, strict=True))}
        for r, v in zip(rows, VOTES, strict=True)
    ]


def settings_of(name, treatment):
    return {
        "loss_type": name,
        "label_treatment": treatment_option(treatment),
        "beta": 0.3 if has_beta(name) else None,
        "ties": "keep" if treatment == "hard" and LOSSES[name].needs_rejected else None,
        "prefix_sharing": "on",
    }


# one treatment of every loss: the last that it has
TRAINED = list(dict(METHODS).items())


@pytest.mark.parametrize(("name", "treatment"), TRAINED)
def test_each_loss_trains_through_the_packed_path(name, treatment, make_trainer, voted):
    """One update of eight pairs: each pair's loss is the core's on the same scores, to the bit, and the weights have moved."""
    trainer = make_trainer(data=voted, **settings_of(name, treatment))
    before = [p.detach().clone() for p in trainer.model.parameters()]
    seen, losses = [], trainer._losses

    def watched(model, batch):
        seen.append((batch, *losses(model, batch)))
        return seen[-1][1:]

    trainer._losses = watched
    trainer.train()
    assert trainer.checked.packed
    assert sum(len(batch) for batch, *_ in seen) == 8
    for batch, loss, pair, label, _ in seen:
        torch.testing.assert_close(loss, expected(name, treatment, batch, pair, label), rtol=0, atol=0)
    assert any(not torch.equal(p, old) for p, old in zip(trainer.model.parameters(), before, strict=True))


def expected(name, treatment, batch, pair, label):
    beta = {"beta": 0.3} if has_beta(name) else {}
    tie = torch.tensor([row.tie for row in batch])
    return preference_loss(name, pair, label, treatment=treatment_option(treatment), tie=tie, **beta)


def test_each_method_has_a_gradient_in_the_trainer(make_trainer, voted):
    """All treatments of all losses on one trainer, whose method is exchanged between steps."""
    trainer = make_trainer(data=voted, prefix_sharing="on", loss_type="gdpo")
    rows = list(trainer.train_dataset)
    for name, treatment in METHODS:
        trainer.method = resolve(name, treatment=treatment_option(treatment), **({"beta": 0.3} if has_beta(name) else {}))
        trainer.model.zero_grad()
        losses, pair, label, _ = trainer._losses(trainer.model, rows)
        losses.sum().backward()
        torch.testing.assert_close(losses, expected(name, treatment, rows, pair, label), rtol=0, atol=0)
        slopes = [p.grad.abs().max().item() for p in trainer.model.parameters() if p.grad is not None]
        assert 0 < max(slopes) < float("inf"), (name, treatment)


def test_a_tie_is_the_share_of_votes_for_it(make_trainer, voted):
    trainer = make_trainer(data=voted, loss_type="dpo_rk", label_treatment="conservative")
    assert [row.tie for row in trainer.train_dataset] == pytest.approx([t / (a + b + t) for a, b, t in VOTES])


def test_ties_teach_a_model_of_ties_under_hard(make_trainer, voted):
    """0 and 2 votes for either side and ties: p = ½, and weight 1 all the same."""
    trainer = make_trainer(data=voted, loss_type="dpo_rk", label_treatment="hard")
    assert trainer._weights(list(trainer.train_dataset), torch.device("cpu")).tolist() == [1.0] * 8


def test_rows_without_counts_are_refused_by_a_model_of_ties(make_trainer):
    with pytest.raises(InputError, match="row 1 does not say how probable a tie is, which dpo_rk models; give votes"):
        make_trainer(loss_type="dpo_rk", label_treatment="conservative")


def test_a_loss_that_reads_p_itself_asks_for_labels(make_trainer, rows):
    bare = [{name: row[name] for name in ("prompt", "chosen", "rejected")} for row in rows]
    with pytest.raises(InputError, match=r"row 1 has no soft_label; label the pairs .*chosen_reward/rejected_reward\)$"):
        make_trainer(data=bare, loss_type="odpo")
    with pytest.raises(OptionError, match="odpo reads the soft label itself"):
        make_trainer(data=bare, loss_type="odpo", label_treatment="hard")


def test_a_run_without_a_beta_takes_the_loss_s_own(make_trainer):
    assert make_trainer(loss_type="simpo", beta=None).method.arguments["beta"] == 2.0
    assert make_trainer(loss_type="gdpo", beta=None).method.arguments["beta"] == 0.1


# -------------------------------------------------------------------------------------------------- options of any loss


def one_update(trainer):
    """The losses of all rows under the trainer's own method, and the pair they are of."""
    rows = list(trainer.train_dataset)
    losses, pair, label, weight = trainer._losses(trainer.model, rows)
    return losses, pair, label, weight


@pytest.mark.parametrize(
    "extras",
    [{"sft_weight": 0.3}, {"length_penalty": 0.01}, {"flip_rate": 0.1}, {"policy_weighting": True}, {"reference_free": True}],
    ids=lambda extras: next(iter(extras)),
)
def test_an_option_of_any_loss_reaches_it(extras, make_trainer):
    """The trainer's losses are the core's with the option, and not those without."""
    trainer = make_trainer(loss_type="gdpo", **extras)
    trainer.train()
    losses, pair, label, _ = one_update(trainer)
    torch.testing.assert_close(losses, preference_loss("gdpo", pair, label, beta=0.3, extras=Extras(**extras)), rtol=0, atol=0)
    plain = preference_loss("gdpo", pair, label, beta=0.3, extras=Extras(reference_free="reference_free" in extras))
    assert "reference_free" in extras or not torch.allclose(losses, plain)


def test_without_a_reference_none_is_loaded(make_trainer):
    trainer = make_trainer(loss_type="gdpo", reference_free=True)
    assert trainer.reference is None
    trainer.train()
    assert one_update(trainer)[1].ref_chosen is None
    with pytest.raises(OptionError, match="dpo needs no reference: leave ref_model out"):
        make_trainer(loss_type="gdpo", reference_free=True, ref_model=copy.deepcopy(trainer.model))


def test_pairs_that_are_too_unsure_have_weight_0_and_are_counted(make_trainer, caplog):
    """Labels 0.9, 0.5, 1.0, 0.7, 0.55, 0.6, 0.8, 0.95 and weights 1, 2, 0.5, 1, 3, 1, 0, 1.5: |2p − 1| < 0.3 for three."""
    with caplog.at_level("INFO", logger="softpref"):
        trainer = make_trainer(loss_type="gdpo", min_certainty=0.3)
    assert one_update(trainer)[3].tolist() == [1.0, 0.0, 0.5, 1.0, 0.0, 0.0, 0.0, 1.5]
    assert "train_dataset: 3 of 8 pairs have |2p − 1| below min_certainty, and weight 0" in caplog.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_certainty": 1.0}, "min_certainty is 1.0; it must be at least 0 and below 1"),
        ({"loss_type": "sft", "beta": None, "min_certainty": 0.1}, "min_certainty has no effect: sft compares no responses"),
        ({"loss_weights": [1.0, 2.0]}, "loss_weights has no effect with one loss"),
        ({"loss_type": ["gdpo", "bco"], "loss_weights": [1.0]}, "loss_weights holds 1 numbers for 2 losses"),
        ({"loss_type": ["gdpo", "bco"], "loss_weights": [1.0, -1.0]}, "give finite numbers above 0"),
        ({"loss_type": ["gdpo", "gdpo"]}, "give one name, or a list of several, each once"),
        ({"loss_type": ["gdpo", "bco"], "loss_args": {"delta": 1.0}}, "loss_args.delta: with several losses"),
        ({"loss_type": ["dpo", "bco"], "label_treatment": "geometric"}, "bco has no geometric form"),
        ({"loss_type": ["gdpo", "sppo"], "reduction": "mean", "length_penalty": 0.1}, "length_penalty has no effect: means"),
    ],
)
def test_options_that_do_not_fit_are_refused(settings, message, make_trainer):
    with pytest.raises(OptionError, match=message):
        make_trainer(**settings)


def test_a_list_of_losses_is_trained_as_their_sum(make_trainer):
    """MPO's mixture, geometric where that exists: 0.8·gdpo + 0.2·bco + 1·NLL, with bco's own argument."""
    options = {"loss_type": ["gdpo", "bco"], "loss_weights": [0.8, 0.2], "loss_args": {"bco": {"delta": 0.5}}}
    trainer = make_trainer(**options, sft_weight=1.0)
    losses, pair, label, _ = one_update(trainer)
    gdpo = preference_loss("gdpo", pair, label, beta=0.3)
    bco = preference_loss("bco", pair, beta=0.3, delta=0.5)
    torch.testing.assert_close(losses, 0.8 * gdpo + 0.2 * bco - pair.chosen / pair.chosen_length)
    trainer.train()
    assert {"margin", "accuracy", "brier", "rewards/margins"} <= trainer.state.log_history[0].keys()


def test_an_option_in_a_list_goes_to_the_parts_that_it_acts_on(make_trainer):
    """A flip rate to gdpo, and not to the hard bco beside it."""
    method = make_trainer(loss_type=["gdpo", "bco"], flip_rate=0.1).method
    assert [part.extras.flip_rate for _, part in method.parts] == [0.1, 0.0]
