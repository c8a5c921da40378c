"""The win rate that a model would have if its responses were as long as the other side's.

After the length-controlled AlpacaEval of Dubois et al. (2024, arXiv 2404.04475). There the log-odds of a win are
``θ + φ·tanh(d / s) + ψ·γ``, with the difference of lengths d, its standard deviation s over the prompts, and a difficulty γ of
the instruction that all models of a leaderboard share; the win rate is that at d = 0. Here ``log-odds = θ + φ·d / s``, and the
win rate at equal length is ``s(θ)``. What differs:

- no γ: two sides are compared, and there is no leaderboard to learn it from;
- d itself, not its tanh. Where one side is nearly always longer, which is common here, the tanh is flat over most pairs and
  the value at 0 hangs on the few shortest of them;
- they regularise by cross-validation; here φ alone has a wide Gaussian prior, of standard deviation ``PRIOR_SD`` on the
  log-odds per s, which is felt only where the longer side wins every time.

Taking length out takes out whatever goes with it. Where a longer answer *is* the better one, that is too much.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize
from scipy.special import expit

from softpref.core.arrays import Floats
from softpref.core.statistics import Estimate

# Takes a statistic and its (N,) rows; what is drawn is bound already.
Bootstrap = Callable[..., Estimate]

PRIOR_SD = 10.0


def length_controlled_win_rate(difference: ArrayLike, p: ArrayLike, bootstrap: Bootstrap) -> Estimate:
    """Win rate at equal length, with its interval.

    Args:
        difference: (N,) length of response 1 less that of response 2, in any unit.
        p: (N,) in [0, 1], how far response 1 wins; a soft outcome counts as p of a win and 1 − p of a loss.
        bootstrap: such as ``cluster_bootstrap`` with the clusters bound.

    Where every difference is 0 there is nothing to control for, and it is the plain win rate.
    """
    d, outcome = np.asarray(difference, dtype=np.float64), np.asarray(p, dtype=np.float64)
    start = fit_lengths(d, outcome)
    return bootstrap(lambda d, p: float(expit(fit_lengths(d, p, start)[0])), d, outcome)


def fit_lengths(difference: Floats, p: Floats, start: ArrayLike = (0.0, 0.0)) -> Floats:
    """θ and φ of ``log-odds = θ + φ·d / s``, (2,), by maximum likelihood, with the prior on φ."""
    x = difference / (difference.std() or 1.0)

    def loss(at: Floats) -> tuple[float, Floats]:
        z = at[0] + at[1] * x
        residual = expit(z) - p
        value = np.sum(np.logaddexp(0, z) - p * z) + (at[1] / PRIOR_SD) ** 2 / 2
        gradient = np.array([residual.sum(), residual @ x + at[1] / PRIOR_SD**2])
        return float(value) / len(x), gradient / len(x)

    found: Floats = minimize(loss, np.asarray(start), jac=True, method="BFGS").x
    return found
