"""The fetcher reads the original's XML, and knows whether what it rebuilt is the file in use."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from softpref.errors import InputError
from softpref.research.votes.folds import find_data

ROOT = Path(__file__).parents[1]


@pytest.fixture
def real_file(monkeypatch):
    """The real votes, from $SOFTPREF_DATA or beside the checkout; without them the test is skipped and says so."""
    monkeypatch.chdir(ROOT)
    try:
        return find_data()
    except InputError as error:
        pytest.skip(f"the real votes are not here: {error}")


@pytest.fixture(scope="module")
def fetcher():
    spec = importlib.util.spec_from_file_location("fetch_ukp", ROOT / "scripts" / "fetch_ukp.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def xml(first, second, answers, gold="<goldLabel>a1</goldLabel>"):
    assignments = "".join(f"<mTurkAssignment><value>{a}</value></mTurkAssignment>" for a in answers)
    return f"""<?xml version="1.0"?><list><annotatedArgumentPair><id>arg1_arg2</id>
      <arg1><stance>Yes</stance><text>{first}</text><id>arg1</id></arg1>
      <arg2><stance>Yes</stance><text>{second}</text><id>arg2</id></arg2>
      <debateMetaData><title>Is tea good?</title></debateMetaData>
      <mTurkAssignments>{assignments}</mTurkAssignments>{gold}</annotatedArgumentPair></list>""".encode()


def test_a_pair_of_the_original_becomes_a_row(fetcher):
    """Three votes for the first, two equal: (3 + 1)/5 = 0.8. White space becomes single spaces."""
    [row] = fetcher.pairs_of(xml(" it  is\nwarm ", "no &amp; no", ["equal", "a1", "a1", "equal", "a1"]), "tea_yes")
    assert row == {
        "prompt": "Debate: Is tea good?\nSide: Yes\nGive a convincing argument.",
        "response_1": "it is warm",
        "response_2": "no & no",
        "soft_label": 0.8,
        "source": "UKPConvArg1",
        "meta": {"votes": [3, 2, 0], "mace_gold": "a1", "pair_id": "arg1_arg2", "group": "tea_yes"},
    }


def test_long_arguments_and_pairs_without_votes_are_left_out(fetcher):
    assert list(fetcher.pairs_of(xml("tea " * 61, "no", ["a1"]), "tea_yes")) == []
    assert len(list(fetcher.pairs_of(xml("tea " * 60, "no", ["a1"], gold=""), "tea_yes"))) == 1
    assert list(fetcher.pairs_of(xml("tea", "no", []), "tea_yes")) == []


def test_what_was_rebuilt_is_checked(fetcher, monkeypatch):
    rows = list(fetcher.pairs_of(xml("tea", "no", ["a1"]), "tea_yes"))
    assert fetcher.fault_of(rows) == "1 pairs were rebuilt, not 5912"
    monkeypatch.setattr(fetcher, "EXPECTED_PAIRS", 1)
    assert "SHA-256" in fetcher.fault_of(rows)
    monkeypatch.setattr(fetcher, "EXPECTED_DIGEST", fetcher.digest(reversed(rows)))
    assert fetcher.fault_of(rows) is None


def test_the_digest_is_that_of_the_file_in_use(fetcher, real_file):
    rows = [json.loads(line) for line in real_file.read_text(encoding="utf-8").splitlines()]
    assert fetcher.fault_of(rows) is None
    assert sorted({row["meta"]["group"] for row in rows}) == list(fetcher.SIDES)


def test_without_a_network_it_says_so(fetcher, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr(fetcher.urllib.request, "urlopen", refuse)
    monkeypatch.setattr(fetcher.time, "sleep", lambda _: None)
    with pytest.raises(SystemExit, match="no route; is there a network"):
        fetcher.download("https://example.org/x.xml")
