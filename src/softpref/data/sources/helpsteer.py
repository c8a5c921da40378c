"""NVIDIA's HelpSteer2 (Wang et al. 2024, arXiv 2406.08673 and 2410.01257) and HelpSteer3 (arXiv 2505.11475).

https://huggingface.co/datasets/nvidia/HelpSteer2: ``prompt``, ``response`` and five ratings from 0 to 4; the two responses to a
prompt stand on neighbouring rows. Its preferences (``--data_dir preference``) have ``prompt``, ``response_1``, ``response_2``,
``split``, ``preference_strength`` and ``all_preferences_unprocessed``: [{strength, justification}, …]. In a prompt of several
turns, ``<extra_id_1>Assistant`` and ``<extra_id_1>User`` stand between them.

https://huggingface.co/datasets/nvidia/HelpSteer3, subset ``preference``: ``context`` (messages), ``response1``, ``response2``,
``overall_preference``, ``individual_preference``: [{score, reasoning, …}, …], ``domain``, ``language``.

A strength or score goes from −3 (response 1 is much better) over 0 (about the same) to 3 (response 2 is much better); −100 says
that neither response is valid, and is no vote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from softpref.data.pairs import Message
from softpref.data.sources.rows import (
    LeftOutError,
    PairRow,
    Row,
    RowFaultError,
    inner,
    items,
    signed_votes,
    text,
    user,
    voted,
)

MUCH = 3
_TURN = re.compile(r"\n?<extra_id_1>(User|Assistant)\n")


def rated(rows: Sequence[Row]) -> Iterator[PairRow]:
    """HelpSteer2: both responses to one prompt, their helpfulness as rewards; ``reading.reward_scale`` makes p of them."""
    if len(rows) != 2:
        raise LeftOutError(f"a prompt with {len(rows)} response{'s' * (len(rows) > 1)}, not two")
    first, second = sorted(rows, key=lambda row: -_number(row, "helpfulness"))
    yield {
        "prompt": _turns(text(first, "prompt")),
        "chosen": text(first, "response"),
        "rejected": text(second, "response"),
        "chosen_reward": _number(first, "helpfulness"),
        "rejected_reward": _number(second, "helpfulness"),
    }


def prompt_of(row: Row) -> str:
    """By what neighbouring rows of HelpSteer2 belong together."""
    return text(row, "prompt")


def votes_2(row: Row) -> Iterator[PairRow]:
    """HelpSteer2's preferences: a vote of each annotator, before the publishers left the odd ones out."""
    scores = _scores(items(row, "all_preferences_unprocessed"), "strength")
    yield voted(
        _turns(text(row, "prompt")),
        text(row, "response_1"),
        text(row, "response_2"),
        signed_votes(scores),
        meta=_meta_2(row),
    )


def strength_2(row: Row) -> Iterator[PairRow]:
    """HelpSteer2's preferences: p from how much better the response is."""
    label = _strength(_number(row, "preference_strength"))
    yield _labelled(_turns(text(row, "prompt")), text(row, "response_1"), text(row, "response_2"), label, meta=_meta_2(row))


def votes_3(row: Row) -> Iterator[PairRow]:
    """HelpSteer3: a vote of each annotator, of whom there are up to three."""
    scores = _scores(items(row, "individual_preference"), "score")
    yield voted(_context(row), text(row, "response1"), text(row, "response2"), signed_votes(scores), meta=_meta_3(row))


def strength_3(row: Row) -> Iterator[PairRow]:
    """HelpSteer3: p from how much better the response is."""
    label = _strength(_number(row, "overall_preference"))
    yield _labelled(_context(row), text(row, "response1"), text(row, "response2"), label, meta=_meta_3(row))


def _strength(preference: float) -> float:
    """p = (3 − x) / 6: −3 is 1, 0 is ½, 3 is 0. A straight line is our choice; the data say only the order."""
    if abs(preference) > MUCH:
        raise LeftOutError("neither response is valid")
    return (MUCH - preference) / (2 * MUCH)


def _labelled(prompt: list[Message], first: str, second: str, label: float, **rest: Any) -> PairRow:
    source = {"method": "strength of preference", "formula": "(3 - x) / 6"}
    return {
        "prompt": prompt,
        "response_1": first,
        "response_2": second,
        "soft_label": label,
        "label_source": source,
        **rest,
    }


def _scores(annotations: Sequence[Row], name: str) -> list[float]:
    found = [_number(one, name) for one in annotations]
    valid = [score for score in found if abs(score) <= MUCH]
    if not valid:
        raise LeftOutError("nobody's preference is there")
    return valid


def _number(row: Row, name: str) -> float:
    value = inner(row, name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RowFaultError(name, f"is no number ({value!r})")
    return value


def _turns(prompt: str) -> list[Message]:
    first, *parts = _TURN.split(prompt)
    later = zip(parts[::2], parts[1::2], strict=True)
    return user(first) + [{"role": speaker.lower(), "content": said} for speaker, said in later]


def _context(row: Row) -> list[Message]:
    return [{"role": text(turn, "role"), "content": text(turn, "content")} for turn in items(row, "context")]


def _meta_2(row: Row) -> dict[str, Any]:
    return {"split": row.get("split"), "strength": row.get("preference_strength")}


def _meta_3(row: Row) -> dict[str, Any]:
    return {"domain": row.get("domain"), "language": row.get("language"), "strength": row.get("overall_preference")}
