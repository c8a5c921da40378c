"""Short names for paths, and which of them are one method trained with several seeds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from softpref.errors import InputError, OptionError

FILE_SUFFIXES = (".jsonl", ".csv")

_SEED_FOLDER = re.compile(r"seed[-_ ]?(\w+)", re.IGNORECASE)
_SEED_SUFFIX = re.compile(r"(.+?)[-_. ]seed[-_ ]?(\w+)", re.IGNORECASE)


@dataclass(frozen=True)
class Run:
    """One participant: a folder, Hub name, file of responses or column; ``seed`` where its path or place says one."""

    path: str
    seed: str | None = None


@dataclass(frozen=True)
class Method:
    """What is compared: one run, or several that differ in their training seed."""

    name: str
    runs: tuple[Run, ...]


def short_names(paths: Sequence[str]) -> list[str]:
    """The last part of each path, with as many parents before it as tell it from the others. Equal paths stay equal."""
    parts = [_parts(path) for path in paths]
    names, depth = [part[-1] if part else path for part, path in zip(parts, paths, strict=True)], 1
    while depth < max(map(len, parts)):
        depth += 1
        meant: dict[str, set[tuple[str, ...]]] = {}
        for name, part in zip(names, parts, strict=True):
            meant.setdefault(name, set()).add(part)
        names = ["/".join(part[-depth:]) if len(meant[name]) > 1 else name for name, part in zip(names, parts, strict=True)]
    return names


def methods_of(words: Sequence[str]) -> list[Method]:
    """The methods that these words name, in their order.

    ``NAME=PATH`` names a run; a NAME given several times is one method with several seeds, in the order given. Without a
    name, ``seed_1/gdpo`` and ``seed_2/gdpo``, or ``gdpo_seed1`` and ``gdpo_seed2``, are the seeds 1 and 2 of gdpo; any other
    path is a method of one run. Raises OptionError where a path stands twice, or two runs are the same seed of one method.
    """
    found: dict[str, list[Run]] = {}
    for name, run in _named(words):
        found.setdefault(name, []).append(run)
    methods = [Method(name, _with_places(runs)) for name, runs in found.items()]
    for method in methods:
        for seed, count in Counter(run.seed for run in method.runs).items():
            if count > 1:
                raise OptionError(f"{method.name} has {count} runs of seed {seed}; name them apart with NAME=PATH")
    return methods


def _named(words: Sequence[str]) -> list[tuple[str, Run]]:
    given = [_split(word) for word in words]
    for path, count in Counter(path for _, path in given).items():
        if count > 1:
            raise OptionError(f"{path}: is named {count} times; name every run once")
    plain = [path for name, path in given if name is None and _seed_of(path) is None]
    short = dict(zip(plain, short_names(plain), strict=True)) if plain else {}
    found = []
    for name, path in given:
        seed = _seed_of(path)
        label = name or (seed[0] if seed else short[path])
        found.append((label, Run(path, seed[1] if seed else None)))
    return found


def _split(word: str) -> tuple[str | None, str]:
    name, equals, path = word.partition("=")
    if not equals or Path(word).exists():
        return None, word
    if not name or not path:
        raise OptionError(f"{word!r}: write NAME=PATH")
    return name, path


def _parts(path: str) -> tuple[str, ...]:
    """The path's parts; a file of responses without its suffix."""
    found = Path(path)
    return (found.with_suffix("") if found.suffix in FILE_SUFFIXES else found).parts


def _seed_of(path: str) -> tuple[str, str] | None:
    """Method and seed, where the path says both."""
    parts = _parts(path)
    if len(parts) > 1 and (folder := _SEED_FOLDER.fullmatch(parts[-2])):
        return parts[-1], folder[1]
    if parts and (suffix := _SEED_SUFFIX.fullmatch(parts[-1])):
        return suffix[1], suffix[2]
    return None


def _with_places(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Runs of one method that name no seed are told apart by their place."""
    if len(runs) == 1:
        return tuple(runs)
    return tuple(run if run.seed is not None else Run(run.path, str(i)) for i, run in enumerate(runs, start=1))


def matched_runs(ours: Method, theirs: Method) -> list[tuple[Run, Run, str]]:
    """Run against run of the same seed, with the seed; a method's only run meets every run of the other.

    Raises InputError where two methods of several seeds have none in common.
    """
    if len(ours.runs) == 1 or len(theirs.runs) == 1:
        pairs = [(a, b) for a in ours.runs for b in theirs.runs]
        return [(a, b, (b if len(ours.runs) == 1 else a).seed or "") for a, b in pairs]
    by_seed = {run.seed: run for run in theirs.runs}
    found = [(run, by_seed[run.seed], run.seed or "") for run in ours.runs if run.seed in by_seed]
    if not found:
        raise InputError(f"{ours.name} and {theirs.name} have no seed in common: compare runs of the same seeds")
    return found
