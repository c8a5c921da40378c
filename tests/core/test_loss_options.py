"""What may be added to any loss: each by hand, and an error wherever it would do nothing."""

import math

import pytest
import torch

from loss_family import METHODS, Numbers, has_beta, ours, treatment_option
from paper_table import tensor
from softpref.core import Extras, PairLogps, preference_loss
from softpref.core.method_sum import MethodSum
from softpref.core.treatments import resolve
from softpref.errors import OptionError

# c = 1, r = −2, h = 3; 4 and 7 tokens; p = ¾
PAIR = PairLogps(tensor(-10), tensor(-14), tensor(-11), tensor(-12), tensor(4), tensor(7))
LABEL = tensor(0.75)


def log_s(x):
    return -math.log1p(math.exp(-x))


def loss(name="dpo", treatment=None, beta=0.5, label=LABEL, **extras):
    return preference_loss(name, PAIR, label, treatment=treatment, beta=beta, extras=Extras(**extras)).item()


def test_sft_weight_adds_the_chosen_side_s_nll_per_token():
    """10 nats over 4 tokens: 2.5; with a weight of 0.2, 0.5. It is not averaged: the same under every treatment."""
    for treatment in ("hard", "conservative", "geometric"):
        assert loss(treatment=treatment, sft_weight=0.2) == pytest.approx(loss(treatment=treatment) + 0.5, abs=1e-12)


@pytest.mark.parametrize("name", ["cpo", "orpo"])
def test_the_published_nll_is_the_default_weight(name):
    """1·2.5 nats, less where another weight is given, and none at 0."""
    bare = loss(name, sft_weight=0.0)
    assert loss(name) == pytest.approx(bare + 2.5, abs=1e-12)
    assert loss(name, sft_weight=0.4) == pytest.approx(bare + 1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("treatment", "logit"),
    [("hard", 1.5 + 0.1 * (4 - 7)), ("geometric", 0.5 * (1.5 + 0.1 * (4 - 7)))],
)
def test_the_length_penalty_is_r_dpo_s(treatment, logit):
    """−log s(β·h + α(|y1| − |y2|)): 1.5 − 0.3 = 1.2, whatever β is in it; averaged, lengths too: ½·1.2."""
    assert loss(treatment=treatment, length_penalty=0.1) == pytest.approx(-log_s(logit), abs=1e-12)


def test_the_length_penalty_leaves_an_anchor_alone():
    """dpop's penalty is of c = 1 > 0, so none, although 4 tokens at α = −… would count."""
    pair = PairLogps(tensor(-12), tensor(-14), tensor(-11), tensor(-12), tensor(4), tensor(7))
    ours_ = preference_loss("dpop", pair, beta=0.5, penalty=2.0, extras=Extras(length_penalty=0.1)).item()
    # h = −1 + 2 = 1, c = −1: ½·(1 − 2·1) − 0.3
    assert ours_ == pytest.approx(-log_s(-0.8), abs=1e-12)


@pytest.mark.parametrize(("name", "treatment"), [(n, t) for n, t in METHODS if t in ("conservative", "geometric", "own")])
def test_a_flip_rate_is_another_label(name, treatment):
    """ε = 0.1: p = ¾ becomes 0.9·¾ + 0.1·¼ = 0.7."""
    x = Numbers(*(tensor(v).numpy() for v in (-10, -14, -11, -12, 4, 7, 0.75, 0.25)))
    seen = Numbers(*(tensor(v).numpy() for v in (-10, -14, -11, -12, 4, 7, 0.7, 0.25)))
    flipped, _ = ours(name, treatment, x, 0.5, extras=Extras(flip_rate=0.1))
    assert flipped.item() == pytest.approx(ours(name, treatment, seen, 0.5)[0].item(), abs=1e-12)


def test_a_flip_rate_on_sure_labels_is_label_smoothing():
    """cDPO with p = 1 and ε: (1 − ε)·dpo + ε·dpo swapped, as its paper has it."""
    expected = -0.9 * log_s(1.5) - 0.1 * log_s(-1.5)
    assert loss(treatment="conservative", label=tensor(1.0), flip_rate=0.1) == pytest.approx(expected, abs=1e-12)


def test_policy_weighting_is_wpo_s():
    """e^{−10/4}·e^{−14/7} = e^{−4.5} = 0.01110900; without gradient, and not on the NLL."""
    assert loss(policy_weighting=True) == pytest.approx(math.exp(-4.5) * loss(), abs=1e-12)
    assert loss(policy_weighting=True, sft_weight=1.0) == pytest.approx(math.exp(-4.5) * loss() + 2.5, abs=1e-12)
    chosen = tensor(-10, grad=True)
    pair = PairLogps(chosen, *list(vars(PAIR).values())[1:])
    value = preference_loss("dpo", pair, beta=0.5, extras=Extras(policy_weighting=True))
    (slope,) = torch.autograd.grad(value.sum(), [chosen])
    # −β·(1 − s(1.5))·weight
    assert slope.item() == pytest.approx(-0.5 * 0.18242552 * math.exp(-4.5), abs=1e-9)


def test_reference_free_compares_the_policy_alone():
    """h = −10 + 14 = 4: −log s(2); a reference that is there is not read, and none need be."""
    assert loss(reference_free=True) == pytest.approx(-log_s(2), abs=1e-12)
    bare = PairLogps(tensor(-10), tensor(-14))
    assert preference_loss("dpo", bare, beta=0.5, extras=Extras(reference_free=True)).item() == pytest.approx(-log_s(2))
    assert not resolve("dpo", beta=0.5, extras=Extras(reference_free=True)).needs_reference


@pytest.mark.parametrize(
    ("options", "extras", "message"),
    [
        ({"loss_type": "sft"}, {"sft_weight": 1.0}, "sft_weight has no effect: sft is that term itself"),
        ({"loss_type": "sft"}, {"length_penalty": 0.1}, "length_penalty has no effect: sft has no beta"),
        ({"loss_type": "simpo"}, {"length_penalty": 0.1}, "length_penalty has no effect: means over tokens"),
        ({"loss_type": "dpo", "reduction": "mean"}, {"length_penalty": 0.1}, "length_penalty has no effect: means over tokens"),
        ({"loss_type": "dpo"}, {"flip_rate": 0.1}, "flip_rate has no effect: label_treatment 'hard' reads no probability"),
        ({"loss_type": "sft"}, {"policy_weighting": True}, "policy_weighting has no effect: sft compares no responses"),
        ({"loss_type": "orpo"}, {"reference_free": True}, "reference_free has no effect: orpo needs no reference"),
        ({"loss_type": "gdpo"}, {"flip_rate": 0.5}, "flip_rate is 0.5; it must be at least 0 and below 0.5"),
        ({"loss_type": "gdpo"}, {"sft_weight": -1.0}, "sft_weight is -1.0; it must be at least 0"),
        ({"loss_type": "gdpo"}, {"length_penalty": math.inf}, "length_penalty is inf; it must be a finite number"),
    ],
)
def test_an_extra_that_would_do_nothing_is_an_error(options, extras, message):
    beta = {} if options["loss_type"] == "sft" else {"beta": 0.1}
    with pytest.raises(OptionError, match=message):
        resolve(**options, **beta, extras=Extras(**extras))


@pytest.mark.parametrize("extras", [{"sft_weight": 1.0}, {"length_penalty": 0.1}, {"policy_weighting": True}])
def test_an_extra_that_reads_lengths_asks_for_them(extras):
    bare = PairLogps(tensor(-10), tensor(-14), tensor(-11), tensor(-12))
    with pytest.raises(ValueError, match="give chosen_length and rejected_length"):
        preference_loss("dpo", bare, beta=0.5, extras=Extras(**extras))


@pytest.mark.parametrize(("name", "treatment"), METHODS)
def test_an_extra_at_its_default_does_nothing(name, treatment):
    beta = {"beta": 0.5} if has_beta(name) else {}
    options = {"treatment": treatment_option(treatment), "tie": tensor(0.25), **beta}
    plain = preference_loss(name, PAIR, LABEL, **options)
    assert torch.equal(preference_loss(name, PAIR, LABEL, extras=Extras(), **options), plain)


# --- several at once


def test_a_sum_of_methods_is_the_weighted_sum():
    """MPO, 0.8·dpo + 0.2·bco + 1·sft: each by its own reduction."""
    parts = [resolve("dpo", treatment="geometric", beta=0.5), resolve("bco", beta=0.5), resolve("sft")]
    total = MethodSum(tuple(zip((0.8, 0.2, 1.0), parts, strict=True)))
    expected = sum(w * part(PAIR, LABEL).item() for w, part in zip((0.8, 0.2, 1.0), parts, strict=True))
    assert total(PAIR, LABEL).item() == pytest.approx(expected, abs=1e-12)
    assert expected == pytest.approx(0.8 * -log_s(0.75) + 0.2 * (-log_s(0.5) - log_s(1)) + 2.5, abs=1e-12)


def test_a_sum_of_methods_needs_what_any_part_needs():
    sft, cpo, gdpo, dpo_rk = (
        resolve(name, **({"beta": 0.5} if name != "sft" else {})) for name in ("sft", "cpo", "gdpo", "dpo_rk")
    )
    assert not MethodSum(((1.0, sft), (1.0, cpo))).needs_reference
    assert MethodSum(((1.0, sft), (1.0, gdpo))).needs_reference
    assert MethodSum(((1.0, sft), (1.0, gdpo))).needs_rejected
    assert MethodSum(((1.0, gdpo), (1.0, dpo_rk))).needs_tie
    total = MethodSum(((1.0, sft), (0.5, cpo), (0.5, gdpo)))
    assert (total.name, total.treatment, total.main) == ("sft+cpo+dpo", "geometric", gdpo)
