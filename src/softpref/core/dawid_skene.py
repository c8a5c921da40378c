"""How reliable annotators are, and what each pair's verdict is likely to be, from who said what (Dawid and Skene 1979).

"Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm", Applied Statistics 28(1). Every pair has one true
verdict, first, tie or second; an annotator names it through a table of errors of their own. Two changes for pairs with few votes
each: the model does not know which side is the first, so that exchanging sides exchanges the answer; and each annotator's table
leans on the mean table of all by ``LEANING`` votes, without which three votes a pair give certainty that is not there.

crowd-kit has this model too; it needs pandas, nltk and transformers, and has neither of the two changes nor intervals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softpref.core.arrays import Floats

FIRST, TIE, SECOND = 0, 1, 2
VERDICTS = 3
# Votes by which an annotator's table leans on the mean of all.
LEANING = 4.0
STEPS, CLOSE = 1000, 1e-8
DRAWS = 400


@dataclass(frozen=True)
class DawidSkene:
    """What the votes say of N pairs and W annotators.

    Attributes:
        posterior: (N, 3), the probability that the pair's verdict is first, tie or second.
        tables: (W, 3, 3), P(the annotator says s | the verdict is t) at [w, t, s].
        prior: (3,), how frequent the verdicts are.
        counts: (W, 3, 3), expected numbers of votes behind ``tables``, those they lean on among them.
        votes: (V, 3) whole numbers, the pair, the annotator and the verdict of each vote.
    """

    posterior: Floats
    tables: Floats
    prior: Floats
    counts: Floats
    votes: NDArray[np.int64]

    @property
    def soft_labels(self) -> Floats:
        """(N,), P(first) + P(tie) / 2."""
        p: Floats = self.posterior[:, FIRST] + self.posterior[:, TIE] / 2
        return p

    @property
    def reliability(self) -> Floats:
        """(W,), the probability that the annotator names the true verdict."""
        right: Floats = np.einsum("t,wtt->w", self.prior, self.tables)
        return right


def dawid_skene(pairs: ArrayLike, annotators: ArrayLike, verdicts: ArrayLike) -> DawidSkene:
    """Fit by EM, from the shares of votes on.

    Args:
        pairs: (V,), the pair of each vote, from 0 without gaps.
        annotators: (V,), who cast it, from 0 without gaps.
        verdicts: (V,), FIRST, TIE or SECOND.

    Raises ValueError without a vote, for another verdict, and where a number is left out.
    """
    votes = np.stack([np.asarray(x, dtype=np.int64) for x in (pairs, annotators, verdicts)], axis=1)
    _check(votes)
    posterior = _shares(votes)
    for _ in range(STEPS):
        prior, counts = _prior(posterior), _counts(posterior, votes)
        tables = counts / counts.sum(axis=2, keepdims=True)
        before, posterior = posterior, _posterior(prior, tables, votes)
        if np.abs(posterior - before).max() < CLOSE:
            break
    return DawidSkene(posterior, tables, prior, counts, votes)


def _check(votes: NDArray[np.int64]) -> None:
    if len(votes) == 0:
        raise ValueError("there is no vote")
    if votes[:, 2].min() < 0 or votes[:, 2].max() >= VERDICTS:
        raise ValueError("a verdict is none of first, tie and second")
    for column, name in ((0, "pair"), (1, "annotator")):
        if len(np.unique(votes[:, column])) != votes[:, column].max() + 1 or votes[:, column].min() < 0:
            raise ValueError(f"every {name} from 0 on needs a vote")


def _shares(votes: NDArray[np.int64]) -> Floats:
    shares = np.zeros((votes[:, 0].max() + 1, VERDICTS))
    np.add.at(shares, (votes[:, 0], votes[:, 2]), 1.0)
    found: Floats = shares / shares.sum(axis=1, keepdims=True)
    return found


def _prior(posterior: Floats) -> Floats:
    """Frequencies of the verdicts, the first side as often as the second."""
    mean = posterior.mean(axis=0)
    found: Floats = (mean + mean[::-1]) / 2
    return found


def _counts(posterior: Floats, votes: NDArray[np.int64]) -> Floats:
    """(W, 3, 3): expected votes by true verdict and verdict said, alike for both sides, and those each annotator leans on."""
    counts = np.zeros((votes[:, 1].max() + 1, VERDICTS, VERDICTS))
    np.add.at(counts.transpose(0, 2, 1), (votes[:, 1], votes[:, 2]), posterior[votes[:, 0]])
    counts = (counts + counts[:, ::-1, ::-1]) / 2
    pooled = counts.sum(axis=0) + np.finfo(np.float64).tiny
    found: Floats = counts + LEANING * pooled / pooled.sum(axis=1, keepdims=True)
    return found


def _posterior(prior: Floats, tables: Floats, votes: NDArray[np.int64]) -> Floats:
    """(N, 3), Bayes' rule."""
    with np.errstate(divide="ignore"):
        log_tables, log_prior = np.log(tables), np.log(prior)
    total = np.tile(log_prior, (votes[:, 0].max() + 1, 1))
    np.add.at(total, votes[:, 0], log_tables[votes[:, 1], :, votes[:, 2]])
    total -= total.max(axis=1, keepdims=True)
    likely = np.exp(total)
    found: Floats = likely / likely.sum(axis=1, keepdims=True)
    return found


# --- how sure, and what to ask next


def intervals(fit: DawidSkene, rng: np.random.Generator, level: float = 0.95) -> tuple[Floats, Floats]:
    """Intervals of the soft labels (N, 2), and of the annotators' reliabilities (W, 2).

    The tables are drawn from Dirichlet distributions with the votes behind them; the labels follow. What stays fixed is how
    frequent the verdicts are.
    """
    tables = rng.standard_gamma(np.maximum(fit.counts, 1e-12), size=(DRAWS, *fit.counts.shape))
    tables = (tables + tables[..., ::-1, ::-1]) / 2
    tables /= tables.sum(axis=-1, keepdims=True)
    labels = np.empty((DRAWS, len(fit.posterior)))
    for draw in range(DRAWS):
        posterior = _posterior(fit.prior, tables[draw], fit.votes)
        labels[draw] = posterior[:, FIRST] + posterior[:, TIE] / 2
    right = np.einsum("t,dwtt->dw", fit.prior, tables)
    ends = [(1 - level) / 2, (1 + level) / 2]
    return np.quantile(labels, ends, axis=0).T, np.quantile(right, ends, axis=0).T


def worth_asking(fit: DawidSkene) -> Floats:
    """(N,), in nats: how much one more vote, of an annotator like the mean of all, is expected to say of the pair's verdict.

    The mutual information of the verdict and the vote.
    """
    pooled = fit.counts.sum(axis=0)
    table = pooled / pooled.sum(axis=1, keepdims=True)
    said = fit.posterior @ table
    information: Floats = _entropy(said) - fit.posterior @ _entropy(table)
    return np.maximum(information, 0.0)


def _entropy(probabilities: Floats) -> Floats:
    logs = np.log(probabilities, out=np.zeros_like(probabilities), where=probabilities > 0)
    found: Floats = -(probabilities * logs).sum(axis=-1)
    return found
