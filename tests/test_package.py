"""The public names, the order of the rooms, the rule of the core, and that every file can be imported."""

import ast
import sys
import warnings
from importlib import import_module
from pathlib import Path

import pytest

import softpref

SOURCE = Path(softpref.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

ROOMS = [
    {"errors"},
    {"core", "extras"},
    {"run_folder"},
    {"data", "loading"},
    {"records"},
    {"judges", "scoring", "generation"},
    {"training", "evaluation"},
    {"report"},
    {"advice", "demo"},
    {"research"},
    {"cli"},
]
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}


def module_name(path):
    parts = ["softpref", *path.relative_to(SOURCE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path):
    """Every module that a file imports anywhere, in functions and under TYPE_CHECKING too; ``from p import m`` as p.m."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(name):
    """core for softpref.core.losses.dpo; None for softpref itself and for other packages."""
    parts = name.split(".")
    return parts[1] if parts[0] == "softpref" and len(parts) > 1 and parts[1] in LEVEL else None


# -------------------------------------------------------------------------------------------------- public names


@pytest.mark.parametrize("name", softpref.__all__)
def test_every_public_name_is_what_it_says(name):
    value = getattr(softpref, name)
    assert name == "LOSSES" or value.__name__ == name
    assert value.__doc__


def test_the_public_names_are_typed_and_lazy_alike():
    """The imports for type checkers and the table for running programs name the same things."""
    tree = ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    typed = {alias.asname: node.module for node in block.body for alias in node.names}
    assert typed == softpref._HOMES
    assert sorted(softpref.__all__) == sorted(typed)


def test_star_gives_the_public_names():
    names = {}
    exec("from softpref import *", names)  # noqa: S102
    assert set(softpref.__all__) <= set(names)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'SoftTrainer'"):
        _ = softpref.SoftTrainer


def test_the_core_gives_its_names_from_both_places():
    """softpref.core.losses re-exports the three."""
    core, losses = import_module("softpref.core"), import_module("softpref.core.losses")
    for name in ("PairLogps", "geometric_average", "preference_loss"):
        assert getattr(core, name) is getattr(losses, name) is getattr(softpref, name)
    for name in core.__all__:
        assert getattr(core, name) is not None


def test_the_package_is_typed():
    assert (SOURCE / "py.typed").is_file()


# -------------------------------------------------------------------------------------------------- the house


def test_every_room_has_its_place():
    """A new room must be put in order before anything stands in it."""
    rooms = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in FILES} - {"__init__"}
    assert rooms <= set(LEVEL), f"no place in the order: {rooms - set(LEVEL)}"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_go_down_only(path):
    """A room may import itself and what lies below it, and not its neighbours."""
    here = room(module_name(path))
    if here is None:  # the public names, from every room
        assert not {room(name) for name in at_load_of(path)} - {None}
        return
    for name in imports(path):
        there = room(name)
        assert there in (None, here) or LEVEL[there] < LEVEL[here], f"{module_name(path)} imports {name}"


RESEARCH_COMMANDS = {"cli/bandit.py", "cli/real.py", "cli/study.py"}


def test_nothing_but_its_own_commands_imports_research():
    for path in FILES:
        file = path.relative_to(SOURCE).as_posix()
        if not file.startswith("research/") and file not in RESEARCH_COMMANDS:
            assert "research" not in {room(name) for name in imports(path)}, f"{file} imports softpref.research"


def test_no_two_test_files_have_one_name():
    """pytest imports them by their names alone."""
    names = [path.name for path in Path(__file__).parent.rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))


def stem(name):
    return name.partition(".")[0]


@pytest.mark.parametrize("path", sorted((SOURCE / "core").glob("*.py")), ids=module_name)
def test_the_core_holds_its_rule(path):
    """Tensors or arrays in, tensors or arrays out. No files, no config, no transformers, no prints."""
    allowed = {
        "torch",
        "numpy",
        "scipy",
        "softpref",
        "__future__",
        "collections",
        "dataclasses",
        "functools",
        "importlib",
        "inspect",
        "math",
        "re",
        "typing",
    }
    assert {stem(name) for name in imports(path)} <= allowed
    assert {room(name) for name in imports(path)} <= {None, "core", "errors"}
    called = {
        node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    }
    assert not called & {"open", "print", "read_text", "write_text", "input", "exec", "eval", "load", "save", "seed"}


LIGHT = [
    "softpref.errors",
    "softpref.extras",
    "softpref.core.soft_labels",
    "softpref.data.formats",
    "softpref.data.validation",
    "softpref.judges.labelling",
    "softpref.advice.advice",
    "softpref.training.recipe",
    "softpref.report.page",
    "softpref.cli.main",
]


@pytest.mark.parametrize("name", LIGHT)
def test_labelling_inspecting_and_reporting_need_no_torch(name):
    """``pip install softpref`` works without it: nothing on these modules' way imports it where they are loaded."""
    todo, seen = [name], set()
    while todo:
        here = todo.pop()
        path = SOURCE.joinpath(*here.split(".")[1:])
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if here in seen or not path.is_file():
            continue
        seen.add(here)
        for imported in at_load_of(path):
            assert stem(imported) not in ("torch", "transformers", "accelerate", "datasets"), f"{here} imports {imported}"
            todo += [imported, imported.rpartition(".")[0]] if stem(imported) == "softpref" else []
    assert name in seen


def at_load_of(path):
    return at_load(ast.parse(path.read_text(encoding="utf-8")).body)


def at_load(body):
    """Imports that run when a module is loaded: not in functions, not under TYPE_CHECKING."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If):
            typing_only = ast.unparse(node.test) == "TYPE_CHECKING"
            yield from at_load(node.orelse if typing_only else [*node.body, *node.orelse])
        elif isinstance(node, ast.Try | ast.With):
            yield from at_load(node.body)


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_every_module_can_be_imported(path):
    with warnings.catch_warnings():
        # only what third parties say of themselves while they are loaded for the first time
        warnings.simplefilter("ignore", DeprecationWarning)
        module = import_module(module_name(path))
    assert module.__doc__, f"{module_name(path)} does not say what it is for"
    assert sys.modules[module_name(path)] is module
