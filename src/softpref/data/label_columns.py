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
    counts = []
    for name in VOTES:
        if name == "votes_tie" and not row.has(name):
            counts.append(0.0)
            continue
        count = row.number(name, 0, 1e9, "give a count of votes, 0 or more")
        if count is not None and count != int(count):
            row.fault(name, f"{count:g} is not a whole number", "give a count of votes; a mean belongs in soft_label")
            count = None
        if count is None:
            return None
        counts.append(count)
    if sum(counts) == 0:
        row.fault("votes_1", "nobody voted on this pair", "drop the row, or give its votes")
        return None
    return tuple(counts)


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
            "(1 is Laplace's rule), or votes to 'mean'"
        )
    else:
        prior = fit_beta_prior(first, second, tie)
    return from_votes(first, second, tie, prior).tolist(), {"vote_prior": prior.a}


def _from_reward_columns(labels: list[tuple[float, ...]], options: ReadOptions) -> tuple[list[float], dict[str, Any]]:
    if options.reward_scale is None:
        raise OptionError("chosen_reward and rejected_reward become p = s(scale · difference): set reward_scale")
    first, second = zip(*labels, strict=True)
    return from_scores(first, second, options.reward_scale).tolist(), {"reward_scale": options.reward_scale}


LABEL_KINDS = (
    LabelKind(("soft_label",), _read_soft_label, _given, "given"),
    LabelKind(VOTES, _read_votes, _from_vote_counts, "votes"),
    LabelKind(REWARDS, _read_rewards, _from_reward_columns, "rewards"),
)
