"""What a file that is not read looks like: a published format to import, or columns to name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from softpref.data.read_options import ReadOptions
from softpref.data.row_reader import is_missing
from softpref.data.side_columns import SIDES, side_columns
from softpref.data.verdicts import looks_like_verdict, side_names

# Columns that only rows of this format have together.
SIGNATURES: Mapping[str, frozenset[str]] = {
    "tldr": frozenset({"info", "summaries", "choice"}),
    "ultrafeedback": frozenset({"instruction", "completions", "models"}),
    "helpsteer2-votes": frozenset({"preference_strength", "all_preferences_unprocessed"}),
    "helpsteer3": frozenset({"context", "response1", "response2", "individual_preference"}),
    "helpsteer2": frozenset({"prompt", "response", "helpfulness", "correctness", "verbosity"}),
    "arena": frozenset({"conversation_a", "conversation_b", "winner"}),
    "arena-55k": frozenset({"winner_model_a", "winner_model_b", "winner_tie"}),
    "multipref": frozenset({"completion_a", "completion_b", "normal_worker_annotations"}),
    "prism": frozenset({"interaction_id", "user_prompt", "model_response", "score"}),
    "shp": frozenset({"history", "human_ref_A", "human_ref_B", "labels"}),
    "webgpt": frozenset({"question", "answer_0", "answer_1", "score_0", "score_1"}),
    "oasst": frozenset({"message_tree_id", "parent_id", "role", "rank"}),
    "nectar": frozenset({"prompt", "answers", "num_responses", "good_natured"}),
    "pku-saferlhf": frozenset({"response_0", "response_1", "better_response_id", "safer_response_id"}),
    "dices": frozenset({"rater_id", "item_id", "context", "Q_overall"}),
    "argilla": frozenset({"fields", "responses"}),
    "label-studio": frozenset({"data", "annotations"}),
    "nemo": frozenset({"chosen_response", "rejected_response", "chosen_reward"}),
    "nemo-rl": frozenset({"context", "completions"}),
    "ultrafeedback-binarized": frozenset({"chosen_response", "rejected_response", "chosen_avg_rating"}),
    "coplan": frozenset({"goal", "script", "source"}),
}
PROMPTS = ("instruction", "question", "query", "context", "user_prompt", "request", "task", "post", "article", "text", "source")
_FIRST = ("chosen", "preferred", "accepted", "better", "winner", "good", "positive", "pos")
_SECOND = ("rejected", "dispreferred", "refused", "worse", "loser", "bad", "negative", "neg")


def proposal(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """What to try with these rows, in one line; None where nothing is recognised."""
    columns = _columns(rows)
    known = next((name for name, signature in SIGNATURES.items() if signature <= columns.keys()), None)
    if known is not None:
        return f"looks like {known}: softpref import {known} --data FILE --output pairs.jsonl"
    mapped = _mapping(columns)
    return f"looks like: {' '.join(mapped)}" if mapped else None


def _columns(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            if not is_missing(value):
                found.setdefault(str(name), []).append(value)
    return found


def _mapping(columns: Mapping[str, Sequence[Any]]) -> list[str]:
    """Options that name the prompt, the sides and the verdict; empty where the two sides are not recognised."""
    given = side_columns(columns)
    sides = None if given else _sides(columns)
    if not given and sides is None:
        return []
    words = [] if sides is None else [f"--columns.{ours} {theirs}" for ours, theirs in zip(SIDES[0], sides, strict=True)]
    if "prompt" not in columns:
        words += [f"--columns.prompt {name}" for name in PROMPTS if name in columns and name not in (sides or ())][:1]
    first, second = given[0].names if given else SIDES[0]
    return words + ([] if sides else _winner(columns, first, second))


def _sides(columns: Mapping[str, Sequence[Any]]) -> tuple[str, str] | None:
    """Two columns of texts whose names differ in a word for the better and one for the worse side."""
    for better, worse in zip(_FIRST, _SECOND, strict=True):
        for name in columns:
            other = name.replace(better, worse)
            if other != name and other in columns and all(isinstance(value, str | list) for value in columns[name]):
                return name, other
    return None


def _winner(columns: Mapping[str, Sequence[Any]], first: str, second: str) -> list[str]:
    names = side_names(first, second, ReadOptions())
    texts = {first, second, "prompt", "id"}
    like = [name for name, values in columns.items() if name not in texts and looks_like_verdict(values, names)]
    return [f"--columns.winner {like[0]}"] if len(like) == 1 and names.verdicts(columns[like[0]]) else []
