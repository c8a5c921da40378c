"""The one-dimensional bandit of arXiv 2409.06691 (§3.3, Figure 1 right): what each loss makes of the same preferences.

A hundred actions with a linear reward, drawn from a mixture of two Gaussians whose modes lie at a poor action and a good
one. Two draws are compared by Bradley–Terry on their rewards. A reward r_ψ is trained on such comparisons, and the policy
is ``π(y) ∝ π_data(y) · exp(r_ψ(y))``.

The paper gives neither reward range, widths, weights, parameters of r_ψ, labels, optimiser nor steps. ``BanditSettings``
holds our reading; ``bandit_effect`` shows what becomes of the paper's effect elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax, xlogy

from softpref.core.arrays import Floats
from softpref.core.treatments import resolve
from softpref.data.files import write_json
from softpref.errors import OptionError, nearest
from softpref.research.bandit.gradient_factors import METHODS
from softpref.research.bandit.gradient_flow import Comparisons, orient, times_between, train

ACTIONS, POOR, GOOD = 100, 20, 70
LABELS = ("thresholded", "sampled")
FIRST_TIME = 0.1
RESULT_FILE = "bandit.json"
# Where the paper's effect is there: conservative at the poor mode, hard and geometric in the good region.
POOR_MODE, GOOD_MODE = 35, 65


@dataclass(frozen=True)
class World:
    """What actions are drawn from, and what they are worth."""

    reward_range: float
    low_weight: float
    width: float

    @property
    def data_policy(self) -> Floats:
        """π_data, (A,): two discretised Gaussians of one width."""
        actions = np.arange(ACTIONS)
        poor, good = (np.exp(-0.5 * ((actions - mode) / self.width) ** 2) for mode in (POOR, GOOD))
        mixture: Floats = self.low_weight * poor / poor.sum() + (1 - self.low_weight) * good / good.sum()
        return mixture

    @property
    def reward(self) -> Floats:
        """Linear, (A,): 0 for the first action, ``reward_range`` for the last."""
        return np.linspace(0, self.reward_range, ACTIONS)


@dataclass(frozen=True)
class BanditSettings:
    """Our reading of the paper's bandit.

    ``low_weight`` is the share of draws around the poor mode, ``width`` the standard deviation of either peak in actions.
    ``labels`` is what hard methods see: the better action (``thresholded``), or one Bradley–Terry verdict per draw
    (``sampled``); the other methods see p itself. ``training_time`` is the learning rate times the steps of full-batch
    gradient descent on one free number per action.
    """

    reward_range: float = 1.0
    low_weight: float = 0.7
    width: float = 8.0
    labels: str = "thresholded"
    training_time: float = 1e4
    draws: int = 500_000
    seed: int = 0
    methods: tuple[str, ...] = ("dpo", "cdpo", "gdpo")

    def __post_init__(self) -> None:
        if self.labels not in LABELS:
            raise OptionError(f"labels is {self.labels!r}{nearest(self.labels, LABELS)}")
        for name in self.methods:
            if name not in METHODS:
                raise OptionError(f"methods holds {name!r}{nearest(name, METHODS)}")
        for name, low, high in (
            ("reward_range", 0, 100),
            ("low_weight", 0, 1),
            ("width", 0, 50),
            ("draws", 1, 1e12),
            ("seed", -1, 2**63),
            ("training_time", FIRST_TIME, 1e9),
        ):
            if not low < getattr(self, name) < high:
                raise OptionError(f"{name} is {getattr(self, name)}; it must lie above {low:g} and below {high:g}")

    @property
    def world(self) -> World:
        """The actions of these settings."""
        return World(self.reward_range, self.low_weight, self.width)


def policy_of(data_policy: Floats, log_ratio: Floats) -> Floats:
    """``π ∝ π_data · exp(f)`` along the last axis; an action that is never drawn stays so."""
    with np.errstate(divide="ignore"):
        pi: Floats = softmax(np.log(data_policy) + log_ratio, axis=-1)
    return pi


def divergence(policy: Floats, data_policy: Floats) -> Floats:
    """KL(π ‖ π_data) in nats along the last axis."""
    kl: Floats = (xlogy(policy, policy) - xlogy(policy, data_policy)).sum(axis=-1)
    return kl


def draw_counts(world: World, draws: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], ...]:
    """How often each pair of different actions came up, as (better, worse, count), each (4950,).

    Half a million rows hold at most this many different pairs, and a loss that depends on the pair alone is the same sum
    over counts: nothing is lost. A pair of one action with itself has margin 0 whatever is learnt.
    """
    policy = world.data_policy
    counts = rng.multinomial(draws, np.outer(policy, policy).ravel()).reshape(ACTIONS, ACTIONS)
    worse, better = np.triu_indices(ACTIONS, 1)
    return better, worse, (counts + counts.T)[better, worse]


def comparisons_for(method: str, settings: BanditSettings) -> Comparisons:
    """What one method learns from, as a single world. The draws are the same for every method."""
    rng = np.random.default_rng(settings.seed)
    better, worse, count = draw_counts(settings.world, settings.draws, rng)
    reward = settings.world.reward
    p = expit(reward[better] - reward[worse])
    if settings.labels == "sampled" and resolve(method, beta=1.0).treatment == "hard":
        won = rng.binomial(count, p)
        first, second = np.concatenate([better, worse]), np.concatenate([worse, better])
        count, p = np.concatenate([won, count - won]), np.ones(2 * len(p))
    else:
        first, second = better, worse
    return orient(first[None], second[None], p[None], count[None].astype(np.float64))


def learn(settings: BanditSettings, at: Sequence[float]) -> dict[str, Floats]:
    """The policies of each method at the training times ``at``, (len(at), A); ``settings.training_time`` is not read."""
    times = np.union1d(times_between(FIRST_TIME, max(at)), at)
    reached = np.searchsorted(times, at)
    return {
        name: policy_of(
            settings.world.data_policy,
            train(comparisons_for(name, settings), resolve(name, beta=1.0), times, ACTIONS)[0, reached],
        )
        for name in settings.methods
    }


def figures(policy: Floats, world: World) -> dict[str, float]:
    """Mode, expected reward (in units of the reward), the same as a share of the range, mass at 65 and above, and KL."""
    return {
        "mode": int(policy.argmax()),
        "expected_reward": float(policy @ world.reward),
        "share_of_range": float(policy @ world.reward / world.reward_range),
        "mass_in_good_region": float(policy[GOOD_MODE:].sum()),
        "kl": float(divergence(policy, world.data_policy)),
    }


def effect_holds(modes: Mapping[str, float]) -> bool:
    """Whether cDPO stays at the poor mode while DPO and GDPO leave it, which is the paper's claim."""
    return modes["cdpo"] <= POOR_MODE and min(modes["dpo"], modes["gdpo"]) >= GOOD_MODE


def run_bandit(settings: BanditSettings, output: str | Path) -> tuple[dict[str, Any], dict[str, Floats]]:
    """Train every method, write ``bandit.json``, and return what it holds and the policies."""
    policies = {name: policies[0] for name, policies in learn(settings, [settings.training_time]).items()}
    world = settings.world
    found = {
        "methods": {name: figures(policy, world) for name, policy in policies.items()},
        "data": figures(world.data_policy, world),
        # exact labels at β = 1: what cDPO converges to, and the best policy there is at this distance from the data
        "kl_regularised_optimum": figures(policy_of(world.data_policy, world.reward), world),
        "settings": asdict(settings),
    }
    write_json(Path(output) / RESULT_FILE, found)
    return found, policies
