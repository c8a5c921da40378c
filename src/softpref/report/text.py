"""Foreign text for a page: what it holds can be seen, and it ends somewhere."""

from __future__ import annotations

from typing import Any

from markupsafe import escape

from softpref.data.pairs import text_of
from softpref.report.visible import visible

MAX_SHOWN_TEXT = 2000


def shown(text: Any) -> str:
    """A string or messages as plain characters, cut when endless."""
    plain = text_of(text) if isinstance(text, str | list) else str(text)
    return plain if len(plain) <= MAX_SHOWN_TEXT else plain[:MAX_SHOWN_TEXT] + " …"


def page_bytes(text: Any) -> int:
    """What the text takes up in a page."""
    return len(str(escape(visible(shown(text)))).encode("utf-8", "replace"))
