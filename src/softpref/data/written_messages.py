"""Messages that were written into a text cell: as JSON, or as Python shows a list, which is what pandas writes."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from softpref.data.limits import too_deep

_KEYS = frozenset({"role", "content", "from"})
_BEGINS = re.compile(r"""\s*\[\s*\{\s*(['"])(?:role|content|from)\1\s*:""")


def messages_in(text: str) -> list[Any] | None:
    """The messages that a text holds, or None where it is just text.

    Only a list of objects of which one has a role or content (ShareGPT: from) counts: a story in brackets
    is a story, other JSON is text.
    """
    if not text.lstrip().startswith("[{") and not _BEGINS.match(text):
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(value, list) and any(isinstance(one, dict) and one.keys() & _KEYS for one in value):
            return None if too_deep(value) else value
        return None
    return None


def looks_cut(text: str) -> bool:
    """Whether a text begins as messages do and is none: cut short, or written by something that left commas out."""
    return bool(_BEGINS.match(text)) and messages_in(text) is None
