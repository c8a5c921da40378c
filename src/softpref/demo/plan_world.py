"""PlanWorld: a small generated world of plans, on which a tiny model can be trained from scratch and judged exactly.

It stands in for Plasma Plan (arXiv 2409.06691, §4), whose plans a judge compares by the criterion *well ordered,
complete, informative, no repeated steps*. A task combines parts ("make tea" · "for two" · "without milk"), so a model
that has seen the parts can solve a combination it has not seen. Each task has one best plan, ``gold`` scores any text
against it, and ``draft`` writes as its authors do: they leave out the steps that are easily forgotten and write others
too early, more often than not, so the *likeliest* plan is not the best one and there is something to prefer.

The tasks' words are data: ``plan_world.yaml``. Here is what is done with them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
import yaml

from softpref.errors import InputError

# How carefully an author writes: the probability of keeping a step that is easily forgotten, and of not writing an
# early step too early. Their mean lies below ½, so both habits win in the likeliest plan.
AUTHORS: Mapping[str, float] = {"careless": 0.1, "ordinary": 0.35, "careful": 0.7}
# Slips nobody has a habit of: two neighbours swapped, a step repeated, a step of another plan. The probability of each
# for an author without any care; a careful one makes fewer.
SLIP = 0.15

TOKEN = re.compile(r"\w+|[^\w\s]")
Edit = Mapping[str, str]


@dataclass(frozen=True)
class Task:
    """One combination of parts, its best plan, and the habits that spoil it."""

    family: str
    parts: tuple[str, ...]
    steps: tuple[str, ...]
    forgotten: frozenset[str]
    early: frozenset[str]

    @property
    def prompt(self) -> str:
        """What a model is given: ``make tea for two, without milk:`` and the end of the line."""
        activity, *options = self.parts
        return f"{activity} {', '.join(options)}".strip() + ":\n"

    @property
    def best(self) -> str:
        """The one plan whose gold is 1."""
        return write_plan(self.steps)


class Splits(NamedTuple):
    """Tasks to learn from, to choose by, and to report on. No combination is in two of them."""

    train: list[Task]
    validation: list[Task]
    test: list[Task]


# ------------------------------------------------------------------------------------------------ the tasks


@cache
def tasks() -> tuple[Task, ...]:
    """Every combination: each activity, with at most one option of each of its three groups."""
    return tuple(
        _task(name, family, activity, choice)
        for name, family in _world().items()
        for activity, own in family["activities"].items()
        for choice in itertools.product(*([None, *group] for group in (family["who"], own["options"], family["when"])))
    )


@cache
def _world() -> dict[str, Any]:
    text = files("softpref.demo").joinpath("plan_world.yaml").read_text(encoding="utf-8")
    world: dict[str, Any] = yaml.safe_load(text)
    return world


def _task(name: str, family: dict[str, Any], activity: str, choice: Sequence[str | None]) -> Task:
    own = family["activities"][activity]
    options = [option for option in choice if option]
    known: dict[str, Edit] = {**family["who"], **own["options"], **family["when"]}
    steps = _edited(own["steps"], [known[option] for option in options])
    habits = (frozenset(family[habit]).intersection(steps) for habit in ("forgotten", "early"))
    return Task(name, (activity, *options), tuple(steps), *habits)


def _edited(steps: Iterable[str], edits: Sequence[Edit]) -> list[str]:
    """Additions first, so that an edit may stand before a step that another edit replaces or drops."""
    steps = list(steps)
    for edit in edits:
        if "add" in edit:
            steps.insert(steps.index(edit["before"]), edit["add"])
    replaced = {edit["replace"]: edit["by"] for edit in edits if "replace" in edit}
    dropped = {edit["drop"] for edit in edits if "drop" in edit}
    first = [edit["first"] for edit in edits if "first" in edit]
    last = [edit["last"] for edit in edits if "last" in edit]
    return first + [replaced.get(step, step) for step in steps if step not in dropped] + last


def split(all_tasks: Sequence[Task], rng: np.random.Generator, held_out: float = 0.2) -> Splits:
    """Hold out a share of the combinations, half to choose by and half to report on; every part occurs in train."""
    order = [all_tasks[i] for i in rng.permutation(len(all_tasks))]
    seen: set[str] = set()
    teachers: list[Task] = []
    others: list[Task] = []
    for task in order:
        (others if seen.issuperset(task.parts) else teachers).append(task)
        seen.update(task.parts)
    half = min(round(len(order) * held_out / 2), len(others) // 2)
    return Splits(teachers + others[2 * half :], others[:half], others[half : 2 * half])


# ------------------------------------------------------------------------------------------------ plans as text


def write_plan(steps: Iterable[str]) -> str:
    """One line, each step ended by a full stop: ``boil the water. warm the pot.`` for those two steps."""
    return " ".join(f"{step}." for step in steps)


def read_plan(text: str) -> list[str]:
    """The steps of any text: what stands between full stops or line breaks, in lower case, its blanks made even."""
    pieces = (" ".join(piece.split()) for piece in re.split(r"[.\n]", text.lower()))
    return [piece for piece in pieces if piece]


def words(text: str) -> list[str]:
    """Words and punctuation marks, each a token of the world's vocabulary."""
    return TOKEN.findall(text)


@cache
def vocabulary() -> tuple[str, ...]:
    """Every token that a prompt, a plan or a draft can hold, sorted."""
    return tuple(sorted({word for task in tasks() for word in words(task.prompt + task.best)}))


# ------------------------------------------------------------------------------------------------ gold


def gold(task: Task | str, text: str) -> float:
    """How good a plan is, in [0, 1]; 1 for the best plan only. ``task`` may be given by its prompt.

    A needed step in its place earns 1, out of order ½, missing 0; a step repeated or foreign costs ½. The sum is
    divided by the number of steps needed and never falls below 0. "In place" are the most steps that can stay while the
    rest move (the longest common subsequence with the best plan); only a step's first mention counts.

    Four steps a b c d are needed, and the plan says ``a c b b x``: a and c are in place (1 each), b is out of order
    (½), d is missing, b's repetition and the foreign x cost ½ each. Gold is (2 + ½ − 1) / 4 = 0.375.
    """
    needed = (find_task(task) if isinstance(task, str) else task).steps
    said = read_plan(text)
    present = [step for step in dict.fromkeys(said) if step in needed]
    in_place = _longest_rising([needed.index(step) for step in present])
    superfluous = len(said) - len(present)
    earned = in_place + (len(present) - in_place) / 2 - superfluous / 2
    return max(0.0, earned / len(needed))


def thorough(task: Task | str, text: str) -> float:
    """Share of the needed steps that a text names, in [0, 1], in whatever order; what is superfluous costs nothing.

    The plan ``a c b b x`` names three of the four needed steps a b c d: 0.75.
    """
    needed = (find_task(task) if isinstance(task, str) else task).steps
    return len({*read_plan(text)}.intersection(needed)) / len(needed)


def short(task: Task | str, text: str) -> float:
    """How short a text is, in [0, 1]: 1 − steps said / (2 · steps needed), never below 0; what is said does not matter.

    The plan ``a c b b x`` says five steps where four are needed: 1 − 5/8 = 0.375.
    """
    needed = (find_task(task) if isinstance(task, str) else task).steps
    return max(0.0, 1 - len(read_plan(text)) / (2 * len(needed)))


def find_task(prompt: str) -> Task:
    """The task a prompt asks for. Blanks do not count: a tokenizer may have changed them."""
    try:
        return _by_words()[tuple(words(prompt))]
    except KeyError:
        raise InputError(f"not a prompt of PlanWorld: {prompt!r}") from None


@cache
def _by_words() -> dict[tuple[str, ...], Task]:
    return {tuple(words(task.prompt)): task for task in tasks()}


def _longest_rising(numbers: Sequence[int]) -> int:
    """The length of the longest rising subsequence. Plans are short, so the quadratic way will do."""
    best: list[int] = []
    for i, number in enumerate(numbers):
        best.append(1 + max((best[j] for j in range(i) if numbers[j] < number), default=0))
    return max(best, default=0)


# ------------------------------------------------------------------------------------------------ imperfect authors


def draft(task: Task, rng: np.random.Generator, care: float) -> str:
    """A plan as an author with this much care writes it; at care 1 the best plan."""
    steps = [step for step in task.steps if step not in task.forgotten or rng.random() < care]
    for i in range(1, len(steps)):
        if steps[i] in task.early and rng.random() >= care:
            _swap_with_previous(steps, i)
    for slip in (_swap_somewhere, _repeat_a_step, _add_a_foreign_step):
        if rng.random() < SLIP * (1 - care):
            slip(task, steps, rng)
    return write_plan(steps)


def _swap_with_previous(steps: list[str], i: int) -> None:
    steps[i - 1 : i + 1] = steps[i], steps[i - 1]


def _swap_somewhere(_: Task, steps: list[str], rng: np.random.Generator) -> None:
    _swap_with_previous(steps, int(rng.integers(1, len(steps))))


def _repeat_a_step(_: Task, steps: list[str], rng: np.random.Generator) -> None:
    i = int(rng.integers(len(steps)))
    steps.insert(int(rng.integers(i + 1, len(steps) + 1)), steps[i])


def _add_a_foreign_step(task: Task, steps: list[str], rng: np.random.Generator) -> None:
    foreign = [step for step in _steps_of(task.family) if step not in task.steps]
    steps.insert(int(rng.integers(len(steps) + 1)), foreign[int(rng.integers(len(foreign)))])


@cache
def _steps_of(family: str) -> tuple[str, ...]:
    return tuple(sorted({step for task in tasks() if task.family == family for step in task.steps}))


# ------------------------------------------------------------------------------------------------ damaged plans


def damaged(task: Task, rng: np.random.Generator) -> str:
    """The best plan, spoilt as no author spoils one: its steps shuffled, its end cut off, or two foreign steps put in."""
    steps = list(task.steps)
    match rng.integers(3):
        case 0:
            steps = [steps[i] for i in rng.permutation(len(steps))]
        case 1:
            steps = steps[: int(rng.integers(1, len(steps)))]
        case _:
            _add_a_foreign_step(task, steps, rng)
            _add_a_foreign_step(task, steps, rng)
    return write_plan(steps)


# ------------------------------------------------------------------------------------------------ rows


def sft_rows(some_tasks: Sequence[Task], rng: np.random.Generator, n: int) -> list[dict[str, str]]:
    """``n`` rows ``prompt, completion``: drafts by authors taken at random, every task about equally often."""
    return [{"prompt": task.prompt, "completion": _anyones_draft(task, rng)} for task in _in_turn(some_tasks, rng, n)]


def pairs(some_tasks: Sequence[Task], rng: np.random.Generator, n: int) -> list[dict[str, str]]:
    """``n`` rows ``prompt, response_1, response_2``: two different drafts, each by an author taken at random."""
    return [_pair(task, rng, _anyones_draft) for task in _in_turn(some_tasks, rng, n)]


def damaged_pairs(some_tasks: Sequence[Task], rng: np.random.Generator, n: int) -> list[dict[str, str]]:
    """``n`` rows like those of ``pairs``, of two plans that differ, each damaged in a way taken at random."""
    return [_pair(task, rng, damaged) for task in _in_turn(some_tasks, rng, n)]


def _pair(task: Task, rng: np.random.Generator, write: Callable[[Task, np.random.Generator], str]) -> dict[str, str]:
    one = other = write(task, rng)
    while other == one:
        other = write(task, rng)
    return {"prompt": task.prompt, "response_1": one, "response_2": other}


def _anyones_draft(task: Task, rng: np.random.Generator) -> str:
    return draft(task, rng, care=float(rng.choice(list(AUTHORS.values()))))


def _in_turn(some_tasks: Sequence[Task], rng: np.random.Generator, n: int) -> list[Task]:
    return [some_tasks[i % len(some_tasks)] for i in rng.permutation(n)]
