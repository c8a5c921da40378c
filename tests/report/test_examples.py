"""Which comparisons are shown as examples, and how those of several runs are put together."""

import json

import pytest

from run_folders import comparison, duel, evaluation, write_head_to_head, write_lines, write_run
from softpref.errors import InputError
from softpref.report.collect import read_folders, read_run
from softpref.report.document import Example, Shown
from softpref.report.groups import group_evaluations
from softpref.report.sections.examples import FEWEST, MOST, choose, examples


def one(p, name="", disagreement=0.0, size=10):
    return Example(name, [Shown("a", "x" * size)], p, [p], disagreement)


def test_the_surest_the_least_sure_and_the_most_divided_take_turns():
    found = [one(p) for p in (0.1, 0.2, 0.45, 0.6, 0.8, 0.9)] + [one(0.7, disagreement=0.5)]
    assert [example.p for example in choose(found, 10**6)] == [0.9, 0.1, 0.45, 0.7, 0.8, 0.2, 0.6]


def test_a_budget_ends_it_but_not_before_a_few():
    found = [one(i / 100, size=2000) for i in range(100)]
    assert len(choose(found, 0)) == FEWEST
    assert len(choose(found, 20 * 2000)) == 20
    assert len(choose(found, 10**9)) == MOST
    assert choose([], 10) == []


def section(*folders):
    found = read_folders(folders)
    return examples(group_evaluations(found.runs), found.head_to_heads)


def test_samples_of_one_prompt_are_joined_in_their_order(tmp_path):
    """Two samples per prompt and two runs: two examples, the second sample with the second; what failed is left out."""
    rows = {"a": [0.9, 0.2], "b": [0.7, None]}
    folders = [
        write_run(tmp_path / name, evaluations={"greedy": evaluation()}, comparisons=[comparison(p, "tea") for p in ps])
        for name, ps in rows.items()
    ]
    [block] = section(*folders).blocks
    assert sorted(example.labels for example in block.items) == [[0.2], [0.9, 0.7]]
    assert (block.of, block.disagreement) == (2, "the runs differ")


def test_one_run_alone_is_sorted_by_what_the_orders_make_of_it(tmp_path):
    """P(first shown) 0.9 in one order and 0.8 in the other: the first is always preferred, by 0.7 more than it should."""
    row = {**comparison(0.55), "first_shown": 0.9, "second_shown": 0.8}
    folder = write_run(tmp_path / "a", evaluations={"greedy": evaluation()}, comparisons=[row])
    [block] = section(folder).blocks
    [example] = block.items
    assert example.orders_disagree
    assert example.disagreement == pytest.approx(0.7)
    assert (example.sides[0].note, block.disagreement) == ("p = 0.55 · the two orders disagree", "the orders differ")


def test_a_head_to_head_alone_shows_what_every_model_wrote(tmp_path):
    names = ("dpo", "gdpo", "sft")
    pairs = [duel("dpo", "gdpo", 0.5, 0.5), duel("dpo", "sft", 0.5, 0.5), duel("gdpo", "sft", 0.5, 0.5)]
    folder = write_head_to_head(tmp_path / "duels", pairs, names)
    for name, p in (("0_1", 0.25), ("0_2", 0.75), ("1_2", None)):
        write_lines(folder / "comparisons" / f"{name}.jsonl", [comparison(p, "tea", f"first of {name}", f"second of {name}")])
    [block] = section(folder).blocks
    [example] = block.items
    assert example.labels == [0.25, 0.75]
    assert [(side.who, side.note) for side in example.sides] == [
        ("dpo", "p = 0.25 over gdpo, 0.75 over sft"),
        ("gdpo", "p = 0.75 over dpo"),
        ("sft", "p = 0.25 over dpo"),
    ]
    assert [side.text for side in example.sides] == ["first of 0_2", "second of 0_1", "second of 0_2"]


def test_an_evaluation_has_the_better_examples(tmp_path):
    folder = write_head_to_head(tmp_path / "duels", [duel("a", "b", 0.5, 0.5)], ("a", "b"))
    write_lines(folder / "comparisons" / "0_1.jsonl", [comparison()])
    run = write_run(tmp_path / "a", evaluations={"greedy": evaluation()}, comparisons=[comparison()])
    assert [block.caption for block in section(run, folder).blocks] == ["Examples, greedy"]


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("evaluations/greedy/evaluation.json", "evaluate"),
        ("classifications/votes/classification.json", "classify"),
        ("over_optimisation.json", "over-optimisation"),
    ],
)
def test_a_file_of_another_program_is_named(tmp_path, name, command):
    folder = write_run(tmp_path / "a")
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    for strange in ([], {"accuracy": 1}):
        (folder / name).write_text(json.dumps(strange))
        with pytest.raises(InputError, match=rf"{name}: .* softpref {command}"):
            read_run(folder)


def test_a_head_to_head_of_another_program_is_named(tmp_path):
    (tmp_path / "duels").mkdir()
    (tmp_path / "duels" / "head_to_head.json").write_text("{}")
    with pytest.raises(InputError, match=r"head_to_head.json: object missing required field models; .* softpref head-to-head"):
        read_folders([tmp_path / "duels"])
