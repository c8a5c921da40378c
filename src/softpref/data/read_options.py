"""What a user may decide about how a file of pairs is read."""

from __future__ import annotations

import math
from dataclasses import dataclass

from softpref.errors import OptionError, nearest


@dataclass(frozen=True)
class ReadOptions:
    """How a file of pairs becomes labelled, oriented pairs.

    Attributes:
        identical: pairs whose two sides are the same text are refused (``error``) or dropped and counted (``drop``).
        votes: vote counts become p through a Beta prior fitted to the file (``prior``), or as their raw ``mean``.
        vote_prior: the a of a Beta(a, a) to use in place of the fitted one.
        reward_scale: p = s(scale · (chosen_reward − rejected_reward)), in 1 / units of the reward.
    """

    identical: str = "error"
    votes: str = "prior"
    vote_prior: float | None = None
    reward_scale: float | None = None

    def __post_init__(self) -> None:
        for name, known in (("identical", ("error", "drop")), ("votes", ("prior", "mean"))):
            value = getattr(self, name)
            if value not in known:
                raise OptionError(f"{name} is {value!r}{nearest(str(value), known)}")
        for name in ("vote_prior", "reward_scale"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise OptionError(f"{name} is {value}; it must be a finite number above 0")
        if self.vote_prior is not None and self.votes == "mean":
            raise OptionError("vote_prior has no effect with votes='mean': leave one of the two out")
