"""The whole family: every base loss under every treatment that it has, against forms written a second time, and by hand."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from loss_family import ANCHORED, HARD, METHODS, TREATED, TREATMENT, Numbers, form, ours
from softpref.core import ALIASES, LOSSES, preference_loss
from softpref.core.treatments import resolve, treatments_of
from softpref.errors import OptionError

BETAS = (0.02, 0.3, 1.2)


def drawn(low=0.5, high=1.0, rows=200):
    """Pairs with log-probs down to −12, 1 to 5 tokens, p in [low, high] with both ends, and a P(tie) that p has room for."""
    generator = np.random.default_rng(7)
    logps = generator.uniform(-12, -0.05, (4, rows))
    lengths = generator.integers(1, 6, (2, rows)).astype(float)
    p = np.concatenate([[low, high], generator.uniform(low, high, rows - 2)])
    return Numbers(*logps, *lengths, p, generator.uniform(0, 2 * np.minimum(p, 1 - p)))


def test_the_table_of_the_test_is_whole():
    assert TREATED.keys() == HARD.keys() == LOSSES.keys()


@pytest.mark.parametrize("name", TREATED)
def test_each_loss_has_the_treatments_that_it_should(name):
    assert treatments_of(name) == tuple(TREATMENT[letter] for letter in TREATED[name])


@pytest.mark.parametrize(("name", "treatment"), METHODS)
@pytest.mark.parametrize("b", BETAS)
def test_each_method_is_the_form_that_was_written_apart(name, treatment, b):
    """Relative to the loss plus one: an exponential of 12 nats has 1e-16·e^12 of rounding."""
    x = drawn()
    loss, _ = ours(name, treatment, x, b)
    expected = form(name, treatment)(x, b)
    assert loss.shape == expected.shape
    assert_allclose((loss.numpy() - expected) / (1 + np.abs(expected)), 0, atol=1e-8)


@pytest.mark.parametrize(("name", "treatment"), [(n, t) for n, t in METHODS if t in ("conservative", "geometric")])
@pytest.mark.parametrize("b", BETAS)
def test_a_sure_label_gives_the_hard_loss(name, treatment, b):
    """p = 1. EXO's own soft form keeps p at 1 − ε there, which is EXO-pref's ε."""
    x = drawn(1.0)
    assert_allclose(ours(name, treatment, x, b)[0], ours(name, "hard", x, b)[0], rtol=1e-9, atol=1e-9)


SYMMETRIC = [(n, t) for n, t in METHODS if t in ("conservative", "geometric") and n not in ANCHORED]


@pytest.mark.parametrize(("name", "treatment"), [*SYMMETRIC, ("reward_distillation", "own")])
@pytest.mark.parametrize("b", BETAS)
def test_exchanging_the_sides_and_the_label_changes_nothing(name, treatment, b):
    x = drawn(0.0)
    here, there = ours(name, treatment, x, b)[0], ours(name, treatment, x.swapped(), b)[0]
    assert_allclose(here, there, rtol=1e-7, atol=1e-7)


# Never costlier where the chosen side is more probable. Not so: squares, hinges' other side, DiscoPOP's dip, robust's noise.
MONOTONE = [
    *("dpo", "dpo_norm", "ropo", "slic", "gpo_exponential", "gpo_truncated", "gpo_savage", "fdpo_forward_kl", "fdpo_js"),
    *("fdpo_alpha", "chi_po", "apo_zero", "simpo", "alphapo", "cpo", "orpo", "dpo_rk", "dpo_d"),
]
# Not of the margin alone: averaging mixes two places of a curve, and the other side's slope may be the steeper.
CURVED = ("fdpo_forward_kl", "fdpo_js", "fdpo_alpha", "chi_po", "apo_zero", "alphapo", "orpo")


def slope_on_chosen(name, treatment, b):
    x = drawn(0.55)
    x = Numbers(x.yw, x.yl, x.ref_w, x.ref_l, x.nw, x.nl, x.p, np.zeros_like(x.p))
    loss, pair = ours(name, treatment, x, b, grad=True)
    return torch.autograd.grad(loss.sum(), [pair.chosen])[0]


@pytest.mark.parametrize("b", BETAS)
@pytest.mark.parametrize(
    ("name", "treatment"),
    [
        *((name, "hard") for name in MONOTONE),
        *((name, "geometric") for name in MONOTONE if name not in CURVED),
        ("odpo", "own"),
    ],
)
def test_a_more_probable_chosen_side_never_costs_more(name, treatment, b):
    assert slope_on_chosen(name, treatment, b).max().item() <= 1e-12


@pytest.mark.parametrize("name", [name for name in CURVED if name != "orpo"])
def test_averaging_can_push_the_chosen_side_down_where_a_loss_is_not_of_the_margin(name):
    """As docs/losses.md says. ORPO's NLL outweighs it here."""
    assert max(slope_on_chosen(name, "geometric", b).max().item() for b in BETAS) > 1e-6


ONE = Numbers(*(np.array([x]) for x in (-10.0, -14.0, -11.0, -12.0, 4.0, 7.0, 0.75, 0.25)))


@pytest.mark.parametrize(
    ("name", "treatment", "expected"),
    [
        ("robust", "hard", 0.01391328),
        ("exo", "hard", 0.78591726),
        ("gpo_exponential", "hard", 0.22313016),
        ("gpo_squared", "hard", 0.25),
        ("gpo_savage", "hard", 0.03327907),
        ("nca", "hard", 1.11774632),
        ("bco", "hard", 0.78733867),
        ("sppo", "hard", 1.0),
        ("sppo", "conservative", 2.5),
        ("apo_zero", "hard", 0.64648209),
        ("apo_down", "hard", 0.80488485),
        ("cal_dpo", "hard", 1.04858735),
        ("dpo_shift", "hard", 0.21072296),
        ("dpop", "hard", 0.20141328),
        ("odpo", "own", 0.51245858),
        ("reward_distillation", "own", 0.16111209),
        ("dpo_rk", "hard", 0.66018644),
        ("dpo_d", "hard", 0.78795522),
    ],
)
def test_by_hand(name, treatment, expected):
    """c = 1, r = −2, h = 3, b = ½, p = ¾, t = ¼: b·c = 0.5, b·r = −1, b·h = 1.5; s(1.5) = 0.81757448, −log s(1.5) = 0.20141328,
    −log s(−1.5) = 1.70141328, s(0.5) = 0.62245933, −log s(0.5) = 0.47407698, −log s(−0.5) = 0.97407698, s(−1) = 0.26894142,
    −log s(1) = 0.31326169, logit ¾ = log 3 = 1.09861229.

    robust, ε = 0.1: (0.9·0.20141328 − 0.1·1.70141328)/0.8 = 0.01391328
    exo, ε = 0.001: 0.81757448·(log 0.81757448 − log 0.999) + 0.18242552·(log 0.18242552 − log 0.001)
        = 0.81757448·(−0.20041278) + 0.18242552·(−1.70141328 + 6.90775528) = −0.16385237 + 0.94976963 = 0.78591726
    gpo: e^{−1.5} = 0.22313016, (1.5 − 1)² = 0.25, 0.18242552² = 0.03327907
    nca: 0.47407698 + ½·0.97407698 + ½·0.31326169 = 1.11774632 · bco: 0.47407698 + 0.31326169 = 0.78733867
    sppo: (1 − 1)² + (−2 + 1)² = 1, soft: (1 − ½)² + (−2 + ½)² = 2.5
    apo_zero: 0.37754067 + 0.26894142 = 0.64648209 · apo_down: 0.62245933 + 0.18242552 = 0.80488485
    cal_dpo: −log s(3) = 0.04858735, + 0 + 1 · dpo_shift: 0.5 + 0.95 = 1.45, −log s(1.45) = 0.21072296
    dpop: c > 0, so dpo's · odpo: −log s(1.5 − 1.09861229) = −log s(0.40138771) = 0.51245858
    distillation: 0.40138771² = 0.16111209
    dpo_rk, ν = 3: win 0.51245858, tie that − log s(−2.59861229) − log 8 = 0.51245858 + 2.67035299 − 2.07944154 = 1.10337002;
        ¾·0.51245858 + ¼·1.10337002 = 0.66018644
    dpo_d, ν = 1: win log(1 + e^{−1.5} + 2e^{−0.75}) = 0.77374201, tie that + 0.75 − log 2 = 0.83059483; mixed 0.78795522
    """
    loss, _ = ours(name, treatment, ONE, 0.5)
    assert loss.item() == pytest.approx(expected, abs=2e-6)


def test_the_outcomes_of_a_model_of_ties_sum_to_one():
    """e^{−loss} of a win, a loss and a tie, at any margin: probabilities of three outcomes."""
    h = np.linspace(-6, 6, 25)
    zero = np.zeros_like(h)
    for name in ("dpo_rk", "dpo_d"):
        total = zero
        for sign, t in ((1, 0.0), (-1, 0.0), (1, 1.0)):
            x = Numbers(sign * h, zero, zero, zero, zero + 1, zero + 1, zero + 0.5, zero + t)
            total = total + np.exp(-ours(name, "hard", x, 0.7)[0].numpy())
        assert_allclose(total, 1, rtol=1e-12)


def test_a_model_of_ties_without_them_and_without_their_parameter_is_dpo():
    """Davidson's ν → 0 and t = 0; Rao and Kupper's ν → 1."""
    x = Numbers(*(np.array([v]) for v in (-3.0, -5.0, -4.0, -4.5, 2.0, 2.0, 0.8, 0.0)))
    dpo = ours("dpo", "conservative", x, 0.6)[0].item()
    assert ours("dpo_d", "conservative", x, 0.6, nu=1e-9)[0].item() == pytest.approx(dpo, abs=1e-8)
    assert ours("dpo_rk", "conservative", x, 0.6, nu=1 + 2e-6)[0].item() == pytest.approx(dpo, abs=1e-5)


# --- published soft forms


@pytest.mark.parametrize("b", BETAS)
def test_soft_sppo_is_the_mixture_less_a_constant(b):
    """Wu et al.'s eq. 4.7 with P = p, and ``p·hard + (1−p)·hard swapped − 2p(1−p)/β²``."""
    x = drawn(0.0)
    mixture = x.p * HARD["sppo"](x, b) + (1 - x.p) * HARD["sppo"](x.swapped(), b)
    expected = mixture - 2 * x.p * (1 - x.p) / b**2
    assert_allclose(ours("sppo", "conservative", x, b)[0], expected, rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize("b", BETAS)
def test_soft_nca_is_the_paper_s(b):
    """NCA over K = 2 scored responses: ``Σ_i [−w_i·log s(βz_i) − ½·log s(−βz_i)]`` with weights w = (p, 1 − p)."""
    x = drawn(0.0)

    def log_s(z):
        return -np.logaddexp(0, -z)

    paper = sum(-w * log_s(b * z) - 0.5 * log_s(-b * z) for w, z in ((x.p, x.c), (1 - x.p, x.r)))
    assert_allclose(ours("nca", "conservative", x, b)[0], paper, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("b", BETAS)
def test_soft_exo_is_the_reverse_kl_and_not_the_mixture(b):
    """EXO-rw over two responses, softmax(β·log-ratios) against (p, 1 − p); at p = 0.8, h = 3 the mixture is another."""
    x = drawn()
    z = np.stack([b * x.c, b * x.r])
    q = np.exp(z - z.max(0)) / np.exp(z - z.max(0)).sum(0)
    p = np.clip(np.stack([x.p, 1 - x.p]), 1e-3, 1 - 1e-3)
    paper = (q * (np.log(np.maximum(q, 1e-300)) - np.log(p))).sum(0)
    assert_allclose(ours("exo", "conservative", x, b)[0], paper, rtol=1e-9, atol=1e-9)


def test_rpo_s_backward_kl_is_conservative_dpo_less_the_label_s_entropy():
    """p·log(p/q) + (1−p)·log((1−p)/(1−q)) at p = ¾, q = s(1.5): cDPO 0.57641328 − H(¾) = 0.56233514 → 0.01407814."""
    q, p = 0.81757448, 0.75
    kl = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    cdpo = preference_loss("rpo_bwd_kl", ours("dpo", "hard", ONE, 0.5)[1], torch.tensor([0.75]), beta=0.5).item()
    entropy = -p * math.log(p) - (1 - p) * math.log(1 - p)
    assert cdpo - entropy == pytest.approx(kl, abs=1e-7)


# --- names, arguments


@pytest.mark.parametrize("name", ["odpo", "reward_distillation", "rebel"])
@pytest.mark.parametrize("treatment", ["hard", "conservative", "geometric"])
def test_a_loss_that_reads_p_itself_takes_no_treatment(name, treatment):
    with pytest.raises(OptionError, match="reads the soft label itself: leave label_treatment out"):
        resolve(name, treatment=treatment, beta=0.1)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("robust", {"epsilon": 0.5}),
        ("exo", {"epsilon": 0.0}),
        ("discopop", {"tau": 0.0}),
        ("fdpo_alpha", {"alpha": 1.0}),
        ("alphapo", {"alpha": 0.0}),
        ("dpop", {"penalty": -1.0}),
        ("dpo_rk", {"nu": 1.0}),
        ("dpo_d", {"nu": 0.0}),
        ("odpo", {"clip": 0.5}),
    ],
)
def test_an_argument_out_of_its_range_is_an_error(name, arguments):
    """Each of these would divide by 0, take the log of 0, or turn the loss round."""
    [argument] = arguments
    with pytest.raises(OptionError, match=rf"{argument} of {name} is .*; it must be at least"):
        resolve(name, beta=0.1, **arguments)


@pytest.mark.parametrize("name", ["dpo_rk", "dpo_d"])
def test_a_model_of_ties_asks_for_them(name):
    pair = ours("dpo", "hard", ONE, 0.5)[1]
    with pytest.raises(ValueError, match="needs the probability of a tie"):
        preference_loss(name, pair, beta=0.1)


def test_the_aliases_lead_where_their_papers_say():
    expected = {
        "sigmoid_norm": ("dpo_norm", None),
        "exo_pair": ("exo", None),
        "nca_pair": ("nca", None),
        "bco_pair": ("bco", None),
        "sppo_hard": ("sppo", "hard"),
        "exo_rw": ("exo", "conservative"),
        "rpo_bwd_kl": ("dpo", "conservative"),
        "rpo_fwd_kl": ("exo", "conservative"),
        "vdpo": ("dpo", "conservative"),
    }
    assert {name: ALIASES[name] for name in expected} == expected
