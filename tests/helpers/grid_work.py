"""Work for the grid's tests, in a module of its own, since other processes import it."""

import os
import time
from pathlib import Path


def square(cell):
    return {"square": cell["x"] ** 2, "process": os.getpid()}


def count(cell):
    """Leaves a mark on disk whenever it is computed."""
    with Path(cell["log"]).open("a") as log:
        log.write(f"{cell['x']}\n")
    return {"x": cell["x"]}


def fail_at_three(cell):
    if cell["x"] == 3:
        raise RuntimeError("three")
    return {"x": cell["x"]}


def without_end(cell):
    """The first three cells are quick; after them come ten minutes."""
    if cell["x"] >= 3:
        time.sleep(600)
    return {"x": cell["x"]}


def not_finite(cell):
    return {"value": float("nan"), "pair": (1, 2)}
