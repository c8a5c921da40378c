"""The implicit reward as a classifier of preferences: margins of a model against its reference, and figures from them.

A margin says which response a policy prefers more than its reference does; its sign as a guess of people's preference is
the "preference classification" of arXiv 2409.06691. It needs no generation and no judge, only pairs whose label is known.
Score pairs as they were *written*, not as reading oriented them (``as_written``): after orientation the first side is
always the better one, so there is one class only, and neither an AUC nor a calibration error means anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from softpref.core.arrays import Floats
from softpref.core.calibration import brier, expected_calibration_error, log_score
from softpref.core.statistics import Estimate, auc, tie_aware_accuracy
from softpref.data.pairs import PreferencePair
from softpref.data.tokenization import TokenOptions, tokenize_pairs
from softpref.loading.models import load_policy, load_tokenizer
from softpref.loading.vocabulary import check_vocabulary, embedding_rows

if TYPE_CHECKING:
    from torch import Tensor

# Takes a statistic and its (N,) rows; what is drawn (prompts, debates, arguments) is bound already.
Bootstrap: TypeAlias = Callable[..., Estimate]


# --- margins --------------------------------------------------------------------------------------------------------------


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
