"""Votes, scores and answer log-probs become p = P(response 1 preferred | prompt). NumPy in, NumPy out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from softpref.core.arrays import Floats

# A Beta(a, a) beyond these is unanimity (left) or a coin that is always fair (right) to within any number of votes.
PRIOR_RANGE = (1e-3, 1e3)


@dataclass(frozen=True)
class BetaPrior:
    """Beta(a, b) over the true preference. Symmetric unless given otherwise: which response stands first is arbitrary."""

    a: float
    b: float

    def __post_init__(self) -> None:
        if not (self.a > 0 and self.b > 0):
            raise ValueError(f"a Beta prior needs a > 0 and b > 0, not {self.a} and {self.b}")


def _votes(votes_1: ArrayLike, votes_2: ArrayLike, votes_tie: ArrayLike) -> tuple[Floats, Floats]:
    first, second, tie = (np.asarray(v, dtype=np.float64) for v in (votes_1, votes_2, votes_tie))
    if any(np.any(~np.isfinite(v) | (v < 0)) for v in (first, second, tie)):
        raise ValueError("vote counts must be finite and not negative")
    total = first + second + tie
    if np.any(total <= 0):
        raise ValueError("every pair needs at least one vote")
    return first + tie / 2, total


def from_votes(votes_1: ArrayLike, votes_2: ArrayLike, votes_tie: ArrayLike = 0, prior: BetaPrior | None = None) -> Floats:
    """p from vote counts, a tie counted as half a vote for each side: ``(v1 + t/2 + a) / (n + a + b)``.

    Even votes give exactly ½ under a symmetric prior and without one: a tie is counted by that.

    Without a prior this is the raw mean of the votes (arXiv 2409.06691, §2), which exaggerates when votes are few: at a
    true p of ½ the mean of five votes has E|2p̂ − 1| = 0.375. ``fit_beta_prior`` learns from a whole file how far.

    Raises ValueError for a negative count or a pair without any vote.
    """
    wins, total = _votes(votes_1, votes_2, votes_tie)
    if prior is None:
        return wins / total
    # a + b first: under a symmetric prior even votes are then n + a over exactly twice that, and ½ to the last bit
    return (wins + prior.a) / (total + (prior.a + prior.b))


def fit_beta_prior(votes_1: ArrayLike, votes_2: ArrayLike, votes_tie: ArrayLike = 0) -> BetaPrior:
    """The symmetric Beta(a, a) under which these votes are likeliest (empirical Bayes, beta-binomial marginal).

    With k = v1 + t/2 of n votes, log-likelihood ``Σ log B(k + a, n − k + a) − log B(a, a)``, maximised over
    a ∈ [1e-3, 1e3]. Half votes are taken as they are. Symmetry makes the label swap with the sides.

    Raises ValueError when no pair has two votes: single votes cannot tell disagreement from unanimity.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import betaln

    wins, total = _votes(votes_1, votes_2, votes_tie)
    if np.all(total < 2):
        raise ValueError("no pair has two votes, so they cannot show how much people disagree: give a prior or use raw means")

    def negative_log_likelihood(log_a: float) -> float:
        a = np.exp(log_a)
        return -float(np.sum(betaln(wins + a, total - wins + a) - betaln(a, a)))

    found = minimize_scalar(negative_log_likelihood, bounds=tuple(np.log(PRIOR_RANGE)), method="bounded")
    a = float(np.exp(found.x))
    return BetaPrior(a, a)


def from_scores(score_1: ArrayLike, score_2: ArrayLike, scale: float = 1.0) -> Floats:
    """Bradley–Terry: ``s(scale · (r1 − r2))`` (arXiv 2409.06691, §2). ``scale`` is in 1 / units of the score."""
    if not scale > 0:
        raise ValueError(f"scale is {scale}; it must be above 0")
    difference = np.asarray(score_1, dtype=np.float64) - np.asarray(score_2, dtype=np.float64)
    if np.any(np.isnan(difference)):
        raise ValueError("a score is nan, or both are infinite: there is no difference to make a label of")
    return _expit(scale * difference)


def from_answer_logprobs(first: ArrayLike, second: ArrayLike) -> Floats:
    """Probability that the judge answers "the first", from the log-probs s1, s2 of its two answers, in one order.

    ``exp(s1) / (exp(s1) + exp(s2))`` (arXiv 2409.06691, §2), computed as ``s(s1 − s2)``. One of the two may be −inf,
    not both: that would be a judge that gave neither answer, which is a failed judgement and not a label.
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if np.any((first == -np.inf) & (second == -np.inf)) or np.any(np.isnan(first) | np.isnan(second)):
        raise ValueError("an answer needs a log-prob for at least one of the two: a judgement without one has failed")
    return _expit(first - second)


def average_orders(first_shown: ArrayLike, second_shown: ArrayLike) -> Floats:
    """p for response 1 from both presentation orders, each as the probability that the judge prefers *the one shown first*.

    ``first_shown``: response 1 was shown first. ``second_shown``: it was shown second, so that answer is turned round.
    ``(p_12 + 1 − p_21) / 2``: any bias to a position that adds the same to both cancels.
    """
    # not (p_12 + 1 − p_21) / 2, which rounds: two identical responses must come out at exactly ½
    return 0.5 + (_probability(first_shown) - _probability(second_shown)) / 2


def soft_averaging(soft_label: ArrayLike, noise: float) -> Floats:
    """Label noise as its expectation: ``(1 − e)·p + e·(1 − p)`` (arXiv 2409.06691, §2)."""
    p = _probability(soft_label)
    return (1 - _rate(noise)) * p + noise * (1 - p)


def soft_flip(soft_label: ArrayLike, noise: float, rng: np.random.Generator) -> Floats:
    """Each label becomes 1 − p with probability ``noise``."""
    p = _probability(soft_label)
    return np.where(rng.random(p.shape) < _rate(noise), 1 - p, p)


def binary_flip(soft_label: ArrayLike, noise: float, rng: np.random.Generator) -> Floats:
    """Each label is thresholded at ½ and then turned round with probability ``noise``. A tie stays ½."""
    p = _probability(soft_label)
    return soft_flip((np.sign(p - 0.5) + 1) / 2, noise, rng)


def _expit(log_odds: Floats) -> Floats:
    # scipy takes half a second to import; reading a file of labels, or a help text, need not wait for it
    from scipy.special import expit

    p: Floats = expit(log_odds)
    return p


def _probability(value: ArrayLike) -> Floats:
    p = np.asarray(value, dtype=np.float64)
    if not np.all((p >= 0) & (p <= 1)):
        raise ValueError("a probability must lie in [0, 1]")
    return p


def _rate(noise: float) -> float:
    if not 0 <= noise <= 1:
        raise ValueError(f"the noise rate is {noise}; it must lie in [0, 1]")
    return noise
