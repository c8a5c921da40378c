"""Text from elsewhere, so that what it holds can be seen."""

from __future__ import annotations

import unicodedata

# Control, format (which turn or hide text), lone surrogates, and separators of lines and paragraphs.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Line ends and tabs, and the joiners that Persian, Indic scripts and emoji are written with.
_KEPT = frozenset("\n\t\u200c\u200d")


def visible(text: str) -> str:
    r"""Characters that would turn, hide or break the text around them, written as ``\u202e``; all others as they are.

    Spaces of every width stay, and so does ordinary text of every script. A line end ``\r\n`` becomes ``\n``.
    """
    return "".join(
        _escaped(c) if c not in _KEPT and unicodedata.category(c) in _UNSEEN else c for c in text.replace("\r\n", "\n")
    )


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
