"""The head in pieces: values and gradients of the naive form, in every dtype, and never the whole logits at once."""

from __future__ import annotations

import math
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from softpref.scoring import chunked_head
from softpref.scoring.chunked_head import HeadRule, token_logps

# Pieces are at least this wide.
NARROWEST = 512


@pytest.fixture(params=["kept", "made again"])
def logits_are(request, monkeypatch):
    """Pieces as narrow as can be, and their logits kept for the backward pass or made again in it."""
    monkeypatch.setattr(chunked_head, "PIECE", {"cpu": 1, "other": 1})
    if request.param == "made again":
        monkeypatch.setattr(chunked_head, "KEPT_BYTES", {"cpu": 0, "other": 0})
    return request.param


def naive(hidden, head, targets, rule):
    """The docstring's form, with the rule spelled out."""
    logits = head(hidden) * rule.scale
    logits = logits if rule.cap is None else rule.cap * torch.tanh(logits / rule.cap)
    logits = logits.float() if logits.dtype == torch.bfloat16 else logits
    return torch.log_softmax(logits, -1).gather(1, targets[:, None]).squeeze(1)


def make(positions, width, vocabulary, bias, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(positions, width, generator=generator, dtype=torch.float64)
    head = torch.nn.Linear(width, vocabulary, bias=bias, dtype=torch.float64)
    with torch.no_grad():
        for value in head.parameters():
            value.copy_(torch.randn(value.shape, generator=generator, dtype=torch.float64))
    targets = torch.randint(vocabulary, (positions,), generator=generator)
    return hidden.to(dtype).requires_grad_(), head.to(dtype), targets


def slopes(values, hidden, head):
    """Gradients of a sum in which every position has its own share."""
    shares = torch.linspace(-1, 2, len(values), dtype=values.dtype)
    wanted = [one for one in (hidden, *head.parameters()) if one.requires_grad]
    return torch.autograd.grad((values * shares).sum(), wanted)


vocabularies = st.one_of(st.integers(1, 9), st.sampled_from([NARROWEST - 1, NARROWEST, NARROWEST + 1, 1300]))


@pytest.mark.parametrize("kept", [True, False])
@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 6),
    st.integers(1, 4),
    vocabularies,
    st.booleans(),
    st.sampled_from([1.0, 0.25]),
    st.sampled_from([None, 2.0]),
    st.integers(0, 99),
)
def test_equals_the_naive_form(kept, positions, width, vocabulary, bias, scale, cap, seed):
    hidden, head, targets = make(positions, width, vocabulary, bias, seed)
    rule = HeadRule(scale, cap)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunked_head, "PIECE", {"cpu": 1})
        patch.setattr(chunked_head, "KEPT_BYTES", {"cpu": 1 << 30 if kept else 0})
        ours = token_logps(hidden, head, targets, rule)
        found = slopes(ours, hidden, head)
    expected = naive(hidden, head, targets, rule)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(found, slopes(expected, hidden, head), rtol=1e-10, atol=1e-12)


def test_two_words_by_hand():
    """Products (0, ln 3) have log-probs ln ¼ and ln ¾; doubled, (0, ln 9): ln 1/10; capped at 1, (0, tanh ln 3 = 0.8)."""
    head = torch.nn.Linear(1, 2, bias=False, dtype=torch.float64)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[0.0], [math.log(3)]]))
    hidden, targets = torch.ones(2, 1, dtype=torch.float64), torch.tensor([0, 1])
    assert token_logps(hidden, head, targets).exp().tolist() == pytest.approx([1 / 4, 3 / 4])
    assert token_logps(hidden, head, targets, HeadRule(2.0)).exp().tolist() == pytest.approx([1 / 10, 9 / 10])
    capped = token_logps(hidden, head, targets, HeadRule(1.0, 1.0))
    assert capped[1].item() == pytest.approx(-math.log(1 + math.exp(-0.8)))


@pytest.fixture
def products(monkeypatch):
    """Widths of the pieces of logits, and how many older ones are still held when one is made."""
    product, held, made = chunked_head._product, [], []

    def noted(*arguments):
        found = product(*arguments)
        made.append((found.shape[1], sum(one() is not None for one in held)))
        held.append(weakref.ref(found))
        return found

    monkeypatch.setattr(chunked_head, "_product", noted)
    return made


def test_the_whole_logits_never_exist_at_once(logits_are, products):
    """1,300 words in pieces of 512, 512 and 276: kept, or made again with no more than the one before still there."""
    hidden, head, targets = make(3, 4, 1300, bias=False)
    slopes(token_logps(hidden, head, targets), hidden, head)
    if logits_are == "kept":
        assert products == [(512, 0), (512, 1), (276, 2)]
    else:
        assert [width for width, _ in products] == [512, 512, 276] * 2
        assert max(others for _, others in products) == 1


def test_capped_logits_are_made_again(products, monkeypatch):
    """The gradient of a cap needs the logits, of which only exponentials would have been kept."""
    monkeypatch.setattr(chunked_head, "PIECE", {"cpu": 1})
    hidden, head, targets = make(3, 4, 1300, bias=False)
    slopes(token_logps(hidden, head, targets, HeadRule(cap=2.0)), hidden, head)
    assert [width for width, _ in products] == [512, 512, 276] * 2


def test_words_that_cannot_be(logits_are):
    """A vocabulary whose first piece is ruled out altogether (-inf): the log-probs and gradients of the rest alone."""
    hidden, head, targets = make(5, 4, 1300, bias=True)
    with torch.no_grad():
        head.bias[:NARROWEST] = -math.inf
    targets = targets.clamp_min(NARROWEST)
    found, expected = token_logps(hidden, head, targets), naive(hidden, head, targets, HeadRule())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(slopes(found, hidden, head), slopes(expected, hidden, head), rtol=1e-10, atol=1e-12)


def test_without_gradients_nothing_is_kept(products, monkeypatch):
    """Evaluation and the reference: the weights would have gradients, but nobody asks for them."""
    monkeypatch.setattr(chunked_head, "PIECE", {"cpu": 1})
    hidden, head, targets = make(3, 4, 2000, bias=False)
    with torch.no_grad():
        token_logps(hidden, head, targets)
    assert products == [(512, 0), (512, 1), (512, 1), (464, 1)]


@pytest.mark.parametrize("trained", ["hidden", "head"])
def test_what_is_not_trained_gets_no_gradient(logits_are, trained):
    """With an adapter the head is frozen; a head may also be all that is trained."""
    hidden, head, targets = make(3, 4, 700, bias=True)
    hidden.requires_grad_(trained == "hidden")
    head.requires_grad_(trained == "head")
    found = slopes(token_logps(hidden, head, targets), hidden, head)
    torch.testing.assert_close(found, slopes(naive(hidden, head, targets, HeadRule()), hidden, head))
    assert len(found) == (1 if trained == "hidden" else 2)


def test_half_precision_is_the_naive_form_s(logits_are):
    """Log-probs in fp32 from products in bf16. Gradients carry the digits of bf16: 2⁻⁸ of the largest."""
    hidden, head, targets = make(5, 64, 1300, bias=True, dtype=torch.bfloat16)
    rule = HeadRule(0.5, 8.0)
    ours, expected = token_logps(hidden, head, targets, rule), naive_in_fp32(hidden, head, targets, rule)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-4)
    for found, right in zip(slopes(ours, hidden, head), slopes(expected, hidden, head), strict=True):
        assert found.dtype == torch.bfloat16
        torch.testing.assert_close(found, right, rtol=0, atol=float(right.abs().max()) / 64)


def naive_in_fp32(hidden, head, targets, rule):
    """Rounded to bf16 as the product is, and nowhere else."""
    logits = head(hidden).float() * rule.scale
    return torch.log_softmax(rule.cap * torch.tanh(logits / rule.cap), -1).gather(1, targets[:, None]).squeeze(1)


def test_gradients_of_pieces_are_added_in_fp32(logits_are):
    """1,024 pieces give 1/1024 each to a slope of −1; added in bf16 they would be lost from ¼ on.

    Hidden states of 0 make every word as likely as the next, 2⁻¹⁹; all weigh 1 but the target, which weighs 0.
    """
    head = torch.nn.Linear(1, 1024 * NARROWEST, bias=False, dtype=torch.bfloat16).requires_grad_(False)
    head.weight.fill_(1)[0] = 0
    hidden = torch.zeros(1, 1, dtype=torch.bfloat16, requires_grad=True)
    value = token_logps(hidden, head, torch.tensor([0]))
    assert value.item() == pytest.approx(-math.log(2**19), rel=1e-6)
    value.sum().backward()
    assert hidden.grad.item() == pytest.approx(-1, abs=1 / 128)


def test_under_autocast_the_product_is_taken_in_its_dtype(logits_are):
    """As ``nn.Linear`` there: log-probs of the product in bf16, gradients for weights in fp32."""
    hidden, head, targets = make(4, 32, 700, bias=True, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        ours = token_logps(hidden, head, targets)
        expected = naive(hidden, head, targets, HeadRule())
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-4)
    exact = token_logps(hidden, head, targets)
    assert (ours - exact).abs().max() > 1e-3
    for found, right in zip(slopes(ours, hidden, head), slopes(exact, hidden, head), strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, right, rtol=0, atol=float(right.abs().max()) / 32)
