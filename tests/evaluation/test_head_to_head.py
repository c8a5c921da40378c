"""Every method against every other: the matrix against single evaluations, Holm over all pairs, seeds, going on."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from softpref.core.statistics import holm
from softpref.data.formats import write_rows
from softpref.data.pairs import text_of
from softpref.demo.small_model import save, small_llama
from softpref.errors import InputError, OptionError
from softpref.evaluation.evaluate import evaluate
from softpref.evaluation.head_to_head import corrected, head_to_head
from softpref.generation.sampling import Sampling
from softpref.judges.simulated import SimulatedJudge
from softpref.records.evaluation import DuelFigures, HeadToHeadRecord
from softpref.records.figures import ComparisonFigures, Interval, PairedTestFigures, WinRateFigures
from softpref.run_folder import read_lines

PROMPTS = [f"make tea for {word} :" for word in ("two", "a", "b", "c", "d")]
GREEDY = Sampling(max_new_tokens=6)


def gold(prompt, response):
    """Longer is better."""
    return len(text_of(response).split()) / 4


JUDGE = SimulatedJudge("length", gold, scale=1.0, position_bias=0.2, failure_rate=0.1)


@pytest.fixture
def files(tmp_path):
    """Three sides as files, one word, two and up to three words a response."""
    found = []
    for words, name in enumerate(("short", "middle", "long"), start=1):
        rows = [
            {"prompt": p, "response": " ".join(["tea"] * (words + (i % 2 if words == 3 else 0)))} for i, p in enumerate(PROMPTS)
        ]
        write_rows(tmp_path / f"{name}.jsonl", rows)
        found.append(str(tmp_path / f"{name}.jsonl"))
    return found


def test_every_pair_once_with_the_figures_of_a_single_evaluation(files, tmp_path):
    result = head_to_head(files, None, JUDGE, tmp_path / "out")
    assert HeadToHeadRecord.read(tmp_path / "out" / "head_to_head.json").as_dict() == result.as_dict()
    assert result.models == ["short", "middle", "long"]
    assert [(p.model, p.against) for p in result.pairs] == [
        ("short", "middle"),
        ("short", "long"),
        ("middle", "long"),
    ]
    for (i, j), pair in zip(((0, 1), (0, 2), (1, 2)), result.pairs, strict=True):
        alone = evaluate(files[i], files[j], None, JUDGE, tmp_path / f"alone_{i}_{j}")
        for key in ("win_rates", "length_controlled", "longer_wins", "prompts", "asked"):
            assert getattr(pair, key) == getattr(alone, key)
        assert result.lengths[i] == alone.lengths.model
        assert result.repetition[j] == alone.repetition.against
        rows = read_lines(tmp_path / "out" / "comparisons" / f"{i}_{j}.jsonl")
        assert rows == read_lines(tmp_path / f"alone_{i}_{j}" / "comparisons.jsonl")


def _some_figures():
    rate = Interval(0.5)
    return ComparisonFigures(prompts=1, win_rates=WinRateFigures(rate, rate, rate, 0.0, 1.0, None, 0))


def test_p_values_are_corrected_over_all_pairs():
    made = DuelFigures(model="a", against="b", **vars(_some_figures()))
    tests = [{"wilcoxon": PairedTestFigures(p), "permutation": PairedTestFigures(q)} for p, q in ((0.04, 0.5), (0.01, 0.02))]
    pairs = corrected([replace(made, tests=one) for one in tests])
    assert [pair.tests["wilcoxon"].p_holm for pair in pairs] == [0.04, 0.02]
    assert [pair.tests["permutation"].p_holm for pair in pairs] == [0.5, 0.04]


def test_corrected_ones_are_in_the_file(files, tmp_path):
    result = head_to_head(files, None, JUDGE, tmp_path / "out")
    for test in ("wilcoxon", "permutation"):
        plain, holms = ([getattr(pair.tests[test], key) for pair in result.pairs] for key in ("p_value", "p_holm"))
        assert holms == pytest.approx(holm(plain).tolist())


def test_models_files_and_columns_together(word_tokenizer, files, tmp_path):
    """One generation per model, whatever it meets."""
    model = save(small_llama(word_tokenizer, hidden=16, layers=1, heads=2, context=64), word_tokenizer, tmp_path / "m")
    write_rows(tmp_path / "data.jsonl", [{"prompt": p, "best": "tea tea"} for p in [*PROMPTS, "not in the file :"]])
    words = [str(model), files[0], "best"]
    result = head_to_head(words, tmp_path / "data.jsonl", JUDGE, tmp_path / "out", GREEDY)
    assert result.models == ["m", "short", "best"]
    assert [pair.prompts for pair in result.pairs] == [5, 6, 5]
    assert [pair.left_out.prompts_only_model for pair in result.pairs] == [1, 0, 0]
    assert [pair.left_out.prompts_only_against for pair in result.pairs] == [0, 0, 1]
    assert len(list((tmp_path / "out" / "responses").glob("*.jsonl"))) == 1
    assert [length.unfinished is None for length in result.lengths] == [False, True, True]


def test_a_second_run_generates_and_asks_nothing(word_tokenizer, files, tmp_path, monkeypatch):
    model = save(small_llama(word_tokenizer, hidden=16, layers=1, heads=2, context=64), word_tokenizer, tmp_path / "m")
    write_rows(tmp_path / "data.jsonl", [{"prompt": p} for p in PROMPTS])
    sure = SimulatedJudge("length", gold, scale=1.0)
    first = head_to_head([str(model), *files], tmp_path / "data.jsonl", sure, tmp_path / "out", GREEDY)

    class Silent(SimulatedJudge):
        def answer(self, questions):
            assert list(questions) == []
            return iter(())

    def nothing(*_):
        raise AssertionError

    monkeypatch.setattr("softpref.generation.sampling.generate", nothing)
    words, silent = [str(model), *files], Silent("length", gold, scale=1.0)
    assert head_to_head(words, tmp_path / "data.jsonl", silent, tmp_path / "out", GREEDY) == first


def test_seeds_are_pooled_and_shown_apart(tmp_path):
    """Two seeds of "a", of 1 and 4 words, against 2 words always: one loses, one wins."""
    for name, words in (("seed_1", 1), ("seed_2", 4)):
        write_rows(tmp_path / name / "a.jsonl", [{"prompt": p, "response": "tea " * words} for p in PROMPTS])
    write_rows(tmp_path / "b.jsonl", [{"prompt": p, "response": "tea tea"} for p in PROMPTS])
    words = [str(tmp_path / "seed_1" / "a.jsonl"), str(tmp_path / "seed_2" / "a.jsonl"), f"b={tmp_path / 'b.jsonl'}"]
    judge = SimulatedJudge("length", gold, scale=1.0)
    result = head_to_head(words, None, judge, tmp_path / "out")
    [pair] = result.pairs
    assert (result.models, result.seeds) == (["a", "b"], [["1", "2"], [None]])
    assert (pair.seeds, pair.asked, pair.prompts) == (2, 10, 5)
    lost, won = (one.percentage for one in pair.by_seed)
    assert lost < 0.5 < won
    rate = pair.win_rates.percentage
    assert rate.value == pytest.approx(np.mean([lost, won]))
    # of two seeds one is drawn: the interval runs from the one to the other
    assert (rate.low, rate.high) == (pytest.approx(lost), pytest.approx(won))
    rows = read_lines(tmp_path / "out" / "comparisons" / "0_1.jsonl")
    assert [row["seed"] for row in rows] == ["1"] * 5 + ["2"] * 5


def test_one_method_is_no_comparison(files, tmp_path):
    with pytest.raises(OptionError, match="at least two methods"):
        head_to_head([f"a={files[0]}", f"a={files[1]}"], None, JUDGE, tmp_path / "out")


def test_a_file_with_a_fault_stops_it_before_anything_is_generated(files, tmp_path):
    write_rows(tmp_path / "bad.jsonl", [{"prompt": PROMPTS[0]}])
    write_rows(tmp_path / "data.jsonl", [{"prompt": p} for p in PROMPTS])
    with pytest.raises(InputError, match=r"bad\.jsonl: 1 fault\n  row 1, response: is missing; give a response in every row"):
        head_to_head(["/nowhere", str(tmp_path / "bad.jsonl")], tmp_path / "data.jsonl", JUDGE, tmp_path / "out")
    assert not (tmp_path / "out" / "responses").exists()


def test_the_file_is_json(files, tmp_path):
    head_to_head(files, None, JUDGE, tmp_path / "out")
    json.loads((tmp_path / "out" / "head_to_head.json").read_text(encoding="utf-8"))
