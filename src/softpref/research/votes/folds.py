"""Five people's opinions of two arguments (UKPConvArg1, Habernal and Gurevych 2016), and divisions of them.

*Held-out arguments*: a test pair has two arguments that training never saw, in debates that it did see. *Held-out debates*:
each of the 11 debates is left out in turn, both of its sides together. In either, part of the training debates' arguments is
held back to fit one temperature per run. Pairs with one argument on either side of a split are in no part of it.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from softpref.core.arrays import Floats
from softpref.data.formats import read_pairs
from softpref.data.pairs import PreferencePair, text_of
from softpref.data.read_options import ReadOptions
from softpref.data.written import as_written
from softpref.errors import InputError
from softpref.research.votes.settings import RealSettings

DATA_FILE, DATA_VARIABLE = "ukpconvarg1.jsonl", "SOFTPREF_DATA"
BESIDE_THE_CHECKOUT = Path("../shared/data")
SEEN = "held-out arguments"


def find_data(folder: str | None = None) -> Path:
    """The votes' file: in ``folder``, else in $SOFTPREF_DATA, else beside the checkout. Raises InputError without it."""
    named = folder or os.environ.get(DATA_VARIABLE)
    file = (Path(named) if named else BESIDE_THE_CHECKOUT) / DATA_FILE
    if not file.is_file():
        raise InputError(
            f"{file}: no such file; set {DATA_VARIABLE} (or --data) to the folder that holds {DATA_FILE}, or fetch it "
            f"where there is a network: python scripts/fetch_ukp.py FOLDER"
        )
    return file


def read_votes(file: Path) -> list[PreferencePair]:
    """Pairs in the file's own order of sides, ``soft_label`` the raw share of votes. Identical sides are dropped.

    The prompt gets a line break at its end: arguments follow it without white space, and tokens must not merge.
    """
    pairs = [as_written(pair) for pair in read_pairs(file, ReadOptions(identical="drop"))]
    for pair in pairs:
        if len(pair.meta.get("votes", ())) != 3 or "group" not in pair.meta:
            raise InputError(f"{file}: row {pair.row} has no meta.votes (three counts) or no meta.group; fetch it again")
    return [replace(pair, prompt=f"{text_of(pair.prompt)}\n") for pair in pairs]


def side_of(pair: PreferencePair) -> str:
    """The side of a debate that a pair belongs to: its prompt."""
    return str(pair.meta["group"])


def debate_of(pair: PreferencePair) -> str:
    """The debate that a pair belongs to: both of its sides."""
    return side_of(pair).partition("_")[0]


def arguments_of(pair: PreferencePair) -> tuple[tuple[str, str], tuple[str, str]]:
    """Both arguments, each as (side, text). Not by id: five texts stand in the file under two, and texts are what leaks."""
    return (side_of(pair), text_of(pair.chosen)), (side_of(pair), text_of(pair.rejected))


@dataclass(frozen=True)
class Fold:
    """One division of the pairs. No argument of one part stands in another."""

    name: str
    train: tuple[PreferencePair, ...]
    validation: tuple[PreferencePair, ...]
    test: tuple[PreferencePair, ...]


def split_by_argument(
    pairs: Sequence[PreferencePair], shares: Mapping[str, float], rng: np.random.Generator
) -> dict[str, tuple[PreferencePair, ...]]:
    """Pairs whose two arguments are both in one part, by part; ``"train"`` takes what the shares leave.

    Inside each side of a debate the arguments are shuffled and dealt out. A pair with arguments of two parts is in none.
    """
    part_of: dict[tuple[str, str], str] = {}
    by_side: dict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        for side, text in arguments_of(pair):
            by_side[side].add(text)
    for side, texts in sorted(by_side.items()):
        order = [str(text) for text in rng.permutation(sorted(texts))]
        for part, share in shares.items():
            taken, order = order[: round(share * len(texts))], order[round(share * len(texts)) :]
            part_of.update({(side, text): part for text in taken})
    found: dict[str, list[PreferencePair]] = {part: [] for part in (*shares, "train")}
    for pair in pairs:
        parts = {part_of.get(argument, "train") for argument in arguments_of(pair)}
        if len(parts) == 1:
            found[parts.pop()].append(pair)
    return {part: tuple(chosen) for part, chosen in found.items()}


def make_folds(pairs: Sequence[PreferencePair], settings: RealSettings) -> list[Fold]:
    """Held-out arguments first, then the debates that are left out, by name."""
    shares = {"test": settings.test_share, "validation": settings.validation_share}
    folds = [Fold(SEEN, **split_by_argument(pairs, shares, np.random.default_rng([settings.seed, 0])))]
    debates = sorted({debate_of(pair) for pair in pairs})
    for number, debate in enumerate(debates[: settings.debates], start=1):
        others = [pair for pair in pairs if debate_of(pair) != debate]
        rng = np.random.default_rng([settings.seed, number])
        parts = split_by_argument(others, {"validation": settings.validation_share}, rng)
        folds.append(Fold(debate, **parts, test=tuple(pair for pair in pairs if debate_of(pair) == debate)))
    return folds


def vote_row(pair: PreferencePair) -> dict[str, Any]:
    """A pair as the row that training reads: its votes, and no label beside them."""
    first, equal, second = pair.meta["votes"]
    return {
        "prompt": pair.prompt,
        "response_1": pair.chosen,
        "response_2": pair.rejected,
        "votes_1": first,
        "votes_tie": equal,
        "votes_2": second,
        "meta": {"group": side_of(pair)},
    }


def labelled_row(pair: PreferencePair) -> dict[str, Any]:
    """A pair as the row that a test reads: its raw share of votes."""
    return {
        "prompt": pair.prompt,
        "response_1": pair.chosen,
        "response_2": pair.rejected,
        "soft_label": pair.soft_label,
        "meta": {"group": side_of(pair)},
    }


def vote_shares(pairs: Sequence[PreferencePair]) -> Floats:
    """Raw shares of votes for the first argument, (N,)."""
    return np.array([pair.soft_label for pair in pairs], dtype=np.float64)


def word_difference(pairs: Sequence[PreferencePair]) -> Floats:
    """Words of the first argument less words of the second, (N,)."""
    lengths = [(len(text_of(pair.chosen).split()), len(text_of(pair.rejected).split())) for pair in pairs]
    return np.array([first - second for first, second in lengths], dtype=np.float64)
