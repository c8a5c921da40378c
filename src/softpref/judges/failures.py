"""Why judgements failed, by kind: reasons that differ in a number or in what they quote are one."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

MOST_KINDS = 20
# A number, or a quotation as repr() writes it.
_PART = re.compile(r"\d+(?:\.\d+)?|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")


# Characters of a judge's own words in a reason.
MOST_QUOTED = 160


def quoted(text: str, most: int = MOST_QUOTED) -> str:
    r"""In quotation marks, cut, and with every character that a terminal would obey written out.

    >>> quoted("one\n\x1b[2J")
    "'one\\n\\x1b[2J'"
    """
    return repr(text if len(text) <= most else text[: most - 1] + "…")


def plain_words(text: str, most: int = MOST_QUOTED) -> str:
    """Somebody else's message in one line: cut, without quotation marks, nothing in it that a terminal would obey."""
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in (line if len(line) <= most else line[: most - 1] + "…"))


def by_kind(reasons: Iterable[str]) -> dict[str, int]:
    """The commonest kinds and how often each came, the commonest first.

    >>> by_kind(["129 tokens, and the model reads at most 128", "140 tokens, and the model reads at most 128", "timeout"])
    {'129 to 140 tokens, and the model reads at most 128': 2, 'timeout': 1}
    """
    kinds: dict[tuple[str, ...], list[list[str]]] = defaultdict(list)
    for reason in reasons:
        kinds[tuple(_PART.split(reason))].append(_PART.findall(reason))
    counted: Counter[str] = Counter()
    for words, found in kinds.items():
        parts = [*map(_together, zip(*found, strict=True)), ""]
        counted["".join(word + part for word, part in zip(words, parts, strict=True))] += len(found)
    return dict(counted.most_common(MOST_KINDS))


def _together(values: Sequence[str]) -> str:
    """From the least to the most of numbers; of quotations the commonest, and how many others."""
    said = Counter(values)
    if len(said) == 1:
        return values[0]
    if any(value[0] in "'\"" for value in said):
        return f"{said.most_common(1)[0][0]} (or {len(said) - 1} others)"
    return f"{min(said, key=float)} to {max(said, key=float)}"
