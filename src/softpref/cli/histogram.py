"""A histogram of soft labels as lines of text, for commands that show one."""

from __future__ import annotations

from collections.abc import Sequence

BAR = 40


def histogram_lines(counts: Sequence[int], width: int | None = None) -> list[str]:
    """One line per equal bin of [0, 1] with its count and a bar; empty bins below ½ are left out, since pairs are oriented.

    ``width`` is the count that fills a bar; the largest of these if not given.
    """
    start = 0 if any(counts[: len(counts) // 2]) else len(counts) // 2
    full = max(width or max(counts), 1)
    lines = []
    for i in range(start, len(counts)):
        close = "]" if i == len(counts) - 1 else ")"
        bar = "█" * round(BAR * counts[i] / full)
        lines.append(f"  [{i / len(counts):.2f}, {(i + 1) / len(counts):.2f}{close} {counts[i]:>7} {bar}".rstrip())
    return lines
