"""How much a file may hold before it is refused rather than read: bounds on what a few bytes can grow into."""

from __future__ import annotations

# Lists and objects inside one another, in a row or in a file of options. Real ones have fewer than ten.
DEPTH = 100
# A packed file may grow to this size whatever its ratio, and beyond it only by the ratio. Text packs 3 to 20 times.
UNPACKED_BYTES = 64 * 2**20
UNPACKED_RATIO = 200
# A YAML file of options, its aliases written out.
YAML_BYTES = 2**20
YAML_VALUES = 100_000
# Digits of a whole number: as many as a 64-bit number has, and as Python writes without being asked to.
YAML_DIGITS = 20


def too_deep(value: object, limit: int = DEPTH) -> bool:
    """Whether lists and mappings lie inside one another more than ``limit`` deep. Never recurses itself."""
    level = [value]
    for _ in range(limit + 1):
        inside = [one for one in level if isinstance(one, list | dict)]
        if not inside:
            return False
        level = [below for one in inside for below in (one.values() if isinstance(one, dict) else one)]
    return True
