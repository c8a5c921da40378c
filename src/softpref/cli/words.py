"""Arguments that stand for themselves, beside options."""

from __future__ import annotations

from collections.abc import Sequence


def words_and_options(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands for itself, and the options, each with the argument after it.

    >>> words_and_options(["runs/a", "--output", "out", "runs/b", "--judge=local"])
    (['runs/a', 'runs/b'], ['--output', 'out', '--judge=local'])
    """
    found, rest = [], []
    words = iter(argv)
    for word in words:
        if not word.startswith("-"):
            found.append(word)
            continue
        rest.append(word)
        if "=" not in word and word not in ("-h", "--help"):
            rest.extend(value for value in [next(words, None)] if value is not None)
    return found, rest
