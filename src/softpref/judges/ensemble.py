"""Several judges together: one label from all that answered, each judge's share kept; and how far they agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softpref.core.agreement import cohen_kappa, krippendorff_alpha, value_counts
from softpref.core.soft_labels import from_answer_logprobs
from softpref.errors import InputError, OptionError, nearest
from softpref.judges.both_orders import Judgement

AVERAGES = ("probability", "log_odds")
# On the log-odds scale a judge that is certain would outvote any number of others: none counts as surer than this.
SUREST = 1e-6


@dataclass(frozen=True)
class Share:
    """What one judge said of a comparison: ``p`` = P(response 1 preferred), None where it failed, and its weight in the whole."""

    p: float | None
    weight: float
    failures: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Combined:
    """One comparison judged by several: the joint judgement, and each judge's share by name."""

    judgement: Judgement
    shares: Mapping[str, Share]


def combine(by_judge: Mapping[str, Sequence[Judgement]], average: str, min_judges: int | None = None) -> list[Combined]:
    """Joint judgements of comparisons that several judges have judged, in their order.

    ``probability``: p is the mean of the judges' p. ``log_odds``: ``p = s(mean of logit p)``, so that a sure judge moves it
    more. ``first_shown`` and ``second_shown`` are averaged in the same way, for the joint position bias. A judge that failed
    on a comparison is left out there; with fewer than ``min_judges`` others (default: all must answer) the joint judgement
    has failed too.

    Args:
        by_judge: judge name → its judgements, each judge's over the same comparisons in the same order.

    Raises:
        OptionError: an unknown average, or a ``min_judges`` that is not between 1 and their number.
        InputError: the judges did not judge the same comparisons.
    """
    needed = len(by_judge) if min_judges is None else min_judges
    if average not in AVERAGES:
        raise OptionError(f"average is {average!r}{nearest(average, AVERAGES)}")
    if not 1 <= needed <= len(by_judge):
        raise OptionError(f"min_judges is {needed}; it must lie between 1 and the number of judges, {len(by_judge)}")
    _same_comparisons(by_judge)
    rows = zip(*by_judge.values(), strict=True)
    return [_combined(dict(zip(by_judge, row, strict=True)), average, needed) for row in rows]


def _combined(said: Mapping[str, Judgement], average: str, needed: int) -> Combined:
    answered = [judgement for judgement in said.values() if judgement.p is not None]
    enough = len(answered) >= needed
    weight = 1 / len(answered) if enough else 0.0
    shares = {
        name: Share(one.p, 0.0 if one.p is None else weight, one.failures if one.p is None else ()) for name, one in said.items()
    }
    identifier = next(iter(said.values())).id
    if not enough:
        failures = tuple(f"{name}: {failure}" for name, share in shares.items() for failure in share.failures)
        return Combined(Judgement(identifier, None, None, None, failures), shares)
    masses = [one.mass for one in answered if one.mass is not None]
    p, first_shown, second_shown = (
        _mean([getattr(one, name) for one in answered], average) for name in ("p", "first_shown", "second_shown")
    )
    return Combined(Judgement(identifier, p, first_shown, second_shown, mass=min(masses, default=None)), shares)


def _mean(probabilities: Sequence[float | None], average: str) -> float | None:
    """None where a judge has none: asked in one order only, it has no ``second_shown``."""
    p = np.array(probabilities, dtype=np.float64)  # None becomes nan
    if np.isnan(p).any():
        return None
    if average == "probability":
        return float(p.mean())
    sure = np.clip(p, SUREST, 1 - SUREST)
    return float(from_answer_logprobs(np.log(sure).mean(), np.log1p(-sure).mean()))


@dataclass(frozen=True)
class PairAgreement:
    """Two judges on the ``comparisons`` that both answered. ``kappa`` is None where chance would agree on everything."""

    comparisons: int
    accuracy: float
    kappa: float | None


@dataclass(frozen=True)
class Agreement:
    """How far judges agree on the verdict: response 1, a tie, or response 2.

    ``pairs``: by two judges' names, for those with a comparison in common. ``alpha``: Krippendorff's, over all judges, with
    failed judgements as missing values; None where no two judges answered the same comparison or all verdicts are one.
    """

    pairs: Mapping[tuple[str, str], PairAgreement]
    alpha: float | None


def agreement(by_judge: Mapping[str, Sequence[Judgement]]) -> Agreement:
    """Accuracy (the share of equal verdicts), Cohen's kappa and Krippendorff's nominal alpha.

    People's votes or gold labels are another judge here. kappa and alpha compare with chance, which depends on how often
    response 1 wins: on files that put the preferred response first they are near 0 whatever the judges are worth.

    Raises InputError when the judges did not judge the same comparisons.
    """
    _same_comparisons(by_judge)
    verdicts = {name: _verdicts(judgements) for name, judgements in by_judge.items()}
    pairs = {}
    for one, other in combinations(verdicts, 2):
        both = ~np.isnan(verdicts[one]) & ~np.isnan(verdicts[other])
        if both.any():
            pairs[one, other] = _pair_agreement(verdicts[one][both], verdicts[other][both])
    return Agreement(pairs, krippendorff_alpha(value_counts(np.array(list(verdicts.values())))))


def _verdicts(judgements: Sequence[Judgement]) -> NDArray[np.float64]:
    """(N,): 1 for response 1, 0 for a tie, −1 for response 2, nan for a failure."""
    return np.sign(np.array([judgement.p for judgement in judgements], dtype=np.float64) - 0.5)


def _pair_agreement(one: NDArray[np.float64], other: NDArray[np.float64]) -> PairAgreement:
    return PairAgreement(len(one), float((one == other).mean()), cohen_kappa(one, other))


def _same_comparisons(by_judge: Mapping[str, Sequence[Judgement]]) -> None:
    if len(by_judge) < 1:
        raise InputError("no judge was given")
    (first, expected), *others = ((name, [one.id for one in judged]) for name, judged in by_judge.items())
    for name, ids in others:
        if ids != expected:
            raise InputError(f"judges {first!r} and {name!r} did not judge the same comparisons in the same order")
