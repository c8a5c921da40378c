"""The implicit reward as a classifier of preferences: margins of a model against its reference, and figures from them.

A margin says which response a policy prefers more than its reference does; its sign as a guess of people's preference is
the "preference classification" of arXiv 2409.06691. It needs no generation and no judge, only pairs whose label is known.
Score pairs as they were *written*, not as reading oriented them (``as_written``): after orientation the first side is
always the better one, so there is one class only, and neither an AUC nor a calibration error means anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from softpref.core.calibration import brier, expected_calibration_error, log_score
from softpref.core.statistics import Estimate, auc, tie_aware_accuracy
from softpref.data.pairs import PreferencePair, swap_sides
from softpref.data.tokenization import TokenOptions, tokenize_pairs
from softpref.loading.models import load_policy, load_tokenizer
from softpref.loading.vocabulary import check_vocabulary, embedding_rows

if TYPE_CHECKING:
    from torch import Tensor

Floats: TypeAlias = NDArray[np.float64]
# Takes a statistic and its (N,) rows; what is drawn (prompts, debates, arguments) is bound already.
Bootstrap: TypeAlias = Callable[..., Estimate]


# --- margins --------------------------------------------------------------------------------------------------------------


def as_written(pairs: Sequence[PreferencePair]) -> list[PreferencePair]:
    """The pairs with the sides in the file's order again: what reading exchanged is exchanged back, p with it."""
    return [swap_sides(pair) if pair.swapped else pair for pair in pairs]


@dataclass(frozen=True)
class SideScores:
    """Both sides of N pairs under one model: log-probs in nats and lengths in tokens, (N, 2) each, chosen first."""

    logps: Floats
    lengths: Floats


def side_scores(model: str, pairs: Sequence[PreferencePair]) -> SideScores:
    """log π(chosen | prompt) and log π(rejected | prompt) of N pairs under the model, or adapter, in a folder.

    Nothing is cut or dropped: row i belongs to pair i. Raises DataError where a prompt is no token prefix of its row.
    """
    from softpref.scoring.score_all import score_all

    tokenizer = load_tokenizer(model)
    tokens = tokenize_pairs(pairs, tokenizer, TokenOptions(max_length=None, identical="keep"), name="pairs to score")
    policy = load_policy(model)
    check_vocabulary(tokenizer, embedding_rows(policy), model, (ids for pair in tokens for ids in pair.sequences))
    scores = score_all(policy, tokens)
    return SideScores(_columns(scores.chosen, scores.rejected), _columns(scores.chosen_length, scores.rejected_length))


def _columns(*sides: Tensor) -> Floats:
    return np.stack([side.double().cpu().numpy() for side in sides], axis=1)


def side_logps(model: str, pairs: Sequence[PreferencePair]) -> Floats:
    """The log-probs of ``side_scores`` alone, (N, 2) in nats."""
    return side_scores(model, pairs).logps


def margins(policy: Floats, reference: Floats) -> Floats:
    """h, (N,) in nats without beta, from what ``side_logps`` gave for the policy and for its reference."""
    ratios = policy - reference
    h: Floats = ratios[:, 0] - ratios[:, 1]
    return h


def implicit_margins(model: str, reference: str, pairs: Sequence[PreferencePair]) -> Floats:
    """h of N pairs, (N,): ``log π/π_ref (chosen) − log π/π_ref (rejected)``, in nats, without beta.

    To score one reference against many policies, call ``side_logps`` on it once and ``margins`` on each.
    """
    return margins(side_logps(model, pairs), side_logps(reference, pairs))


# --- figures --------------------------------------------------------------------------------------------------------------


def majority_auc(score: ArrayLike, soft_label: ArrayLike) -> float:
    """AUC of a score (N,) for "most prefer the first", ties of the score counted half; pairs with p = ½ are left out."""
    score, p = np.asarray(score, dtype=np.float64), np.asarray(soft_label, dtype=np.float64)
    decided = p != 0.5
    return auc(score[decided], p[decided] > 0.5)


def ranking_figures(score: ArrayLike, soft_label: ArrayLike, bootstrap: Bootstrap) -> dict[str, Estimate]:
    """``auc`` and tie-aware ``accuracy`` against the majority. Any monotone odd score (N,) will do; no scale is needed."""
    statistics = {"auc": majority_auc, "accuracy": tie_aware_accuracy}
    return {name: bootstrap(statistic, score, soft_label) for name, statistic in statistics.items()}


def calibration_figures(log_odds: ArrayLike, soft_label: ArrayLike, bootstrap: Bootstrap) -> dict[str, Estimate]:
    """``brier``, ``log_score`` (nats) and ``ece`` of ``s(log_odds)`` against the soft label, both (N,).

    Log-odds are β·h as trained ("raw"), or that divided by a temperature that was fitted on *other* pairs. Raw values do
    not compare across losses: nothing in IPO or a geometric loss asks ``s(β·h)`` to be a probability. The interval of an
    ECE leans upwards, and may miss its value: a resample's bins are noisier than the sample's, and an ECE counts noise.
    """
    statistics: dict[str, Callable[..., float]] = {
        "brier": lambda z, p: brier(expit(z), p),
        "log_score": log_score,
        "ece": lambda z, p: expected_calibration_error(expit(z), p),
    }
    return {name: bootstrap(statistic, log_odds, soft_label) for name, statistic in statistics.items()}


# --- intervals for pairs of two drawn things ------------------------------------------------------------------------------


def node_bootstrap(
    statistic: Callable[..., float],
    *rows: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    strata: ArrayLike | None = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Percentile bootstrap for pairs that share members: *members* are drawn with replacement, not pairs.

    Every argument of a debate stands in many pairs, so pairs are not independent; and all pairs of a debate hang together
    through shared arguments, so whole connected components would leave a handful of clusters. Hence the members are
    resampled, and a pair counts ``m₁·m₂`` times where its two members were drawn m₁ and m₂ times (Snijders and Borgatti
    1999, "vertex bootstrap"; Owen 2007, "pigeonhole bootstrap"). A pair's own noise then counts up to three times,
    so the interval errs to the wide side.

    Args:
        rows: arrays (N, …) handed to ``statistic`` for the drawn pairs, repeated as often as they were drawn.
        first, second: (N,) the two members of each pair.
        strata: (N,) members are drawn inside these (the side of a debate), which stay as they are; None is one stratum.

    A draw on which the statistic is not defined is left out. ``clusters`` of the result counts members.
    Raises ValueError when there is no row.
    """
    arrays = [np.asarray(row) for row in rows]
    members, codes = np.unique(np.concatenate([np.asarray(first), np.asarray(second)]), return_inverse=True)
    n = len(codes) // 2
    if n == 0:
        raise ValueError("no rows to estimate from")
    groups, rng = _strata_of_members(codes, strata), np.random.default_rng(seed)
    draws = [_draw(statistic, arrays, codes, groups, rng) for _ in range(resamples)]
    defined = [draw for draw in draws if not np.isnan(draw)]
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]) if defined else (np.nan, np.nan)
    return Estimate(float(statistic(*arrays)), float(low), float(high), n, len(members))


def _draw(
    statistic: Callable[..., float],
    arrays: Sequence[NDArray[Any]],
    codes: NDArray[np.intp],
    groups: Sequence[NDArray[np.intp]],
    rng: np.random.Generator,
) -> float:
    """The statistic on one draw of members; nan where no pair has both of its members drawn."""
    n = len(codes) // 2
    times = np.zeros(codes.max() + 1, dtype=np.int64)
    for group in groups:
        times[group] = rng.multinomial(len(group), np.full(len(group), 1 / len(group)))
    chosen = np.repeat(np.arange(n), times[codes[:n]] * times[codes[n:]])
    return float(statistic(*(a[chosen] for a in arrays))) if len(chosen) else float("nan")


def _strata_of_members(codes: NDArray[np.intp], strata: ArrayLike | None) -> list[NDArray[np.intp]]:
    """Member codes of each stratum. A member that stands in pairs of two strata is a mistake of the caller."""
    if strata is None:
        return [np.unique(codes)]
    of_pair = np.unique(np.asarray(strata), return_inverse=True)[1]
    groups = [np.unique(codes[np.tile(of_pair == s, 2)]) for s in range(of_pair.max() + 1)]
    if sum(map(len, groups)) != len(np.unique(codes)):
        raise ValueError("a member stands in pairs of two strata: name members so that each belongs to one")
    return groups
