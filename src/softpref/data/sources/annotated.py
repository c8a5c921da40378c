"""What annotation tools export of pairs: Argilla's records and Label Studio's tasks.

Argilla (``rg.Dataset.records.to_list()`` or ``to_json``): {id, fields: {prompt, response_a, response_b}, metadata, status,
responses: {QUESTION: [{value, user_id, status?}, …]}, suggestions: {…}}. A value is a label that names a side, or a ranking
[{value, rank}, …]. Argilla 1 has ``fields`` and a column QUESTION of [{user_id, value, status}, …].

Label Studio (JSON export): {id, data: {prompt, answer1, answer2}, annotations: [{completed_by, was_cancelled, result: [{type:
pairwise, value: {selected: left}}]}], predictions: […]}. ``left`` is the first of the two columns.

The names of fields are the user's own: the two sides are columns that ``read_pairs`` would take for them, and the prompt is
``prompt``, ``instruction``, ``question`` or ``context``. Left out are suggestions and predictions, which nobody has confirmed,
drafts, and what was discarded or cancelled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from softpref.data.read_options import ReadOptions
from softpref.data.side_columns import side_columns
from softpref.data.sources.rows import LeftOutError, PairRow, Row, RowFaultError, inner, items, named_votes, text
from softpref.data.verdicts import P_OF, SideNames, side_names

PROMPTS = ("prompt", "instruction", "question", "context")
NOBODY = "nobody has submitted a verdict"
UNNAMED = "no answer names one of the two sides"


def argilla(row: Row) -> Iterator[PairRow]:
    """One record: a vote of everybody who has submitted one."""
    fields = inner(row, "fields")
    prompt, sides, names = _fields(fields, "fields")
    given = row["responses"] if isinstance(row.get("responses"), Mapping) else row
    answers = {name: value for name, value in given.items() if isinstance(value, list) and _are_answers(value)}
    cast = {name: dict(_argilla_votes(value, names)) for name, value in answers.items()}
    sure = {name: {who: p for who, p in votes.items() if p is not None} for name, votes in cast.items()}
    found = {name: votes for name, votes in sure.items() if votes and len(votes) == len(cast[name])}
    if len(found) > 1:
        raise RowFaultError(" and ".join(found), "are two questions about which side is better", "keep one of them")
    if not found:
        raise LeftOutError(UNNAMED if any(cast.values()) else NOBODY)
    [votes] = found.values()
    yield _pair(fields, prompt, sides, votes, row)


def label_studio(row: Row) -> Iterator[PairRow]:
    """One task: a vote of everybody whose annotation was not cancelled."""
    data = inner(row, "data")
    prompt, sides, names = _fields(data, "data")
    votes = {}
    for place, one in enumerate(items(row, "annotations"), start=1):
        said = None if one.get("was_cancelled") else _selected(one)
        verdict = None if said is None else {"left": "first", "right": "second"}.get(said) or names.verdict(said)
        if said is not None and verdict is None:
            raise RowFaultError("annotations.result", f"selects {said!r}, which names no side", "give left or right")
        if verdict is not None:
            votes[_who(one.get("completed_by"), place)] = P_OF[verdict]
    if not votes:
        raise LeftOutError(NOBODY)
    yield _pair(data, prompt, sides, votes, row)


def _fields(fields: Any, name: str) -> tuple[str, tuple[str, str], SideNames]:
    """The column of the prompt, those of the two sides, and the words by which values name them."""
    if not isinstance(fields, Mapping):
        raise RowFaultError(name, "is no object")
    prompt = next((one for one in PROMPTS if one in fields), None)
    if prompt is None:
        raise RowFaultError(name, f"holds no prompt ({', '.join(PROMPTS)})", "rename the field")
    rest = [one for one in fields if one != prompt]
    sides = side_columns([one.replace("-", "_") for one in rest])
    by_word = {one.replace("-", "_"): one for one in rest}
    if len(sides) != 1 or not set(sides[0].names) <= by_word.keys():
        raise RowFaultError(name, f"holds no two sides ({', '.join(rest)})", "call them response_1 and response_2")
    first, second = sides[0].names
    return prompt, (by_word[first], by_word[second]), side_names(first, second, ReadOptions())


def _pair(fields: Row, prompt: str, sides: tuple[str, str], votes: Mapping[str, float], row: Row) -> PairRow:
    identity = {} if row.get("id") is None else {"id": str(row["id"])}
    metadata = row.get("metadata")
    meta = dict(metadata) if isinstance(metadata, Mapping) else {}
    return named_votes(text(fields, prompt), text(fields, sides[0]), text(fields, sides[1]), votes, **identity, meta=meta)


def _are_answers(value: list[Any]) -> bool:
    return bool(value) and all(isinstance(one, Mapping) and {"user_id", "value"} <= one.keys() for one in value)


def _argilla_votes(answers: list[Any], names: SideNames) -> Iterator[tuple[str, float | None]]:
    for answer in answers:
        if answer.get("status", "submitted") == "submitted" and answer["value"] is not None:
            yield str(answer["user_id"]), _argilla_vote(answer["value"], names)


def _argilla_vote(value: Any, names: SideNames) -> float | None:
    if not isinstance(value, list):
        verdict = names.verdict(value)
        return None if verdict is None else P_OF[verdict]
    ranks = {names.verdict(str(one.get("value")).replace("-", "_")): one.get("rank") for one in value if isinstance(one, Mapping)}
    first, second = ranks.get("first"), ranks.get("second")
    if not isinstance(first, int) or not isinstance(second, int):
        return None
    return 0.5 if first == second else float(first < second)


def _selected(annotation: Row) -> str | None:
    for one in items(annotation, "result"):
        value = one.get("value") if isinstance(one, Mapping) else None
        if not isinstance(value, Mapping):
            continue
        if isinstance(value.get("selected"), str):
            return str(value["selected"])
        choices = value.get("choices")
        if isinstance(choices, list) and len(choices) == 1:
            return str(choices[0])
    return None


def _who(person: Any, place: int) -> str:
    if isinstance(person, Mapping):
        person = person.get("id")
    return f"annotation {place}" if person is None else str(person)
