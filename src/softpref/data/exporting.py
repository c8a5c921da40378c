"""Pairs in the form that other trainers read. Pure functions of one pair; what a target cannot hold is a fault, not a gap.

All of these trainers learn from hard labels: which side is better, and nothing of how sure that is.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from softpref.data.pairs import Message, PreferencePair, Text, template_columns
from softpref.errors import DataError, Fault

# Roles of messages by LLaMA-Factory's default names.
_SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt"}


class NoPlaceError(Exception):
    """A pair holds something for which the target has no place. The message says what."""


@dataclass(frozen=True)
class Target:
    """One trainer's form of a pair.

    Attributes:
        name: as people call it.
        row: a pair as the target's row. Raises NoPlaceError.
        how: how the target is told to read the file.
        labels: whether the form has a place for soft labels.
    """

    name: str
    row: Callable[[PreferencePair], dict[str, Any]]
    how: str
    labels: bool = False


@dataclass(frozen=True)
class Exported:
    """Rows ready to be written, the ties that were left out, and how often a column had no place."""

    rows: list[dict[str, Any]]
    ties: int = 0
    without_place: Mapping[str, int] = field(default_factory=dict)


def export_pairs(pairs: Iterable[PreferencePair], target: Target, name: str, beside: bool = False) -> Exported:
    """Rows of all pairs in one target's form.

    A tie has no better side, so a target of hard labels gets none of them.

    Args:
        beside: write ``soft_label`` and ``weight`` too where the target has no place for them and ignores them.

    Raises DataError with every pair that the target has no place for.
    """
    rows, faults, ties, without = [], [], 0, Counter[str]()
    for pair in pairs:
        if pair.soft_label == 0.5 and not target.labels:
            ties += 1
            continue
        try:
            row = target.row(pair)
        except NoPlaceError as error:
            faults.append(Fault(pair.row, "messages", f"{error}, for which {target.name} has no place", "leave the row out"))
            continue
        notes = {} if target.labels else _notes(pair)
        rows.append({**row, **{key: value for key, value in notes.items() if beside and key in ("soft_label", "weight")}})
        without.update(key for key in notes if not (beside and key in ("soft_label", "weight")))
    if faults:
        raise DataError(name, faults)
    return Exported(rows, ties, dict(without))


def _notes(pair: PreferencePair) -> dict[str, Any]:
    """What targets of hard labels have no place for, where there is something."""
    weight = None if pair.weight == 1.0 else pair.weight
    notes = {"soft_label": pair.soft_label, "weight": weight, "id": pair.id, "meta": pair.meta}
    return {key: value for key, value in notes.items() if value not in (None, "", {})}


# --- the forms


def _trl(pair: PreferencePair) -> dict[str, Any]:
    return {"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected, **template_columns(pair)}


def _openrlhf(pair: PreferencePair) -> dict[str, Any]:
    _refuse_template(pair)
    return {"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}


def _axolotl(pair: PreferencePair) -> dict[str, Any]:
    _refuse_template(pair)
    sides = {"chosen": _answer(pair.chosen), "rejected": _answer(pair.rejected)}
    turns = [_text_turn(turn) for turn in _turns(pair.prompt)]
    return {"messages": turns, **{name: {"role": "assistant", "content": text} for name, text in sides.items()}}


def _llama_factory(pair: PreferencePair) -> dict[str, Any]:
    _refuse_template(pair)
    turns = [_text_turn(turn) for turn in _turns(pair.prompt)]
    talk = [turn for turn in turns if turn["role"] != "system"]
    if any(turn["role"] != ("user", "assistant")[k % 2] for k, turn in enumerate(talk)) or len(talk) % 2 == 0:
        raise NoPlaceError("a conversation that does not alternate between user and assistant")
    said = [{"from": _SPEAKERS[turn["role"]], "value": turn["content"]} for turn in turns]
    sides = {"chosen": _answer(pair.chosen), "rejected": _answer(pair.rejected)}
    return {"conversations": said, **{name: {"from": "gpt", "value": text} for name, text in sides.items()}}


def _ms_swift(pair: PreferencePair) -> dict[str, Any]:
    _refuse_template(pair)
    turns = [_text_turn(turn) for turn in _turns(pair.prompt)]
    answered = [*turns, {"role": "assistant", "content": _answer(pair.chosen)}]
    return {"messages": answered, "rejected_response": _answer(pair.rejected)}


def _nemo_rl(pair: PreferencePair) -> dict[str, Any]:
    _refuse_template(pair)
    answers = [[_text_turn(turn) for turn in _turns(side, "assistant")] for side in (pair.chosen, pair.rejected)]
    ranked = [{"rank": rank, "completion": answer} for rank, answer in enumerate(answers)]
    return {"context": [_text_turn(turn) for turn in _turns(pair.prompt)], "completions": ranked}


def _whole(pair: PreferencePair) -> dict[str, Any]:
    """Everything, with objects as JSON: a table's column has one type, and every row's notes have their own keys."""
    row: dict[str, Any] = {"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}
    row |= {"soft_label": pair.soft_label, "weight": pair.weight, "id": pair.id or None}
    texts = {"label_source": pair.label_source, "meta": pair.meta, **template_columns(pair)}
    texts["label_source"] = {**pair.label_source, **({"sides_exchanged": True} if pair.swapped else {})}
    return {**row, **{key: json.dumps(value, ensure_ascii=False) if value else None for key, value in texts.items()}}


def _turns(text: Text, role: str = "user") -> list[Message]:
    return [{"role": role, "content": text}] if isinstance(text, str) else list(text)


def _answer(side: Text) -> str:
    """The text of a response of one message."""
    turns = _turns(side, "assistant")
    if len(turns) != 1:
        raise NoPlaceError("a response of several messages")
    return str(_text_turn(turns[0])["content"])


def _text_turn(turn: Message) -> Message:
    if turn.get("role") not in _SPEAKERS or turn.get("tool_calls") or not isinstance(turn.get("content"), str):
        raise NoPlaceError(f"a message of the role {turn.get('role')!r} with tool calls, or a result of one")
    return {"role": turn["role"], "content": turn["content"]}


def _refuse_template(pair: PreferencePair) -> None:
    for name in template_columns(pair):
        raise NoPlaceError(f"{name} for the chat template")


def kinds(pairs: Sequence[PreferencePair]) -> set[bool]:
    """Whether prompts are messages: both values where a file mixes them."""
    return {not isinstance(pair.prompt, str) for pair in pairs}


TARGETS = {
    "trl": Target("TRL", _trl, 'load_dataset("json", data_files=FILE), as DPOTrainer\'s train_dataset'),
    "axolotl": Target("Axolotl", _axolotl, "datasets: [{path: FILE, ds_type: json, split: train, type: chat_template.default}]"),
    "llama-factory": Target(
        "LLaMA-Factory",
        _llama_factory,
        'dataset_info.json: {"NAME": {"file_name": FILE, "ranking": true, "formatting": "sharegpt", "columns": '
        '{"messages": "conversations", "chosen": "chosen", "rejected": "rejected"}}}',
    ),
    "ms-swift": Target("ms-swift", _ms_swift, "swift rlhf --rlhf_type dpo --dataset FILE"),
    "openrlhf": Target(
        "OpenRLHF",
        _openrlhf,
        "--dataset FILE --prompt_key prompt --chosen_key chosen --rejected_key rejected (messages: --apply_chat_template)",
    ),
    "nemo-rl": Target("NeMo-RL", _nemo_rl, "data: {dataset_name: PreferenceDataset, train_data_path: FILE}"),
    "parquet": Target("Parquet", _whole, "softpref train --data FILE, and any reader of Parquet", labels=True),
    "hub": Target("the Hub", _whole, "softpref train --data FOLDER, or its name once it is pushed", labels=True),
}
