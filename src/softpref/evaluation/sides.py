"""The two sides of a comparison, whatever they come from, brought together on the prompts that both have.

A side is a model or an adapter (a folder or Hub name), a file of responses (rows with ``prompt`` and ``response``), or a
column of the data. All become the same: for each prompt the list of its responses.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from softpref.data.formats import read_numbered_prompts
from softpref.data.pairs import TEMPLATE_FIELDS, Text
from softpref.data.rendering import AnyPrompt, prompt_with
from softpref.errors import InputError, OptionError
from softpref.evaluation.naming import FILE_SUFFIXES
from softpref.evaluation.responses import from_column, generated
from softpref.generation.sampling import Response, Sampling
from softpref.records.figures import LeftOut


@dataclass(frozen=True)
class Prompts:
    """The prompts of a comparison, in order, each with the row that it stands in. A prompt may stand there twice."""

    texts: tuple[Text, ...]
    rows: tuple[tuple[int, dict[str, Any]], ...] = ()
    name: str = ""

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def asked(self) -> list[AnyPrompt]:
        """The prompts as a model is asked them: with the tools and template arguments of their rows."""
        beside = [{key: row.get(key) for key in TEMPLATE_FIELDS} for _, row in self.rows] or [{}] * len(self)
        return [prompt_with(text, **given).bare for text, given in zip(self.texts, beside, strict=True)]


@dataclass(frozen=True)
class Answers:
    """What one side says: responses by the place of their prompt, and the model's own account where there is one.

    ``unasked`` counts responses of a file whose prompt is not among the prompts.
    """

    name: str
    by_place: Mapping[int, Sequence[Text]]
    generated: Sequence[Response] = ()
    unasked: int = 0


@dataclass(frozen=True)
class Paired:
    """Aligned responses of two sides, (N,) each, the place of each one's prompt, and what was left out."""

    places: tuple[int, ...] = ()
    ours: tuple[Text, ...] = ()
    theirs: tuple[Text, ...] = ()
    left_out: LeftOut = field(default_factory=LeftOut)


# --- prompts --------------------------------------------------------------------------------------------------------------


def read_prompts_of(data: str | Path | None, sides: Sequence[str]) -> Prompts:
    """The prompts to compare on: those of ``data``, or, where every side is a file of responses, all that stand in them.

    Raises OptionError where there is no data and a side is a model; DataError for rows that are wrong.
    """
    if data is not None:
        rows = read_numbered_prompts(data)
        return Prompts(tuple(row["prompt"] for _, row in rows), tuple(rows), str(data))
    models = [side for side in sides if not is_file_of_responses(side)]
    if models:
        raise OptionError(f"data is needed: {models[0]} is no file of responses, so it must be told the prompts")
    found = {_key(prompt): prompt for side in sides for prompt, _ in _rows_of(side)}
    return Prompts(tuple(found.values()))


# --- sides ----------------------------------------------------------------------------------------------------------------


def is_file_of_responses(side: str) -> bool:
    """Whether a side is named by a file; a folder of that name is a model."""
    return side.endswith(FILE_SUFFIXES) and not Path(side).is_dir()


def answers_given(side: str, name: str, prompts: Prompts, columns: Collection[str] = ()) -> Answers | None:
    """Responses that stand somewhere already: in a column of the data, or in a file. None for a model, which must be asked."""
    if side in columns:
        return answers_from_column(prompts, side)
    return answers_from_file(side, name, prompts) if is_file_of_responses(side) else None


def answers_from_file(path: str, name: str, prompts: Prompts) -> Answers:
    """The responses in a file, to the prompts that have the same text. Raises InputError naming the row that has none.

    A prompt may have several responses, in the file's order. Where one stands twice among the prompts, it meets them twice.
    """
    by_key: dict[str, list[Text]] = defaultdict(list)
    for prompt, response in _rows_of(path):
        by_key[_key(prompt)].append(response)
    keys = [_key(prompt) for prompt in prompts.texts]
    asked = set(keys)
    by_place = {i: by_key[key] for i, key in enumerate(keys) if key in by_key}
    return Answers(name, by_place, unasked=sum(len(found) for key, found in by_key.items() if key not in asked))


def _rows_of(path: str) -> list[tuple[Text, Text]]:
    rows = read_numbered_prompts(path)
    responses = from_column(rows, "response", path)
    return [(row["prompt"], response) for (_, row), response in zip(rows, responses, strict=True)]


def _key(prompt: Text) -> str:
    return json.dumps(prompt, sort_keys=True)


def answers_from_column(prompts: Prompts, column: str) -> Answers:
    """The responses in a column of the data: one for every prompt. Raises InputError naming the first row without one."""
    found = from_column(prompts.rows, column, prompts.name)
    return Answers(column, {i: [text] for i, text in enumerate(found)})


def answers_from_model(
    model: str,
    name: str,
    prompts: Prompts,
    places: Sequence[int],
    sampling: Sampling,
    file: Path,
    on_batch: Callable[[int], None] | None = None,
) -> Answers:
    """Responses generated for the prompts at these places; on disk as they come, see ``generated``."""
    found = generated(model, [prompts.asked[i] for i in places], sampling, file, on_batch)
    by_place: dict[int, list[Text]] = defaultdict(list)
    for response in found:
        by_place[places[response.prompt]].append(response.text)
    return Answers(name, by_place, found)


# --- together -------------------------------------------------------------------------------------------------------------


def pair_up(ours: Answers, theirs: Answers, prompts: Prompts) -> Paired:
    """Sample k against sample k, on every prompt that both answer; a side's only response meets all of the other's.

    What has no partner is counted. Raises InputError when no prompt is left.
    """
    rows: list[tuple[int, Text, Text]] = []
    left = ours.unasked + theirs.unasked
    only = {"ours": 0, "theirs": 0, "neither": 0}
    for place in range(len(prompts)):
        a, b = ours.by_place.get(place, ()), theirs.by_place.get(place, ())
        if not a or not b:
            only["ours" if a else "theirs" if b else "neither"] += 1
            continue
        n = max(len(a), len(b)) if 1 in (len(a), len(b)) else min(len(a), len(b))
        rows += [(place, a[k % len(a)], b[k % len(b)]) for k in range(n)]
        left += max(len(a) - n, 0) + max(len(b) - n, 0)
    if not rows:
        raise InputError(
            f"{ours.name} and {theirs.name} answer no prompt in common: their prompts must be the same, letter for letter"
        )
    places, first, second = zip(*rows, strict=True)
    return Paired(places, first, second, LeftOut(only["ours"], only["theirs"], only["neither"], left))
