"""One evaluation end to end on a model of two layers: what is written, what is counted, and going on after a stop."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import wilcoxon

from softpref.data.formats import write_rows
from softpref.data.pairs import text_of
from softpref.demo.small_model import save, small_llama
from softpref.errors import DataError, InputError, OptionError
from softpref.evaluation.comparison import Side, compare
from softpref.evaluation.evaluate import evaluate
from softpref.evaluation.length_control import fit_lengths
from softpref.evaluation.naming import short_names
from softpref.evaluation.repetition import repetition
from softpref.evaluation.responses import generated
from softpref.generation.sampling import Response, Sampling
from softpref.judges.simulated import SimulatedJudge
from softpref.records.evaluation import EvaluationRecord
from softpref.run_folder import EVALUATION_FILE, read_json

PROMPTS = ["make tea for two :", "wait", "boil the water . add tea :", "serve tea ?", "make tea for two :"]
SAMPLED = Sampling(temperature=1.0, samples=2, max_new_tokens=8, batch_size=4)


def gold(prompt, response):
    """Longer is better, but for what says tea."""
    text = text_of(response)
    return len(text.split()) / 4 - text.count("tea")


JUDGE = SimulatedJudge("test", gold, scale=1.0, position_bias=0.3)


@pytest.fixture(scope="module")
def folders(word_tokenizer, tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    made = {}
    for seed, name in enumerate(("policy", "sft")):
        model = small_llama(word_tokenizer, hidden=16, layers=2, heads=2, context=64, seed=seed)
        made[name] = str(save(model, word_tokenizer, root / name))
    return made


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "test.jsonl"
    write_rows(path, [{"prompt": prompt, "best": f"serve tea {'. ' * i}"} for i, prompt in enumerate(PROMPTS)])
    return path


@pytest.fixture(scope="module")
def finished(folders, data, tmp_path_factory):
    """The result of one run, and its folder: read only."""
    output = tmp_path_factory.mktemp("evaluation")
    return evaluate(folders["policy"], folders["sft"], data, replace(JUDGE, failure_rate=0.15), output, SAMPLED), output


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def p_of(prompt, first, second):
    """Both orders of the judge without failures: log-odds ± difference + bias, averaged."""
    odds = [gold(prompt, x) - gold(prompt, y) + 0.3 for x, y in ((first, second), (second, first))]
    a, b = (1 / (1 + np.exp(-z)) for z in odds)
    return (a + 1 - b) / 2


# -------------------------------------------------------------------------------------------------- what it holds


def test_the_result_is_what_lies_in_the_folder(finished):
    result, output = finished
    assert EvaluationRecord.read(output / EVALUATION_FILE).as_dict() == result.as_dict()
    assert (result.model, result.against, result.prompts) == ("policy", "sft", 4)
    assert "failure_rate=0.15" in result.judge
    assert result.sampling == SAMPLED.as_dict()


def test_every_prompt_meets_both_sides_sample_by_sample(finished, folders):
    _, output = finished
    sides = [
        generated(folders[name], PROMPTS, SAMPLED, output / file)
        for name, file in (("policy", "responses.jsonl"), ("sft", "against.jsonl"))
    ]
    rows = lines(output / "comparisons.jsonl")
    assert [row["prompt"] for row in rows] == [prompt for prompt in PROMPTS for _ in range(2)]
    assert [row["response"] for row in rows] == [response.text for response in sides[0]]
    assert [row["against"] for row in rows] == [response.text for response in sides[1]]


def test_the_judge_was_asked_in_both_orders_and_failures_stay_apart(finished):
    result, output = finished
    rows = lines(output / "comparisons.jsonl")
    failed = [row for row in rows if row["p"] is None]
    assert all(row["failures"] == ["simulated outage"] * len(row["failures"]) and row["failures"] for row in failed)
    for row in rows:
        if row["p"] is not None:
            assert row["p"] == pytest.approx(p_of(row["prompt"], row["response"], row["against"]))
    assert 0 < len(failed) < 10
    assert (result.win_rates.failed, result.win_rates.coverage) == (len(failed), 1 - len(failed) / 10)


def test_figures_follow_from_the_comparisons(finished):
    result, output = finished
    rows = [row for row in lines(output / "comparisons.jsonl") if row["p"] is not None]
    p = np.array([row["p"] for row in rows])
    rates = result.win_rates
    assert rates.percentage.value == pytest.approx(p.mean())
    assert rates.binary.value == pytest.approx(np.mean(p >= 0.5))
    assert rates.percentage.n == len(rows)
    assert rates.percentage.clusters == len({row["prompt"] for row in rows}) <= 4
    words = [len(row["response"].split()) for row in lines(output / "comparisons.jsonl")]
    assert result.lengths.model.mean_words == pytest.approx(np.mean(words))
    assert result.lengths.model.median_words == np.median(words)
    unfinished = sum(not row["finished"] for row in lines(output / "responses.jsonl"))
    assert result.lengths.model.unfinished == unfinished > 0


def test_against_a_column_of_the_data(folders, data, tmp_path):
    result = evaluate(folders["policy"], "best", data, JUDGE, tmp_path, Sampling(max_new_tokens=6))
    assert (result.against, result.lengths.against.unfinished) == ("best", None)
    assert [row["against"] for row in lines(tmp_path / "comparisons.jsonl")] == [f"serve tea {'. ' * i}" for i in range(5)]
    assert not (tmp_path / "against.jsonl").exists()


def test_a_column_with_a_gap_names_the_row(folders, tmp_path):
    path = tmp_path / "test.csv"
    path.write_text("prompt,best\nwait,tea\n\nserve,\nboil,tea\n", encoding="utf-8")
    write_rows(tmp_path / "test.jsonl", [{"prompt": "wait", "best": "tea"}, {"prompt": "serve", "best": None}])
    for name, row in (("test.jsonl", 2), ("test.csv", 4)):
        with pytest.raises(InputError, match=rf"{name}: 1 fault\n  row {row}, best: is missing; give a response in every row"):
            evaluate(folders["policy"], "best", tmp_path / name, JUDGE, tmp_path / name[-3:], Sampling(max_new_tokens=2))


def test_prompts_are_needed(folders, tmp_path):
    write_rows(tmp_path / "test.jsonl", [{"text": "wait"}])
    with pytest.raises(DataError, match=r"row 1, prompt: is missing"):
        evaluate(folders["policy"], "sft", tmp_path / "test.jsonl", JUDGE, tmp_path / "out")


# -------------------------------------------------------------------------------------------------- compare, by hand


def test_longer_wins_by_hand(tmp_path):
    """Words 3:1, 1:2, 2:2, 1:4. The judge prefers the longer one in the first two and, since it says tea, not in the last:
    2 of 3; a pair of equal length says nothing."""
    ours = Side("ours", ["a b c", "a", "a b", "c"])
    theirs = Side("theirs", ["a", "b c", "c d", "tea b c d"])
    result = compare(ours, theirs, ["p", "q", "r", "s"], JUDGE, tmp_path)
    assert result.longer_wins.value == pytest.approx(2 / 3)
    assert result.longer_wins.n == 3


def test_identical_sides_are_all_ties(tmp_path):
    """Whatever the judge's bias, its other answer undoes it exactly."""
    texts = [" ".join("abcd"[: i % 4 + 1]) for i in range(40)]
    biased = replace(JUDGE, position_bias=0.37, noise=1.0)
    result = compare(Side("a", texts), Side("b", texts), [f"p{i}" for i in range(40)], biased, tmp_path)
    rates = result.win_rates
    assert (rates.binary.value, rates.percentage.value, rates.tie_rate) == (1.0, 0.5, 1.0)
    assert result.longer_wins is None


def test_messages_meet_messages(tmp_path):
    seen = []

    class Looks(SimulatedJudge):
        def answer(self, questions):
            questions = list(questions)
            seen.extend(questions)
            return super().answer(questions)

    prompt = [{"role": "user", "content": "tea?"}]
    compare(
        Side("a", ["yes"]),
        Side("b", [[{"role": "assistant", "content": "no no"}]]),
        [prompt],
        Looks("t", gold, 1.0),
        tmp_path,
    )
    assert {(q.first[0]["role"], q.first[0]["content"]) for q in seen} == {("assistant", "yes"), ("assistant", "no no")}


def test_sides_of_unequal_number_are_refused(tmp_path):
    with pytest.raises(OptionError, match="have not the same number of responses"):
        compare(Side("a", ["x"]), Side("b", ["x", "y"]), ["p"], JUDGE, tmp_path)


# -------------------------------------------------------------------------------------------------- stopped and gone on


def test_a_second_run_generates_and_asks_nothing(folders, data, tmp_path, monkeypatch):
    first = evaluate(folders["policy"], folders["sft"], data, JUDGE, tmp_path, SAMPLED)

    def nothing(*_):
        raise AssertionError

    class Silent(SimulatedJudge):
        def answer(self, questions):
            assert list(questions) == []
            return iter(())

    monkeypatch.setattr("softpref.generation.sampling.generate", nothing)
    again = evaluate(folders["policy"], folders["sft"], data, Silent("test", gold, 1.0, position_bias=0.3), tmp_path, SAMPLED)
    assert again == first


def test_a_run_that_was_killed_goes_on_as_if_unbroken(folders, tmp_path):
    """What lies there: one batch of three, and half a line of the next."""
    file = tmp_path / "responses.jsonl"
    whole = generated(folders["policy"], PROMPTS, SAMPLED, file)
    kept = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(kept[:4]) + kept[4][:17])
    batches = []
    assert generated(folders["policy"], PROMPTS, SAMPLED, file, batches.append) == whole
    assert batches == [4, 2]
    assert generated(folders["policy"], PROMPTS, SAMPLED, file) == whole
    assert [Response(**row) for row in lines(file)] == [Response(**json.loads(line)) for line in kept]


def test_a_prompt_of_which_one_sample_is_there_is_drawn_again(folders, tmp_path):
    """The last batch was cut between the two samples of its prompt."""
    file = tmp_path / "responses.jsonl"
    whole = generated(folders["policy"], PROMPTS, SAMPLED, file)
    kept = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(kept[:9]))
    assert generated(folders["policy"], PROMPTS, SAMPLED, file) == whole


def test_a_file_in_which_nothing_stands_belongs_to_nobody(folders, tmp_path):
    """What an engine leaves that did not start: other settings may begin there."""
    file = tmp_path / "responses.jsonl"
    whole = generated(folders["policy"], PROMPTS, SAMPLED, file)
    file.write_text("")
    assert generated(folders["policy"], PROMPTS, replace(SAMPLED, seed=1), file) != whole


def test_line_separators_inside_a_text_do_not_break_the_file(folders, tmp_path):
    """U+2028 and U+0085 end a line for ``str.splitlines``, and not for JSONL; models do write them."""
    file = tmp_path / "responses.jsonl"
    found = generated(folders["policy"], PROMPTS, SAMPLED, file)
    odd = "one\u2028two\u0085three"
    rows = [{**row, "text": odd} for row in lines(file)]
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    again = generated(folders["policy"], PROMPTS, SAMPLED, file)
    assert again == [replace(response, text=odd) for response in found]


def test_other_settings_are_refused(folders, tmp_path):
    file = tmp_path / "responses.jsonl"
    generated(folders["policy"], PROMPTS, SAMPLED, file)
    others = [
        (folders["policy"], PROMPTS, replace(SAMPLED, temperature=0.9)),
        (folders["policy"], PROMPTS, replace(SAMPLED, seed=1)),
        (folders["sft"], PROMPTS, SAMPLED),
        (folders["policy"], PROMPTS[:4], SAMPLED),
        (folders["policy"], [*PROMPTS[:4], "another"], SAMPLED),
        (folders["policy"], PROMPTS[::-1], SAMPLED),
    ]
    for other in others:
        with pytest.raises(OptionError, match=r"responses\.jsonl: was made with .*give another output folder"):
            generated(*other, file)


def test_new_weights_under_an_old_name_are_refused(word_tokenizer, tmp_path):
    """A model that was trained again in its folder is another model."""
    folder, file = tmp_path / "model", tmp_path / "responses.jsonl"
    model = small_llama(word_tokenizer, hidden=16, layers=1, heads=2, context=64)
    save(model, word_tokenizer, folder)
    generated(str(folder), PROMPTS, SAMPLED, file)
    with torch.no_grad():
        model.model.norm.weight.mul_(2)
    save(model, word_tokenizer, folder)
    with pytest.raises(OptionError, match="give another output folder"):
        generated(str(folder), PROMPTS, SAMPLED, file)


def test_another_judge_is_asked_anew_in_the_same_folder(folders, data, tmp_path):
    evaluate(folders["policy"], folders["sft"], data, JUDGE, tmp_path, SAMPLED)
    other = replace(JUDGE, scale=0.001, position_bias=0.0)
    result = evaluate(folders["policy"], folders["sft"], data, other, tmp_path, SAMPLED)
    assert result.win_rates.percentage.value == pytest.approx(0.5, abs=0.01)


def test_a_model_that_is_not_there(folders, data, tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        evaluate(str(tmp_path / "nowhere"), "best", data, JUDGE, tmp_path / "out")


def test_no_evaluation_is_none(tmp_path):
    assert read_json(tmp_path / EVALUATION_FILE) is None
    assert EVALUATION_FILE == "evaluation.json"


@pytest.mark.parametrize(
    ("model", "against", "names"),
    [
        ("runs/gdpo", "runs/sft", ("gdpo", "sft")),
        ("a/checkpoint-75", "b/checkpoint-75", ("a/checkpoint-75", "b/checkpoint-75")),
        ("runs/sft", "runs/sft", ("sft", "sft")),
    ],
)
def test_two_sides_have_short_names_that_tell_them_apart(model, against, names):
    assert short_names([model, against]) == list(names)


# -------------------------------------------------------------------------------------------------- files and what is left out


def responses_file(path, rows):
    write_rows(path, [{"prompt": prompt, "response": response} for prompt, response in rows])
    return str(path)


def test_two_files_need_no_model_and_no_data(tmp_path):
    """Prompt b is only ours, c only theirs; prompt a has two of ours against one of theirs."""
    ours = responses_file(tmp_path / "ours.jsonl", [("a", "one two"), ("a", "one"), ("b", "x")])
    theirs = responses_file(tmp_path / "theirs.jsonl", [("a", "one"), ("c", "y")])
    result = evaluate(ours, theirs, None, JUDGE, tmp_path / "out")
    assert (result.model, result.against) == ("ours", "theirs")
    assert (result.prompts, result.asked, result.data, result.sampling) == (1, 2, None, None)
    expected = {"prompts_only_model": 1, "prompts_only_against": 1, "prompts_neither": 0, "responses": 0}
    assert vars(result.left_out) == expected
    assert [row["response"] for row in lines(tmp_path / "out" / "comparisons.jsonl")] == ["one two", "one"]


def test_a_model_is_asked_only_what_the_file_answers(folders, data, tmp_path):
    """Two of the four prompts, one of which stands in the data twice; a prompt that is not in the data is left out."""
    theirs = responses_file(tmp_path / "t.jsonl", [(PROMPTS[0], "serve tea"), (PROMPTS[1], "no"), ("unheard of", "x")])
    result = evaluate(folders["policy"], theirs, data, JUDGE, tmp_path / "out", Sampling(max_new_tokens=4))
    assert len(lines(tmp_path / "out" / "responses.jsonl")) == 3
    assert (result.prompts, result.asked) == (2, 3)
    expected = {"prompts_only_model": 0, "prompts_only_against": 0, "prompts_neither": 2, "responses": 1}
    assert vars(result.left_out) == expected
    rows = lines(tmp_path / "out" / "comparisons.jsonl")
    assert [row["against"] for row in rows] == ["serve tea", "no", "serve tea"]
    assert result.kl is None


def test_a_missing_file_is_no_hub_name(folders, data, tmp_path):
    with pytest.raises(InputError, match=r"absent\.jsonl: no such file"):
        evaluate(folders["policy"], "absent.jsonl", data, JUDGE, tmp_path / "out")


def test_tests_average_the_samples_of_a_prompt_first(finished):
    """Ten comparisons on four prompts are at most four differences."""
    result, output = finished
    rows = [row for row in lines(output / "comparisons.jsonl") if row["p"] is not None]
    by_prompt = {}
    for row in rows:
        by_prompt.setdefault(row["prompt"], []).append(row["p"] - 0.5)
    differences = [np.mean(values) for values in by_prompt.values()]
    for name in ("wilcoxon", "permutation"):
        assert result.tests[name].n == len(differences)
    assert result.tests["wilcoxon"].p_value == pytest.approx(wilcoxon(differences).pvalue)
    assert result.tests["permutation"].statistic == pytest.approx(np.mean(differences))


def test_length_and_repetition_stand_beside_the_rates(finished):
    result, output = finished
    rows = lines(output / "comparisons.jsonl")
    assert result.asked == len(rows)
    for side, column in (("model", "response"), ("against", "against")):
        assert getattr(result.repetition, side) == repetition([row[column] for row in rows])
    kept = [(len(r["response"].split()) - len(r["against"].split()), r["p"]) for r in rows if r["p"] is not None]
    d, p = (np.array(x, dtype=float) for x in zip(*kept, strict=True))
    theta = fit_lengths(d, p)[0]
    controlled = result.length_controlled
    assert controlled.value == pytest.approx(1 / (1 + np.exp(-theta)))
    assert controlled.model_longer == pytest.approx(np.mean(d[d != 0] > 0))
