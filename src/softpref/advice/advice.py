"""Which treatment the bandit's map favours for labels like these, and how sure that is. Arithmetic on a shipped table.

What a file shows (how sure its labels are, how many votes stand behind them, whether they were calibrated) chooses cells
of the map; what it cannot show (flips, bias, data in the good region) is left open, and counts as doubt.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from softpref.advice.evidence import NEGLIGIBLE, READOUTS, TREATMENTS
from softpref.data.pairs import PairSet, PreferencePair
from softpref.errors import OptionError, nearest

TRAINING = {"short": "100", "medium": "1000", "long": "10000"}
# Cells whose labels look as sure as the file's to within this much of |2p − 1|.
CONFIDENCE_WINDOW = 0.12
FEW_PAIRS = 200
# The share of situations in which advice must be right, or negligibly wrong, to be called clear.
MOSTLY = 0.8


@dataclass(frozen=True)
class Labels:
    """What a file shows of its labels. ``votes`` is the median number behind a p, None where p is no count of votes.

    ``raw`` says that p is the votes' raw mean. ``calibrated`` is the share of pairs whose label records a calibration.
    ``methods`` counts where labels came from. ``hard`` says that every label is 0 or 1, or a tie.
    """

    pairs: int
    ties: int
    confidence: float
    hard: bool
    votes: float | None
    votes_vary: bool
    raw: bool
    calibrated: float
    methods: Mapping[str, int]


def describe(pairs: PairSet) -> Labels:
    """The description of a labelled set. ``pairs`` must be labelled, and hold at least one pair."""
    p = [pair.soft_label for pair in pairs if pair.soft_label is not None]
    votes = [n for pair in pairs if (n := votes_behind(pair))]
    priors = [pair.label_source.get("vote_prior", pairs.reading.vote_prior) for pair in pairs]
    methods = [str(pair.label_source.get("method", "given")) for pair in pairs]
    return Labels(
        pairs=len(p),
        ties=sum(one == 0.5 for one in p),
        confidence=statistics.fmean(abs(2 * one - 1) for one in p),
        hard=all(one in (0, 0.5, 1) for one in p),
        # a file that is mostly votes is a file of votes
        votes=statistics.median(votes) if 2 * len(votes) > len(p) else None,
        votes_vary=len({*votes}) > 1,
        raw=all(prior is None for prior in priors),
        calibrated=statistics.fmean(pair.label_source.get("calibration") is not None for pair in pairs),
        methods={name: methods.count(name) for name in dict.fromkeys(methods)},
    )


def votes_behind(pair: PreferencePair) -> float:
    """How many votes a label is made of; 0 where it is not made of votes."""
    counts = pair.label_source.get("votes")
    if not isinstance(counts, list) or not all(isinstance(n, int | float) for n in counts):
        return 0
    return float(sum(counts))


@dataclass(frozen=True)
class Asked:
    """What the user knows beyond the file; None leaves it open.

    Attributes:
        sharpness: by how much the judge is too sure of itself: the temperature that ``softpref calibrate`` fitted.
        flips: share of labels that are simply wrong.
        training: short, medium or long.
        decoding: greedy, sampled, or within_1_nat: samples at a KL of 1 nat from the reference.
    """

    sharpness: float | None = None
    flips: float | None = None
    training: str | None = None
    decoding: str | None = None

    def __post_init__(self) -> None:
        for name, known in (("training", TRAINING), ("decoding", READOUTS)):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise OptionError(f"{name} is {value!r}{nearest(value, known)}")
        if self.sharpness is not None and not (math.isfinite(self.sharpness) and self.sharpness > 0):
            raise OptionError(f"sharpness is {self.sharpness}; it must be a finite number above 0")
        if self.flips is not None and not 0 <= self.flips < 0.5:
            raise OptionError(f"flips is {self.flips}; it must lie in [0, 0.5)")


@dataclass(frozen=True)
class Standing:
    """A treatment over the situations that fit. Rewards are shares of the reward range.

    ``near_best``: share of situations in which it is the best or within 0.01 of it. ``regret``: how far it lies behind the
    best on average, and ``worst`` in one situation of ten. ``beta``: its best beta over that of hard, the median and the
    middle half.
    """

    near_best: float
    regret: float
    worst: float
    beta: tuple[float, float, float]


@dataclass(frozen=True)
class Advice:
    """``standings`` best first; empty where the file lies outside the map.

    ``settled`` is whether the first is clear: it is near the best in four situations of five. ``beside`` are treatments
    that are not told apart from it: less than 0.01 behind on average. ``situations`` is what it all rests on.
    ``doubts`` are sentences.
    """

    standings: Mapping[str, Standing]
    settled: bool
    beside: tuple[str, ...]
    situations: int
    doubts: tuple[str, ...]


def advise(labels: Labels, asked: Asked, evidence: Mapping[str, Any]) -> Advice:
    """What the table says about labels like these."""
    cells = [dict(zip([*evidence["axes"], "figures"], cell, strict=True)) for cell in evidence["cells"]]
    sharpness = 1.0 if asked.sharpness is None and labels.calibrated == 1 else asked.sharpness
    fitting = _with_votes(cells, labels)
    fitting = _nearest(fitting, "sharpness", sharpness, ratio=True)
    fitting = _nearest(fitting, "flips", asked.flips)
    outside = _outside(fitting, labels)
    near = [] if outside else [cell for cell in fitting if _as_sure(cell, labels)]
    figures = [numbers for cell in near for numbers in _asked_figures(cell, asked, evidence)]
    doubts = tuple(_doubts(labels, asked, fitting, outside, evidence))
    if not figures:
        return Advice({}, settled=False, beside=(), situations=0, doubts=doubts)
    standings = _standings(np.array(figures, dtype=np.float64), evidence["betas"])
    best, *others = standings
    beside = tuple(name for name in others if standings[name].regret - standings[best].regret < NEGLIGIBLE)
    settled = not beside and standings[best].near_best >= MOSTLY
    return Advice(standings, settled, beside, len(figures), doubts)


def _with_votes(cells: Sequence[dict[str, Any]], labels: Labels) -> list[dict[str, Any]]:
    """The cells whose labels are made as the file's are; the nearest number of votes, by ratio."""
    if labels.hard and labels.votes is None:
        # labels of 0 and 1 are single verdicts, wherever they come from
        return _nearest(cells, "votes", 1, ratio=True)
    if labels.votes is None:
        return [cell for cell in cells if cell["votes"] is None]
    made_alike = [cell for cell in cells if cell["votes"] is not None and (cell["raw"] == labels.raw or labels.votes < 2)]
    return _nearest(made_alike, "votes", labels.votes, ratio=True)


def _nearest(cells: Sequence[dict[str, Any]], axis: str, value: float | None, ratio: bool = False) -> list[dict[str, Any]]:
    """The cells at the level of an axis that is nearest to the value; all of them where it is not known."""
    cells = [*cells] if value is None else [cell for cell in cells if cell[axis] is not None]
    if value is None or not cells:
        return cells
    scale = math.log if ratio else float
    level = min({cell[axis] for cell in cells}, key=lambda one: abs(scale(one) - scale(value)))
    return [cell for cell in cells if cell[axis] == level]


def _outside(cells: Sequence[dict[str, Any]], labels: Labels) -> str | None:
    """Why the map has nothing to say, or None."""
    if not cells:
        return "no cell of the map has labels made like these"
    low, high = (extreme(cell["confidence"] for cell in cells) for extreme in (min, max))
    if not low - CONFIDENCE_WINDOW / 2 <= labels.confidence <= high + CONFIDENCE_WINDOW / 2:
        return f"mean |2p − 1| is {labels.confidence:.2f}, and in the map it goes from {low:.2f} to {high:.2f}"
    if not any(_as_sure(cell, labels) for cell in cells):
        return f"it has no labels with mean |2p − 1| near {labels.confidence:.2f}"
    return None


def _as_sure(cell: Mapping[str, Any], labels: Labels) -> bool:
    return bool(abs(cell["confidence"] - labels.confidence) <= CONFIDENCE_WINDOW)


def _asked_figures(cell: Mapping[str, Any], asked: Asked, evidence: Mapping[str, Any]) -> list[list[float]]:
    training = None if asked.training is None else TRAINING[asked.training]
    return [
        numbers
        for (budget, readout), numbers in zip(evidence["figures"], cell["figures"], strict=True)
        if training in (None, budget) and asked.decoding in (None, readout)
    ]


def _standings(figures: np.ndarray[Any, Any], betas: Sequence[float]) -> dict[str, Standing]:
    """From (S, 7) numbers as ``evidence`` describes them; the least regret first."""
    rewards = np.stack([figures[:, 0], figures[:, 2], np.zeros(len(figures))]) / 1000
    regrets = dict(zip(TREATMENTS, rewards.max(axis=0) - rewards, strict=True))
    places = dict(zip(TREATMENTS, figures[:, 4:].astype(int).T, strict=True))
    hard = np.take(betas, places["hard"])
    found = {}
    for name in sorted(TREATMENTS, key=lambda name: float(regrets[name].mean())):
        low, middle, high = np.quantile(np.take(betas, places[name]) / hard, [0.25, 0.5, 0.75])
        found[name] = Standing(
            near_best=float(np.mean(regrets[name] < NEGLIGIBLE)),
            regret=float(regrets[name].mean()),
            worst=float(np.quantile(regrets[name], 0.9)),
            beta=(float(low), float(middle), float(high)),
        )
    return found


def _doubts(
    labels: Labels,
    asked: Asked,
    cells: Sequence[Mapping[str, Any]],
    outside: str | None,
    evidence: Mapping[str, Any],
) -> list[str]:
    found = [] if outside is None else [f"outside the map: {outside}"]
    if labels.pairs < FEW_PAIRS:
        found.append(f"{labels.pairs} pairs are few: the map was made with {evidence['pairs']}")
    if labels.ties > labels.pairs / 2:
        found.append(
            f"{labels.ties} of {labels.pairs} pairs are ties, more than the map has: they teach hard and geometric nothing"
        )
    if labels.votes is not None and labels.votes_vary:
        found.append(f"pairs have different numbers of votes; {labels.votes:g} is their median")
    if len(labels.methods) > 1:
        found.append("labels come from several sources, and the map knows one source at a time")
    if 0 < labels.calibrated < 1:
        found.append("some labels are calibrated and some are not")
    if labels.votes is None and not labels.hard and asked.sharpness is None and labels.calibrated < 1:
        found.append("nothing says whether the labels are calibrated: a judge too sure or too unsure counts as possible")
    levels = {float(cell["votes"]) for cell in cells if cell["votes"] is not None}
    if labels.votes is not None and levels and labels.votes not in levels:
        found.append(f"the map has no {labels.votes:g} votes; {levels.pop():g} is nearest")
    return found
