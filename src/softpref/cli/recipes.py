"""The ``softpref recipes`` command."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from importlib.resources import files

from softpref.cli.options import say
from softpref.errors import OptionError, nearest

HELP = """\
usage: softpref recipes [NAME]

List the recipes that come with softpref, or print one, to be kept and edited:

  softpref recipes
  softpref recipes paper/tldr > tldr.yaml
  softpref train --config tldr.yaml

Every value of a recipe says whether it is the paper's or ours; docs/recipes.md has the way from the Hub to a trained model.
"""


def run(argv: Sequence[str]) -> None:
    """List the recipes, or print one."""
    if {"-h", "--help"} & set(argv):
        sys.stdout.write(HELP)
        return
    recipes = dict(_shipped())
    if not argv:
        width = max(map(len, recipes))
        for name, text in recipes.items():
            say(f"{name:<{width}}  {text.partition(chr(10))[0].removeprefix('# ')}")
        return
    name = argv[0].removesuffix(".yaml")
    if len(argv) > 1:
        raise OptionError(f"give one recipe, not {len(argv)}")
    if name not in recipes:
        raise OptionError(f"{name!r} is no recipe{nearest(name, recipes)}")
    sys.stdout.write(recipes[name])


def _shipped() -> Iterator[tuple[str, str]]:
    """Names, as paper/tldr, and texts; the paper's own first."""
    folders = [one for one in (files("softpref") / "recipes").iterdir() if one.is_dir()]
    for folder in sorted(folders, key=lambda one: (one.name != "paper", one.name)):
        for file in sorted(folder.iterdir(), key=lambda one: one.name):
            if file.name.endswith(".yaml"):
                yield f"{folder.name}/{file.name.removesuffix('.yaml')}", file.read_text(encoding="utf-8")
