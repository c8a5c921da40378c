"""What stands beside the prompt and is part of it: a system message, a history, Alpaca's instruction; or no prompt at all.

Pure functions of one row, ``{our name: value}``, which either give the row with its whole prompt or record a fault.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from softpref.data.row_reader import is_missing
from softpref.data.sharegpt import as_messages
from softpref.data.written_messages import looks_cut, messages_in

Row: TypeAlias = dict[str, Any]
Report: TypeAlias = Callable[[str, str, str], None]

# Columns that change the prompt and that are not read, with what to do.
REFUSED = {
    **dict.fromkeys(
        ("images", "image", "videos", "video", "audios", "audio"), "softpref trains on text alone: leave such rows out"
    ),
    **dict.fromkeys(
        ("input", "context", "documents", "passage", "instruction"), "write it into the prompt, where your model expects it"
    ),
    "functions": "give them as tools, a list of JSON schemas",
}
# ShareGPT's name of a conversation, and LLaMA-Factory's beside chosen and rejected.
CONVERSATIONS = "conversations"
ALIASES = {"system": ("system_prompt", "system_message"), "history": ("chat_history", "conversation_history")}
INSTRUCTIONS = ("instruction", "question", "query")
# Where the last turn of the assistant begins in a conversation that is one text (HH).
_TURN = "\n\nAssistant:"


def read_written_messages(row: Row, names: tuple[str, ...], report: Report) -> Row:
    """Messages in other forms become messages: written into a string, as JSON or as Python shows them, or ShareGPT's."""
    changed = {name: as_messages(row[name]) for name in names if name in row}
    for name, value in changed.items():
        if isinstance(value, str):
            messages = messages_in(value)
            if messages is not None:
                changed[name] = as_messages(messages)
            elif looks_cut(value):
                problem = "begins like a list of messages and is none: it was cut, or its commas are missing"
                report(name, problem, "write the messages as JSON")
    return {**row, **changed}


def split_conversations(row: Row, sides: tuple[str, str], report: Report) -> Row:
    """The prompt of a row without one: what both sides begin with, up to the last turn of the assistant (TRL)."""
    first, second = row.get(sides[0]), row.get(sides[1])
    if isinstance(first, list) and isinstance(second, list):
        return _split_messages(row, sides, report)
    if isinstance(first, str) and isinstance(second, str):
        start = _common_text(first, second)
        if start:
            return {**row, "prompt": first[:start], sides[0]: first[start:], sides[1]: second[start:]}
    return row


def _split_messages(row: Row, sides: tuple[str, str], report: Report) -> Row:
    first, second = row[sides[0]], row[sides[1]]
    if first[:-1] != second[:-1] or len(first) < 2:
        turn = next(
            (k for k, (a, b) in enumerate(zip(first, second, strict=False), start=1) if a != b), min(len(first), len(second))
        )
        report(
            f"{sides[0]}, {sides[1]}",
            f"are conversations that differ before the last turn of the assistant (at message {turn}), or hold no prompt",
            "let both begin with the same messages and end with one of the assistant, or give the prompt in a column of its own",
        )
        return row
    return {**row, "prompt": first[:-1], sides[0]: first[-1:], sides[1]: second[-1:]}


def _common_text(first: str, second: str) -> int:
    """How many characters are the prompt: to the last ``Assistant:`` that both share, or else to the last white space."""
    shared = zip(first, second, strict=False)
    common = first[: next((k for k, (a, b) in enumerate(shared) if a != b), min(len(first), len(second)))]
    if _TURN in common:
        return common.rindex(_TURN) + len(_TURN)
    spaces = [match.start() for match in re.finditer(r"\s+", common)]
    return spaces[-1] if spaces else 0


def prompt_of_conversations(row: Row, sides: tuple[str, str], report: Report) -> Row:
    """A prompt that is a string, beside sides that are messages: the question that they answer (UltraFeedback, binarised)."""
    prompt, first, second = row.get("prompt"), row.get(sides[0]), row.get(sides[1])
    if not isinstance(prompt, str) or not all(isinstance(side, list) and side for side in (first, second)):
        return row
    if len(first) == len(second) == 1:  # type: ignore[arg-type]
        return {**row, "prompt": [{"role": "user", "content": prompt}]}
    split = _split_messages(row, sides, report)
    asked = split.get("prompt")
    if isinstance(asked, list) and not any(_content(turn).strip() == prompt.strip() for turn in asked):
        report("prompt", "is not what the conversations begin with", "give the prompt that they answer, or leave the column out")
    return split


def _content(turn: Any) -> str:
    content = turn.get("content") if isinstance(turn, Mapping) else None
    return content if isinstance(content, str) else ""


def changes_prompt(row: Row, name: str) -> bool:
    """Whether a column holds something that the prompt does not: a text that stands in the prompt already is no loss."""
    value, prompt = row.get(name), row.get("prompt")
    if is_missing(value) or value in ("", [], {}):
        return False
    texts = [_content(turn) for turn in prompt] if isinstance(prompt, list) else [prompt]
    return not (isinstance(value, str) and any(isinstance(text, str) and value.strip() in text for text in texts))


def with_context(row: Row, answers: tuple[str, ...], as_messages: bool, report: Report) -> Row:
    """``system`` and ``history`` put before the prompt; texts become messages where the file has either."""
    system, history = row.get("system"), row.get("history")
    row = {name: value for name, value in row.items() if name not in ("system", "history")}
    if not as_messages:
        return row
    prompt = row.get("prompt")
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
        texts = {name: row[name] for name in answers if isinstance(row.get(name), str)}
        row |= {name: [{"role": "assistant", "content": text}] for name, text in texts.items()}
    if not isinstance(prompt, list):
        return row
    before = _turns(history, report)
    own = [turn for turn in prompt[:1] if isinstance(turn, Mapping) and turn.get("role") == "system"]
    if system and isinstance(system, str):
        if own and _content(own[0]) != system:
            report("system", "differs from the prompt's own system message", "keep one of the two")
        own = [{"role": "system", "content": system}]
    elif system:
        report("system", "is not text", "give the system message as text")
    rest = [turn for turn in prompt if not (turn is prompt[0] and isinstance(turn, Mapping) and turn.get("role") == "system")]
    return {**row, "prompt": [*own, *before, *rest]}


def _turns(history: Any, report: Report) -> list[dict[str, Any]]:
    """Messages, or [question, answer] pairs."""
    if not history:
        return []
    if isinstance(history, list) and all(isinstance(turn, Mapping) for turn in history):
        return [dict(turn) for turn in history]
    if isinstance(history, list) and all(isinstance(turn, list | tuple) and len(turn) == 2 for turn in history):
        roles = ("user", "assistant")
        return [{"role": role, "content": text} for turn in history for role, text in zip(roles, turn, strict=True) if text]
    report("history", "is neither messages nor [question, answer] pairs", "write it as messages, or into the prompt")
    return []
