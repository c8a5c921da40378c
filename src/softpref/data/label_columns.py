"""The ways in which a row can carry its label, and how each becomes p for a whole file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from softpref.core.soft_labels import BetaPrior, fit_beta_prior, from_scores, from_votes
from softpref.data.read_options import ReadOptions
from softpref.data.row_reader import RowReader
from softpref.errors import OptionError

VOTES = ("votes_1", "votes_2", "votes_tie")
REWARDS = ("chosen_reward", "rejected_reward")


@dataclass(frozen=True)
class LabelKind:
    """One way in which a row can carry its label: its columns, how one is read, and how a file's become p."""

    columns: tuple[str, ...]
    read: Callable[[RowReader], tuple[float, ...] | None]
    to_labels: Callable[[list[tuple[float, ...]], ReadOptions], tuple[list[float], dict[str, Any]]]
    method: str


def _read_soft_label(row: RowReader) -> tuple[float, ...] | None:
    p = row.number("soft_label", 0, 1, "give P(chosen ≻ rejected) as a probability; divide percentages by 100")
    return None if p is None else (p,)


def _read_votes(row: RowReader) -> tuple[float, ...] | None:
    counts = [_count(row, name) for name in VOTES]
    known = [count for count in counts if count is not None]
    if len(known) < len(counts):
        return None
    if sum(known) == 0:
        row.fault("votes_1", "nobody voted on this pair", "drop the row, or give its votes")
        return None
    return tuple(known)


def _count(row: RowReader, name: str) -> float | None:
    count = row.number(name, 0, 1e9, "give a count of votes, 0 or more; a count that is not known is not 0")
    if count is None or count == int(count):
        return count
    halves = " (half a vote for each side is one vote in votes_tie)" if 2 * count == int(2 * count) else ""
    mend = f"give a count of votes{halves}; a mean belongs in soft_label"
    row.fault(name, f"{count:g} is not a whole number", mend)
    return None


def _read_rewards(row: RowReader) -> tuple[float, ...] | None:
    found = [row.number(name, -1e9, 1e9, "give the reward model's score") for name in REWARDS]
    return None if None in found else tuple(x for x in found if x is not None)


def _given(labels: list[tuple[float, ...]], _: ReadOptions) -> tuple[list[float], dict[str, Any]]:
    return [p for (p,) in labels], {}


def _from_vote_counts(labels: list[tuple[float, ...]], options: ReadOptions) -> tuple[list[float], dict[str, Any]]:
    first, second, tie = zip(*labels, strict=True)
    if options.votes == "mean":
        return from_votes(first, second, tie).tolist(), {"vote_prior": None}
    if options.vote_prior is not None:
        prior = BetaPrior(options.vote_prior, options.vote_prior)
    elif max(map(sum, labels)) < 2:
        raise OptionError(
            "no pair has two votes, so they cannot show how much people disagree: set vote_prior to a number "
            "(1 is Laplace's rule), or votes to 'mean' (--reading.vote_prior 1, --reading.votes mean)"
        )
    else:
        prior, doubt = _fitted(labels)
        return from_votes(first, second, tie, prior).tolist(), {"vote_prior": prior.a, **doubt}
    return from_votes(first, second, tie, prior).tolist(), {"vote_prior": prior.a}


# Below this many pairs with two votes or more, a fitted prior is more chance than people.
FEW_PAIRS = 50
# The sharpest and the flattest prior that a fit may give: beyond, every label is ½, or every unanimous pair is certain.
PRIOR_CAPS = (0.1, 10.0)


def _fitted(labels: list[tuple[float, ...]]) -> tuple[BetaPrior, dict[str, Any]]:
    """The prior that fits these votes, no further than its caps, and what to doubt about it."""
    fitted = fit_beta_prior(*zip(*labels, strict=True))
    a = min(max(fitted.a, PRIOR_CAPS[0]), PRIOR_CAPS[1])
    several = sum(sum(counts) >= 2 for counts in labels)
    doubts = []
    if a != fitted.a:
        seen = "as often as chance would" if fitted.a > a else "hardly ever"
        doubts.append(
            f"people disagree {seen} in these votes, so the fitted prior ran to Beta({fitted.a:.3g}, {fitted.a:.3g}); "
            f"Beta({a:g}, {a:g}) is used"
        )
    if several < FEW_PAIRS:
        doubts.append(f"{several} pairs with two votes or more are too few to fit a prior to (fewer than {FEW_PAIRS})")
    if not doubts:
        return fitted, {}
    return BetaPrior(a, a), {"doubts": [f"{'; '.join(doubts)}: set vote_prior yourself (--reading.vote_prior 1)"]}


def _from_reward_columns(labels: list[tuple[float, ...]], options: ReadOptions) -> tuple[list[float], dict[str, Any]]:
    if options.reward_scale is None:
        raise OptionError(
            "chosen_reward and rejected_reward become p = s(scale · difference): set reward_scale, in 1 / points of the rating "
            "(--reading.reward_scale 0.5, say)"
        )
    first, second = zip(*labels, strict=True)
    return from_scores(first, second, options.reward_scale).tolist(), {"reward_scale": options.reward_scale}


VOTE_KIND = LabelKind(VOTES, _read_votes, _from_vote_counts, "votes")
LABEL_KINDS = (
    LabelKind(("soft_label",), _read_soft_label, _given, "given"),
    VOTE_KIND,
    LabelKind(REWARDS, _read_rewards, _from_reward_columns, "rewards"),
)
