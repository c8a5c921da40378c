"""Two ways to score pairs give the same log-probs, loss and gradients."""

from __future__ import annotations

import torch

from softpref.core import preference_loss
from softpref.scoring.scores import PairScores
from softpref.scoring.shared_prefix import PackedScorer
from tiny_models import CONTEXT, alone

SCORERS = {
    "shared": PackedScorer(),
    "each prompt twice": PackedScorer(share_prompt=False),
    "the model's own head": PackedScorer(chunked_head=False),
}
LOSSES = ({"loss_type": "gdpo", "beta": 0.3}, {"loss_type": "cipo", "beta": 0.3, "reduction": "mean"})

# Norms over the root mean square are taken in fp32 whatever the weights are, and so is Gemma 2's softmax of attention.
IN_FP32 = 2e-6

# an empty prompt, one-token answers, both, no rejected side, and responses that fill the context
CORNERS = [(0, 4, 3), (5, 1, 1), (0, 1, 5), (3, 4, 0), (6, CONTEXT - 6, 2), (CONTEXT - 9, 9, 9), (1, 1, 2)]


def update(model, scores, **loss):
    """The loss of some pairs against a fixed reference, and the gradient of every parameter that is trained."""
    count = len(scores.chosen)
    label = torch.linspace(0.55, 0.95, count, dtype=torch.float64)
    reference = PairScores(-label, label - 2, scores.chosen_length, scores.rejected_length)
    value = preference_loss(soft_label=label, pair=scores.against(reference), **loss).mean()
    named = {name: value for name, value in model.named_parameters() if value.requires_grad}
    slopes = torch.autograd.grad(value, list(named.values()), retain_graph=True, allow_unused=True)
    # an expert that no token chose has no gradient on one path and zeros on the other
    filled = [torch.zeros_like(p) if slope is None else slope for p, slope in zip(named.values(), slopes, strict=True)]
    return value.detach(), dict(zip(named, filled, strict=True))


def assert_equal(ours, plain, digits):
    for name in ("chosen", "rejected", "chosen_length", "rejected_length"):
        torch.testing.assert_close(getattr(ours, name), getattr(plain, name), rtol=digits, atol=digits, msg=name)


def assert_same_update(model, pairs, digits=IN_FP32, loss=LOSSES[0], scorers=SCORERS):
    plain = alone(model, pairs)
    expected, slopes = update(model, plain, **loss)
    for name, scorer in scorers.items():
        ours = scorer(model, pairs)
        assert_equal(ours, plain, digits)
        value, found = update(model, ours, **loss)
        torch.testing.assert_close(value, expected, rtol=digits, atol=digits, msg=name)
        for parameter, right in slopes.items():
            torch.testing.assert_close(found[parameter], right, rtol=0, atol=digits, msg=f"{name}: {parameter}")
    return slopes
