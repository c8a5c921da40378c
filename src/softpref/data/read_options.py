"""What a user may decide about how a file of pairs is read."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal, get_args

from softpref.errors import OptionError, nearest

# What a column of the file can be mapped to.
ROLES = (
    "prompt", "chosen", "rejected", "response_1", "response_2", "responses", "completion", "system", "history",
    "soft_label", "votes_1", "votes_2", "votes_tie", "chosen_reward", "rejected_reward", "winner", "strength", "annotator",
    "annotations", "ratings", "ranking", "best", "worst", "weight", "id", "label_source", "tools", "chat_template_kwargs",
)  # fmt: skip
Identical = Literal["error", "drop"]
Votes = Literal["prior", "mean", "dawid_skene"]
BothBad = Literal["tie", "drop"]
Ranking = Literal["ranks", "order"]
RankedPairs = Literal["all", "adjacent", "best"]
RankedWeights = Literal["pair", "prompt"]
_KNOWN = {
    "identical": get_args(Identical),
    "votes": get_args(Votes),
    "both_bad": get_args(BothBad),
    "ranking": get_args(Ranking),
    "ranked_pairs": get_args(RankedPairs),
    "ranked_weights": get_args(RankedWeights),
}


@dataclass(frozen=True)
class ReadOptions:
    """How a file of pairs becomes labelled, oriented pairs.

    Attributes:
        identical: pairs whose two sides are the same text are refused (``error``) or dropped and counted (``drop``).
        votes: vote counts become p through a Beta prior fitted to the file (``prior``), as their raw ``mean``, or, where it is
            known who voted, through a model of how reliable everybody is (``dawid_skene``).
        vote_prior: the a of a Beta(a, a) to use in place of the fitted one.
        reward_scale: p = s(scale · (chosen_reward − rejected_reward)), in 1 / units of the reward; also for ratings.
        columns: the file's own names of columns, by ours: {chosen: answer_a, rejected: answer_b, winner: preferred}.
        meta_columns: columns that are only notes, whatever they look like; kept under meta.
        winner_first: the value of the winner column that says that the first side is better; known words if not given.
        winner_second: the value that says that the second side is better.
        winner_tie: the value that says that they are equal.
        winner_both_bad: the value that says that both are bad.
        both_bad: such a verdict counts as a ``tie``, or its row is dropped and counted (``drop``).
        strength_scale: the strength column's values where the first and the second side are much better, as -3..3 or 7..1;
            p is linear between them.
        strength_map: p of the first side for each value of the strength column, in place of a scale; beside a winner column, p
            of the winner.
        ranking: a ranking lists each response's rank (``ranks``, 1 is best), or the responses' places from the best (``order``).
        ranked_pairs: of several responses, ``all`` pairs, ``adjacent`` ones in rank, or the ``best`` against each other one.
        ranked_weights: each of such pairs counts as a ``pair``, or all pairs of a row together count once (``prompt``).
        split: of a name on the Hub, a folder that datasets saved, or a folder of files with splits in their names.
        subset: of a name on the Hub, its configuration.
        revision: of a name on the Hub, its branch, tag or commit.
    """

    identical: Identical = "error"
    votes: Votes = "prior"
    vote_prior: float | None = None
    reward_scale: float | None = None
    columns: dict[str, str] = field(default_factory=dict)
    meta_columns: list[str] = field(default_factory=list)
    winner_first: str | None = None
    winner_second: str | None = None
    winner_tie: str | None = None
    winner_both_bad: str | None = None
    both_bad: BothBad = "tie"
    strength_scale: str | None = None
    strength_map: dict[str, float] = field(default_factory=dict)
    ranking: Ranking | None = None
    ranked_pairs: RankedPairs = "all"
    ranked_weights: RankedWeights = "pair"
    split: str | None = None
    subset: str | None = None
    revision: str | None = None

    def __post_init__(self) -> None:
        for name, known in _KNOWN.items():
            value = getattr(self, name)
            if value is not None and value not in known:
                raise OptionError(f"{name} is {value!r}{nearest(str(value), known)}")
        for name in ("vote_prior", "reward_scale"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise OptionError(f"{name} is {value}; it must be a finite number above 0")
        if self.vote_prior is not None and self.votes != "prior":
            raise OptionError(f"vote_prior has no effect with votes={self.votes!r}: leave one of the two out")
        self._check_columns()
        self._check_winner()
        for value, p in self.strength_map.items():
            if not 0 <= p <= 1:
                raise OptionError(f"strength_map gives {value!r} p = {p}; give a probability in [0, 1]")
        if self.strength_scale is not None:
            if self.strength_map:
                raise OptionError("strength_scale and strength_map are two maps of one column: leave one of the two out")
            self.strength_ends()

    def noting(self, *paths: str | None) -> NotingOptions:
        """These options where somebody else reads columns too (``gold``, ``meta.gold``): nothing about them was overlooked."""
        noted = frozenset(path.partition(".")[0] for path in paths if path is not None)
        return NotingOptions(**vars(self), noted=noted - set(ROLES) - {"meta"})

    def before_labelling(self) -> NotingOptions:
        """These options where the labels are still to come, so that no other column can be a label that was overlooked."""
        return NotingOptions(**vars(self), asks=False)

    @property
    def notes(self) -> frozenset[str]:
        """Columns that are kept as they are."""
        return frozenset(self.meta_columns)

    @property
    def asking(self) -> bool:
        """Whether values that look like a verdict are asked about in a file without labels."""
        return True

    def _check_columns(self) -> None:
        for role in self.columns:
            if role not in ROLES:
                raise OptionError(f"columns has {role!r}{nearest(str(role), ROLES)}")
        _refuse_repeats("columns", self.columns.values())
        both = sorted(set(self.columns.values()) & set(self.meta_columns))
        if both:
            raise OptionError(f"{both[0]!r} stands in columns and in meta_columns: leave it out of one")

    def _check_winner(self) -> None:
        if (self.winner_first is None) != (self.winner_second is None):
            raise OptionError("winner_first and winner_second name the two sides: give both")
        if self.winner_first is None and (self.winner_tie is not None or self.winner_both_bad is not None):
            raise OptionError("winner_tie and winner_both_bad have no effect without winner_first and winner_second")
        given = [self.winner_first, self.winner_second, self.winner_tie, self.winner_both_bad]
        _refuse_repeats("the winner's values", [value for value in given if value is not None])

    def strength_ends(self) -> tuple[float, float] | None:
        """The two ends of ``strength_scale``. Raises OptionError where it is no scale."""
        if self.strength_scale is None:
            return None
        first, dots, second = self.strength_scale.partition("..")
        try:
            ends = float(first), float(second)
        except ValueError:
            ends = (0.0, 0.0)
        if not dots or ends[0] == ends[1] or not all(map(math.isfinite, ends)):
            raise OptionError(
                f"strength_scale is {self.strength_scale!r}; give FIRST..SECOND, the values where the first and where the second "
                "side is much better: -3..3 or 7..1"
            )
        return ends


def dropping_identical() -> ReadOptions:
    """How commands read that only look at labels: a pair with two identical sides is dropped and counted."""
    return ReadOptions(identical="drop")


@dataclass(frozen=True)
class NotingOptions(ReadOptions):
    """Options of reading, and columns that are read by somebody else."""

    noted: frozenset[str] = frozenset()
    asks: bool = True

    @property
    def asking(self) -> bool:
        """Whether values that look like a verdict are asked about in a file without labels."""
        return self.asks

    @property
    def notes(self) -> frozenset[str]:
        """Columns that are kept as they are."""
        return frozenset(self.meta_columns) | self.noted


def _refuse_repeats(what: str, values: Collection[str]) -> None:
    for value in values:
        if list(values).count(value) > 1:
            raise OptionError(f"{what}: {value!r} stands there twice")
