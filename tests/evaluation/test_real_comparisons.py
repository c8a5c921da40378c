"""Three models of PandaLM's test set before the people who voted on them: the matrix against counts from the file itself."""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import wilcoxon

from softpref.cli.head_to_head import lines
from softpref.data.formats import write_rows
from softpref.evaluation.head_to_head import head_to_head
from softpref.judges.base import Answer

FOLDER = Path(os.environ.get("SOFTPREF_DATA") or Path(__file__).parents[2].parent / "shared" / "data")
FILE = FOLDER / "pandalm_testset.jsonl"
MODELS = ("bloom-7b", "llama-7b", "opt-7b")
pytestmark = pytest.mark.skipif(not FILE.is_file(), reason=f"no {FILE}: set SOFTPREF_DATA")


class People:
    """A judge that answers what people were asked, in either order, and fails where they were not."""

    identity = "votes"

    def __init__(self, rows):
        self.share = {}
        for row in rows:
            for first, second, p in (("1", "2", row["soft_label"]), ("2", "1", 1 - row["soft_label"])):
                self.share[row["prompt"], row[f"response_{first}"], row[f"response_{second}"]] = p

    def answer(self, questions):
        for question in questions:
            p = self.share.get((question.prompt, question.first, question.second))
            if p is None:
                yield Answer(question, failure="nobody was asked")
            else:
                logs = (math.log(x) if x else -math.inf for x in (p, 1 - p))
                yield Answer(question, *logs, mass=1.0)


@pytest.fixture(scope="module")
def rows():
    """Pairs of these models; without prompts to which two gave the same response, or one gave different ones."""
    found = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
    found = [row for row in found if {row["meta"]["model_1"], row["meta"]["model_2"]} <= set(MODELS)]
    by_model, by_text = defaultdict(set), defaultdict(set)
    for row in found:
        for i in "12":
            by_model[row["prompt"], row["meta"][f"model_{i}"]].add(row[f"response_{i}"])
            by_text[row["prompt"], row[f"response_{i}"]].add(row["meta"][f"model_{i}"])
    unclear = {prompt for groups in (by_model, by_text) for (prompt, _), members in groups.items() if len(members) > 1}
    return [row for row in found if row["prompt"] not in unclear]


@pytest.fixture(scope="module")
def result(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pandalm")
    said = defaultdict(dict)
    for row in rows:
        for i in "12":
            said[row["meta"][f"model_{i}"]][row["prompt"]] = row[f"response_{i}"]
    words = []
    for name, responses in sorted(said.items()):
        file = folder / f"{name}.jsonl"
        write_rows(file, [{"prompt": prompt, "response": text} for prompt, text in responses.items()])
        words.append(f"{name}={file}")
    return head_to_head(words, None, People(rows), folder / "out")


def of_pair(rows, ours, theirs):
    """p for ``ours`` on each prompt that people were asked about, counted from the rows."""
    found = {}
    for row in rows:
        models = row["meta"]["model_1"], row["meta"]["model_2"]
        if set(models) == {ours, theirs}:
            found[row["prompt"]] = row["soft_label"] if models[0] == ours else 1 - row["soft_label"]
    return np.array([*found.values()])


def test_every_pair_of_models_is_what_people_said(rows, result):
    assert tuple(result.models) == MODELS
    pairs = {(pair.model, pair.against): pair for pair in result.pairs}
    assert set(pairs) == set(combinations(result.models, 2))
    for names, pair in pairs.items():
        p, rates = of_pair(rows, *names), pair.win_rates
        assert pair.asked - rates.failed == len(p) > 60
        assert rates.percentage.value == pytest.approx(p.mean())
        assert rates.binary.value == pytest.approx(np.mean(p >= 0.5))
        assert rates.tie_aware.value == pytest.approx(np.mean(np.where(p == 0.5, 0.5, p > 0.5)))
        assert rates.tie_rate == pytest.approx(np.mean(p == 0.5))
        assert rates.position_bias == pytest.approx(0, abs=1e-12)
        assert pair.tests["wilcoxon"].p_value == pytest.approx(wilcoxon(np.round(p - 0.5, 12)).pvalue)


def test_what_a_person_reads_of_it(result):
    """Coverage stands beside every pair, for people were not asked about all."""
    text = "\n".join(lines(result))
    for pair in result.pairs:
        judged = pair.asked - pair.win_rates.failed
        assert f"{judged} of {pair.asked} judged on {pair.prompts} prompts" in text
