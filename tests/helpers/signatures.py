"""What another package's function takes, by the function's full name."""

import inspect
from importlib import import_module


def named(path):
    """The object that ``package.module.Class.method`` names; fails with the part that is gone."""
    parts = path.split(".")
    for split in range(len(parts), 0, -1):
        try:
            value = import_module(".".join(parts[:split]))
        except ModuleNotFoundError:
            continue
        for part in parts[split:]:
            assert hasattr(value, part), f"{path}: there is no {part} any more"
            value = getattr(value, part)
        return value
    raise AssertionError(f"{path}: there is no such module any more")


def assert_takes(path, names):
    """Every one of ``names`` is a parameter of the function or class."""
    parameters = inspect.signature(named(path)).parameters
    assert set(names) <= parameters.keys(), f"{path} does not take {sorted(set(names) - parameters.keys())} any more"
