"""Print pip constraints that hold each package a user installs at the lowest version that pyproject.toml allows.

The tools of the ``dev`` extra are left out: tests run with any version of them.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
_LOWER_BOUND = re.compile(r"([\w.-]+)(?:\[[\w,-]+\])?>=([\w.]+)")


def lower_bounds(project: dict[str, Any]) -> dict[str, str]:
    """The lowest version of every dependency by name, of all extras but ``dev``."""
    extras = project["optional-dependencies"]
    requirements = [*project["dependencies"], *(one for name in extras if name != "dev" for one in extras[name])]
    bounds = [_LOWER_BOUND.match(requirement) for requirement in requirements]
    return {bound[1].lower(): bound[2] for bound in bounds if bound}


def main() -> None:
    """Write them to standard output."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    sys.stdout.writelines(f"{name}=={version}\n" for name, version in sorted(lower_bounds(project).items()))


if __name__ == "__main__":
    main()
