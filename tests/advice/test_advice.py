"""Advice: what a file shows, which cells of a table fit it, and what is concluded, on tables made by hand."""

import pytest

from softpref.advice.advice import Asked, Labels, advise, describe
from softpref.advice.evidence import AXES, READOUTS, read_evidence
from softpref.data.formats import read_pairs, write_rows
from softpref.errors import OptionError

FIGURES = [[budget, readout] for budget in ("100", "1000", "10000") for readout in READOUTS]
BETAS = [0.1, 1.0, 2.0, 10.0]


def cell(hard, conservative, betas=(1, 0, 2), figures=None, **axes):
    """Hard and conservative less geometric, in thousandths, the same at every budget and readout unless given."""
    defaults = {
        "reward_range": 2.0,
        "low_weight": 0.7,
        "votes": None,
        "raw": False,
        "sharpness": 1.0,
        "noise": 0.0,
        "bias": 0.0,
        "flips": 0.0,
        "confidence": 0.5,
    }
    assert list(defaults) == list(AXES)
    return [*{**defaults, **axes}.values(), figures or [[hard, 1, conservative, 1, *betas]] * 9]


def table(*cells):
    return {"axes": AXES, "figures": FIGURES, "betas": BETAS, "pairs": 2000, "cells": cells}


def labels(**changes):
    shown = {
        "pairs": 1000,
        "ties": 0,
        "confidence": 0.5,
        "hard": False,
        "votes": None,
        "votes_vary": False,
        "raw": True,
        "calibrated": 0.0,
        "methods": {"judge": 1000},
    }
    return Labels(**{**shown, **changes})


# --- what a file shows --------------------------------------------------------------------------------------------------


@pytest.fixture
def pairs(tmp_path):
    def read(*rows):
        file = tmp_path / "pairs.jsonl"
        write_rows(file, ({"prompt": f"q{k}", "chosen": "a", "rejected": "b", **row} for k, row in enumerate(rows)))
        return read_pairs(file)

    return read


def test_description_by_hand(pairs):
    """|2p − 1| of 0.9, 0.25, 0.5: 0.8, 0.5, 0, mean 0.4333."""
    found = describe(pairs(*({"soft_label": p} for p in (0.9, 0.25, 0.5))))
    assert found.confidence == pytest.approx(1.3 / 3)
    assert (found.pairs, found.ties, found.hard, found.votes, found.calibrated) == (3, 1, False, None, 0)
    assert found.methods == {"given": 3}


def test_votes_are_seen(pairs):
    found = describe(pairs({"votes_1": 3, "votes_2": 1, "votes_tie": 0}, {"votes_1": 0, "votes_2": 5, "votes_tie": 1}))
    assert (found.votes, found.votes_vary, found.raw) == (5, True, False)
    assert found.methods == {"votes": 2}


def test_hard_labels_are_seen(pairs):
    assert describe(pairs({"soft_label": 1.0}, {"soft_label": 0.0}, {"soft_label": 0.5})).hard
    assert not describe(pairs({"soft_label": 0.99})).hard


def test_calibration_is_seen(pairs):
    source = {"method": "judge", "judge": "j", "calibration": "t"}
    rows = [
        {"soft_label": 0.7, "label_source": source},
        {"soft_label": 0.7, "label_source": {**source, "calibration": None}},
    ]
    assert describe(pairs(*rows)).calibrated == 0.5


# --- what is concluded --------------------------------------------------------------------------------------------------


def test_a_clear_case_by_hand():
    """Geometric 0.03 before hard and 0.1 before conservative everywhere; its beta is 2 where hard's is 1."""
    found = advise(labels(), Asked(), table(cell(-30, -100)))
    assert [*found.standings] == ["geometric", "hard", "conservative"]
    assert found.settled
    assert found.beside == ()
    assert found.situations == 9
    best = found.standings["geometric"]
    assert (best.near_best, best.regret, best.worst, best.beta) == (1, 0, 0, (2, 2, 2))
    hard = found.standings["hard"]
    assert (hard.near_best, hard.regret, hard.beta) == (0, pytest.approx(0.03), (1, 1, 1))
    assert found.standings["conservative"].beta == (0.1, 0.1, 0.1)


def test_what_is_not_told_apart_is_said():
    found = advise(labels(), Asked(), table(cell(5, -100)))
    assert next(iter(found.standings)) == "hard"
    assert found.beside == ("geometric",)
    assert not found.settled


def test_best_on_average_and_not_everywhere():
    """Geometric loses by 0.02 in a third of the cells and wins by 0.06 in the others."""
    cells = [cell(20, -90), cell(-60, -90, flips=0.1), cell(-60, -90, flips=0.2)]
    found = advise(labels(), Asked(), table(*cells))
    assert next(iter(found.standings)) == "geometric"
    assert found.standings["geometric"].near_best == pytest.approx(2 / 3)
    assert not found.settled
    assert found.beside == ()
    assert found.situations == 27


def test_what_the_user_knows_narrows_it():
    cells = [cell(20, -90), cell(-60, -90, flips=0.2), cell(-50, -90, sharpness=3.0)]
    first = lambda asked: next(iter(advise(labels(), asked, table(*cells)).standings))  # noqa: E731
    assert first(Asked(flips=0.25)) == "geometric"
    assert first(Asked(flips=0.02, sharpness=0.9)) == "hard"
    assert advise(labels(), Asked(sharpness=2.5), table(*cells)).situations == 9


def test_a_recorded_calibration_settles_sharpness():
    cells = [cell(20, -90), cell(-60, -90, sharpness=3.0)]
    assert next(iter(advise(labels(calibrated=1.0), Asked(), table(*cells)).standings)) == "hard"
    assert next(iter(advise(labels(), Asked(), table(*cells)).standings)) == "geometric"


def test_training_and_decoding_choose_figures():
    numbers = [[10 * place - 40, 1, -100, 1, 1, 1, 1] for place in range(9)]
    one = table(cell(0, 0, figures=numbers))
    found = advise(labels(), Asked(training="medium", decoding="sampled"), one)
    assert found.situations == 1
    # the fifth: 10·4 − 40 = 0, hard and geometric equal
    assert found.standings["hard"].regret == found.standings["geometric"].regret == 0
    assert advise(labels(), Asked(training="short"), one).situations == 3
    assert advise(labels(), Asked(decoding="greedy"), one).situations == 3


def test_votes_choose_cells():
    cells = [cell(0, 0), cell(30, -9, votes=3), cell(-30, -9, votes=3, raw=True), cell(60, 0, votes=10)]
    best = {
        (votes, raw): next(iter(advise(labels(votes=votes, raw=raw), Asked(), table(*cells)).standings))
        for votes, raw in ((3.0, False), (3.0, True), (7.0, False))
    }
    assert best == {(3.0, False): "hard", (3.0, True): "geometric", (7.0, False): "hard"}
    doubts = advise(labels(votes=7.0, raw=False), Asked(), table(*cells)).doubts
    assert "the map has no 7 votes; 10 is nearest" in doubts


def test_outside_the_map_nothing_is_advised():
    found = advise(labels(confidence=0.9), Asked(), table(cell(-30, -100)))
    assert found.standings == {}
    assert found.doubts[0] == "outside the map: mean |2p − 1| is 0.90, and in the map it goes from 0.50 to 0.50"
    found = advise(labels(votes=3.0, raw=False), Asked(), table(cell(-30, -100)))
    assert found.doubts[0] == "outside the map: no cell of the map has labels made like these"


def test_a_gap_in_the_map_is_outside_too():
    found = advise(labels(confidence=0.5), Asked(), table(cell(0, 0, confidence=0.1), cell(0, 0, confidence=0.9)))
    assert found.standings == {}
    assert found.doubts[0] == "outside the map: it has no labels with mean |2p − 1| near 0.50"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"pairs": 20}, "20 pairs are few"),
        ({"ties": 600}, "600 of 1000 pairs are ties"),
        ({"votes": 3.0, "votes_vary": True}, "different numbers of votes"),
        ({"methods": {"judge": 500, "votes": 500}}, "several sources"),
        ({"calibrated": 0.5}, "some labels are calibrated"),
        ({}, "nothing says whether the labels are calibrated"),
    ],
)
def test_doubts(changes, says):
    cells = [cell(0, 0), cell(0, 0, votes=3, raw=True)]
    assert says in "; ".join(advise(labels(**changes), Asked(), table(*cells)).doubts)


def test_no_doubt_where_there_is_none():
    assert advise(labels(calibrated=1.0), Asked(), table(cell(0, 0))).doubts == ()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"training": "lang"}, "did you mean 'long'"),
        ({"decoding": "greed"}, "did you mean 'greedy'"),
        ({"sharpness": 0.0}, "above 0"),
        ({"flips": 0.5}, r"in \[0, 0.5\)"),
    ],
)
def test_wrong_knowledge_is_named(wrong, says):
    with pytest.raises(OptionError, match=says):
        Asked(**wrong)


# --- on the shipped table -----------------------------------------------------------------------------------------------


def test_single_verdicts_are_all_the_same():
    """Labels of 0 and 1 make the treatments one loss, and the shipped table shows it."""
    found = advise(labels(hard=True, confidence=1.0), Asked(), read_evidence())
    assert len(found.beside) == 2
    assert all(one.regret == 0 for one in found.standings.values())


def test_every_common_kind_of_label_has_evidence():
    evidence = read_evidence()
    for votes, raw in ((None, True), (3.0, True), (3.0, False), (5.0, False), (10.0, False), (50.0, False)):
        for confidence in (0.55, 0.7):
            found = advise(labels(votes=votes, raw=raw, confidence=confidence), Asked(), evidence)
            assert found.situations >= 9, (votes, raw, confidence)
