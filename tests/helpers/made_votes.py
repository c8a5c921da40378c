"""Votes made for tests, in the form of the real file."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from softpref.data.formats import write_rows
from softpref.errors import InputError
from softpref.research.votes.folds import DATA_FILE, arguments_of, find_data

WORDS = ["tea", "is", "warm", "and", "good", "for", "all", "who", "wait", "because", "the", "pot", "was", "old"]


def rows_of(side, arguments, rng):
    """Every pair of a side's arguments, with five votes that like the longer one."""
    for first, second in itertools.combinations(arguments, 2):
        likes = 1 / (1 + np.exp(len(second.split()) - len(first.split())))
        votes = rng.multinomial(5, [0.8 * likes, 0.2, 0.8 * (1 - likes)]).tolist()
        yield {
            "prompt": f"Debate: {side}\nGive a convincing argument.",
            "response_1": first,
            "response_2": second,
            "soft_label": (votes[0] + votes[1] / 2) / 5,
            "source": "made",
            "meta": {"votes": votes, "group": side},
        }


def write_made_votes(folder):
    """A file like the real one: three debates of two sides, twelve arguments each, and one pair of identical sides."""
    rng = np.random.default_rng(0)
    rows = []
    for debate, side in itertools.product(("cats", "rain", "tea"), ("no", "yes")):
        arguments = [f"{side} {debate} {i} " + " ".join(rng.choice(WORDS, 2 + i)) for i in range(12)]
        rows.extend(rows_of(f"{debate}_{side}", arguments, rng))
    rows.append({**rows[0], "response_2": rows[0]["response_1"]})
    write_rows(folder / DATA_FILE, rows)
    return folder


def texts(part):
    """The arguments of a fold's part."""
    return {argument for pair in part for argument in arguments_of(pair)}


def real_votes():
    """The real file, from $SOFTPREF_DATA or beside the checkout; without it the test is skipped and says so."""
    try:
        return find_data()
    except InputError as error:
        pytest.skip(f"the real votes are not here: {error}")
