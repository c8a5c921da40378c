"""PlanWorld's tasks, its gold score and its imperfect authors."""

import string
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from softpref.demo.plan_world import (
    AUTHORS,
    damaged,
    damaged_pairs,
    draft,
    find_task,
    gold,
    pairs,
    read_plan,
    sft_rows,
    short,
    split,
    tasks,
    thorough,
    vocabulary,
    words,
    write_plan,
)
from softpref.errors import InputError

TASKS = tasks()
STEPS = sorted({step for task in TASKS for step in task.steps})


def rng(seed=0):
    return np.random.default_rng(seed)


def task_called(prompt):
    return find_task(prompt + ":")


# -------------------------------------------------------------------------------------------------- tasks


def test_a_task_is_an_activity_edited_by_its_options():
    """make tea = boil · warm · leaves · pour · milk · set the table · serve. For two: set two places; without milk:
    the milk goes; in a hurry: a timer comes first."""
    task = task_called("make tea for two, without milk, in a hurry")
    assert task.prompt == "make tea for two, without milk, in a hurry:\n"
    assert task.best == (
        "set a timer. boil the water. warm the pot. add the tea leaves. pour the water. set two places. serve the tea."
    )


def test_an_addition_may_lean_on_a_step_that_another_option_replaces():
    """With icing stands before set the table, which the neighbours turn into carry it next door."""
    steps = task_called("bake a cake for the neighbours, with icing").steps
    assert steps[-3:] == ("spread the icing", "carry it next door", "serve the cake")


def test_the_world_has_a_useful_size():
    assert len(TASKS) == 5 * 3 * 4 * 4 * 4
    assert len({task.prompt for task in TASKS}) == len(TASKS)
    assert len(vocabulary()) < 500


@pytest.mark.parametrize("family", sorted({task.family for task in TASKS}))
def test_every_task_is_short_and_without_repeats(family):
    for task in TASKS:
        if task.family == family:
            assert len(set(task.steps)) == len(task.steps) <= 12
            assert len(words(task.prompt + task.best)) <= 80
            assert all(len(words(step)) <= 5 for step in task.steps)


def test_every_task_can_be_written_badly():
    for task in TASKS:
        assert task.forgotten
        assert task.early
        assert len(task.steps) - len(task.forgotten) >= 2, "a slip needs two neighbours"
        assert task.steps[0] not in task.early, "it could not come earlier"


def test_a_part_means_one_thing():
    """No phrase is an option of two families or of two activities: whoever has seen a part knows its edit."""
    families = {}
    for task in TASKS:
        for part in task.parts:
            families.setdefault(part, set()).add(task.family)
    assert all(len(found) == 1 for found in families.values())


def test_the_prompt_finds_its_task_whatever_its_blanks():
    for task in TASKS:
        assert find_task(task.prompt) is task
        assert find_task(" ".join(words(task.prompt))) is task


def test_an_unknown_prompt_is_an_input_error():
    with pytest.raises(InputError, match="not a prompt of PlanWorld"):
        gold("make gold without lead:\n", "boil the lead.")


# -------------------------------------------------------------------------------------------------- splits


def test_splits_share_no_task_and_train_knows_every_part():
    parts = split(TASKS, rng())
    prompts = [{task.prompt for task in part} for part in parts]
    assert [len(part) for part in parts] == [768, 96, 96]
    assert len(set.union(*prompts)) == len(TASKS)
    taught = {part for task in parts.train for part in task.parts}
    assert taught == {part for task in TASKS for part in task.parts}


@given(st.integers(0, 2**32 - 1), st.integers(0, 100), st.integers(1, 60), st.floats(0, 1))
def test_train_knows_every_part_however_few_tasks_there_are(seed, start, n, held_out):
    few = TASKS[start : start + n]
    train, validation, test = split(few, rng(seed), held_out)
    assert len(train) + len(validation) + len(test) == len(few)
    assert {p for t in train for p in t.parts} == {p for t in few for p in t.parts}


def test_the_seed_decides_everything():
    def made(seed):
        random = rng(seed)
        train = split(TASKS, random).train
        return train, sft_rows(train, random, 50), pairs(train, random, 50)

    assert made(1) == made(1)
    assert all(one != other for one, other in zip(made(1), made(2), strict=True))


# -------------------------------------------------------------------------------------------------- text


@given(st.lists(st.sampled_from(STEPS)))
def test_reading_gives_back_what_was_written(steps):
    assert read_plan(write_plan(steps)) == steps


def test_reading_bears_with_blanks_lines_and_capitals():
    assert read_plan(" Boil the  water .\nwarm the pot\n\n. . ") == ["boil the water", "warm the pot"]


def test_the_vocabulary_holds_all_that_is_written():
    rows = sft_rows(TASKS, rng(), 2000) + pairs(TASKS, rng(), 2000)
    assert {word for row in rows for text in row.values() for word in words(text)} <= set(vocabulary())


# -------------------------------------------------------------------------------------------------- gold


def test_gold_of_a_plan_worked_by_hand():
    """Seven steps are needed. Boil, leaves, milk, serve are in place: 4. Pour comes before leaves, so it is out of
    order: ½. Warm the pot and set the table are missing: 0. One repeated and one foreign step cost ½ each.
    (4 + ½ − 1) / 7 = ½."""
    plan = "boil the water. pour the water. add the tea leaves. add the milk. add the milk. heat the oven. serve the tea."
    assert gold(task_called("make tea"), plan) == pytest.approx(0.5)


def test_the_best_plan_of_every_task_has_gold_one():
    for task in TASKS:
        assert gold(task, task.best) == gold(task.prompt, task.best) == 1


def test_an_empty_plan_and_another_tasks_plan_have_gold_zero():
    assert gold("make tea:", "") == 0
    assert gold("make tea:", task_called("write a report").best) == 0


@st.composite
def task_and_plan(draw, *, foreign=0):
    """A task and some of its steps in any order, with up to so many foreign ones between them."""
    task = draw(st.sampled_from(TASKS))
    kept = draw(st.lists(st.sampled_from(task.steps), unique=True, min_size=1))
    others = [step for step in STEPS if step not in task.steps]
    return task, draw(st.permutations(kept + draw(st.lists(st.sampled_from(others), max_size=foreign))))


@given(task_and_plan(foreign=2), st.data())
def test_dropping_a_needed_step_lowers_gold(drawn, data):
    task, plan = drawn
    needed = data.draw(st.sampled_from([step for step in plan if step in task.steps]))
    before, after = gold(task, write_plan(plan)), gold(task, write_plan(s for s in plan if s != needed))
    assert after < before or after == before == 0


@given(task_and_plan(foreign=2), st.data())
def test_a_foreign_step_anywhere_lowers_gold(drawn, data):
    task, plan = drawn
    stranger = data.draw(st.sampled_from([step for step in STEPS if step not in task.steps]))
    i = data.draw(st.integers(0, len(plan)))
    before, after = gold(task, write_plan(plan)), gold(task, write_plan([*plan[:i], stranger, *plan[i:]]))
    assert after < before or after == before == 0


@given(task_and_plan(foreign=2), st.data())
def test_repeating_a_step_lowers_gold(drawn, data):
    task, plan = drawn
    i = data.draw(st.integers(0, len(plan) - 1))
    j = data.draw(st.integers(i + 1, len(plan)))
    before, after = gold(task, write_plan(plan)), gold(task, write_plan([*plan[:j], plan[i], *plan[j:]]))
    assert after < before or after == before == 0


@given(st.sampled_from(TASKS), st.data())
def test_swapping_two_steps_of_the_best_plan_lowers_gold(task, data):
    i, j = sorted(data.draw(st.lists(st.integers(0, len(task.steps) - 1), min_size=2, max_size=2, unique=True)))
    steps = list(task.steps)
    steps[i], steps[j] = steps[j], steps[i]
    assert gold(task, write_plan(steps)) < 1


@given(task_and_plan(), st.data())
def test_swapping_neighbours_that_stood_right_never_raises_gold(drawn, data):
    task, plan = drawn
    assume(len(plan) > 1)
    i = data.draw(st.integers(0, len(plan) - 2))
    right, wrong = sorted(plan[i : i + 2], key=task.steps.index), sorted(plan[i : i + 2], key=task.steps.index)[::-1]
    before = gold(task, write_plan([*plan[:i], *right, *plan[i + 2 :]]))
    assert gold(task, write_plan([*plan[:i], *wrong, *plan[i + 2 :]])) <= before


@given(task_and_plan(foreign=1))
def test_only_the_best_plan_has_gold_one(drawn):
    task, plan = drawn
    assert (gold(task, write_plan(plan)) == 1) == (tuple(plan) == task.steps)


@given(st.sampled_from(TASKS), st.text() | st.text(alphabet=string.ascii_lowercase + ". \n"))
def test_garbage_has_gold_zero(task, text):
    assert gold(task, text) == 0


@given(st.sampled_from(TASKS), st.lists(st.sampled_from(vocabulary()), max_size=80))
def test_any_string_of_the_worlds_words_has_a_gold_between_zero_and_one(task, said):
    assert 0 <= gold(task, " ".join(said)) <= 1


# -------------------------------------------------------------------------------------------------- authors


def test_an_author_with_all_care_writes_the_best_plan():
    assert all(draft(task, rng(), care=1) == task.best for task in TASKS)


def test_more_care_writes_better_plans():
    means = [np.mean([gold(task, draft(task, rng(i), care)) for i, task in enumerate(TASKS)]) for care in (0, 0.5, 1)]
    assert means[0] < means[1] - 0.1 < means[2] - 0.2


def test_the_habits_win_on_average():
    assert np.mean(list(AUTHORS.values())) < 0.5


def test_the_likeliest_plan_is_not_the_best_but_the_best_is_written():
    for task in TASKS[::37]:
        written = Counter(row["completion"] for row in sft_rows([task], rng(), 600))
        assert 0 < written[task.best] < written.most_common(1)[0][1]


def test_every_task_gets_its_turn():
    turns = Counter(row["prompt"] for row in sft_rows(TASKS, rng(), 2 * len(TASKS) + 5))
    assert set(turns.values()) == {2, 3}
    assert len(turns) == len(TASKS)


def test_the_sides_of_a_pair_differ_and_neither_side_is_favoured():
    rows = pairs(TASKS, rng(), 3000)
    assert all(row["response_1"] != row["response_2"] for row in rows)
    gaps = np.array([gold(row["prompt"], row["response_1"]) - gold(row["prompt"], row["response_2"]) for row in rows])
    assert abs(gaps.mean()) < 4 * gaps.std() / np.sqrt(len(gaps))


def test_the_gaps_of_the_pairs_spread():
    """So that Bradley–Terry labels fill [½, 1] rather than pile up at its ends."""
    rows = pairs(TASKS, rng(), 3000)
    gaps = np.abs([gold(row["prompt"], row["response_1"]) - gold(row["prompt"], row["response_2"]) for row in rows])
    assert np.mean(gaps == 0) < 0.15
    assert np.quantile(gaps, 0.25) < 0.1 < 0.2 < np.quantile(gaps, 0.75) < 0.5


# -------------------------------------------------------------------------------------------------- two more criteria


def test_thorough_counts_needed_steps_in_any_order():
    task = TASKS[0]
    backwards = write_plan(reversed(task.steps))
    assert thorough(task, backwards) == 1
    assert thorough(task, backwards + " sing a song.") == 1
    assert thorough(task, write_plan(task.steps[:2])) == pytest.approx(2 / len(task.steps))
    assert thorough(task.prompt, "") == 0


def test_short_counts_steps_whatever_they_are():
    task = TASKS[0]
    n = len(task.steps)
    assert short(task, "") == 1
    assert short(task, write_plan(["hum"] * n)) == 0.5
    assert short(task, write_plan(["hum"] * (2 * n + 3))) == 0
    assert short(task.prompt, write_plan(task.steps[:1])) == pytest.approx(1 - 1 / (2 * n))


def test_the_two_criteria_conflict():
    task = TASKS[0]
    more, fewer = write_plan(task.steps), write_plan(task.steps[:-2])
    assert thorough(task, more) > thorough(task, fewer)
    assert short(task, more) < short(task, fewer)


@given(st.sampled_from(TASKS), st.integers(0, 2**32 - 1))
def test_a_damaged_plan_is_worth_no_more_than_the_best(task, seed):
    text = damaged(task, rng(seed))
    assert gold(task, text) <= 1
    assert {*read_plan(text)} <= {*STEPS}


def test_damage_of_every_kind_is_done():
    task, generator = TASKS[0], rng()
    plans = [read_plan(damaged(task, generator)) for _ in range(60)]
    kinds = Counter((len(plan) > len(task.steps)) - (len(plan) < len(task.steps)) for plan in plans)
    assert min(kinds[-1], kinds[0], kinds[1]) >= 10
    assert all(len(plan) == len(task.steps) + 2 for plan in plans if len(plan) > len(task.steps))


def test_damaged_pairs_differ_and_belong_to_their_task():
    for row in damaged_pairs(TASKS[:10], rng(), 30):
        assert row["response_1"] != row["response_2"]
        find_task(row["prompt"])
