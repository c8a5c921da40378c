"""What is imported is declared, what is declared is pinned, and the base install does its part without the rest."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from processes import light_softpref
from softpref.demo import plan_world
from softpref.errors import OptionError
from softpref.extras import EXTRA_OF, how_to_install, require

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "softpref"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
# Packages whose name is not the one that is imported.
IMPORTED_AS = {"pyyaml": "yaml"}
# Brought by another requirement, as the brackets there say.
WITHIN = {"aiohttp": "openai[aiohttp]"}


def name_of(requirement):
    return re.match(r"[\w-]+", requirement)[0].lower()


def version_of(text):
    return tuple(int(part) for part in re.findall(r"\d+", text))


def brought(extra):
    """Names of the packages that an extra brings by itself or through another of ours."""
    names = set()
    for requirement in EXTRAS[extra]:
        ours = re.match(r"softpref\[([\w,]+)\]", requirement)
        names |= set().union(*map(brought, ours[1].split(","))) if ours else {name_of(requirement)}
    return names


DIRECT = sorted(
    {name_of(one) for some in (PROJECT["dependencies"], *EXTRAS.values()) for one in some if not one.startswith("softpref[")}
)
BASE = {IMPORTED_AS.get(name_of(one), name_of(one)) for one in PROJECT["dependencies"]}
PINS = dict(
    line.lower().split("==") for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if "==" in line
)


def third_party(path):
    """The packages that a file imports when it runs, but for Python's own and softpref."""
    names, todo = set(), [ast.parse(path.read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.partition(".")[0])
        elif not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            todo += ast.iter_child_nodes(node)
    return names - set(sys.stdlib_module_names) - {"softpref", "__future__", "tomllib"}


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_every_import_is_declared(path):
    assert third_party(path) <= BASE | EXTRA_OF.keys()


@pytest.mark.parametrize(("module", "extra"), EXTRA_OF.items())
def test_the_extra_of_a_message_brings_the_package(module, extra):
    assert module in brought(extra) or WITHIN.get(module) in {one.partition(">")[0] for one in EXTRAS[extra]}
    assert module not in BASE


def test_all_and_dev_bring_every_extra_but_vllm_and_quantization():
    """vLLM ties torch to one version; bitsandbytes has no wheels for some machines."""
    for extra in set(EXTRAS) - {"vllm", "quantization", "dev"}:
        assert brought(extra) <= brought("all") <= brought("dev"), extra


@pytest.mark.parametrize("name", [name for name in DIRECT if name not in ("tomli", "vllm")])
def test_every_direct_dependency_is_pinned(name):
    """tomli is for Python 3.10 alone; vLLM has a list of its own, tests/vllm.txt."""
    assert name in PINS, f"constraints.txt does not pin {name}"


@pytest.mark.parametrize(
    "requirement",
    [one for some in (PROJECT["dependencies"], *EXTRAS.values()) for one in some if not one.startswith("softpref[")],
)
def test_a_pin_lies_within_its_bounds(requirement):
    pin = PINS.get(name_of(requirement))
    low = re.search(r">=([\d.]+)", requirement)
    high = re.search(r"<([\d.]+)", requirement)
    assert low, "no lower bound"
    if pin is not None:
        assert version_of(low[1]) <= version_of(pin)
        assert high is None or version_of(pin) < version_of(high[1])


def test_the_classifiers_are_the_interpreters_that_make_runs():
    claimed = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if "Python :: 3." in line]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^PYTHONS := (.*)$", makefile, re.MULTILINE)[1].split() == [f"python{version}" for version in claimed]
    assert PROJECT["requires-python"] == f">={claimed[0]}"


def test_a_message_names_the_extra():
    assert how_to_install("openai.types") == "needs openai: pip install 'softpref[judge]'"
    assert how_to_install("softpref.nonsense") is None


def test_a_server_judge_without_its_packages(monkeypatch):
    """Said before a question is asked."""
    from softpref.judges.server import ServerSettings

    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(OptionError, match=r"^judge server needs openai: pip install 'softpref\[judge\]'$"):
        ServerSettings("http://localhost:1/v1", "a")
    with pytest.raises(OptionError, match=r"^this needs openai: "):
        require("this", "json", "openai")


# -------------------------------------------------------------------------------------------------- the base install


@pytest.fixture
def pairs(tmp_path):
    """Generated pairs without a label, for the simulated judge, and judged ones with a gold label, for a calibration."""
    plain, judged = tmp_path / "pairs.jsonl", tmp_path / "judged.jsonl"
    generated = plan_world.pairs(plan_world.tasks(), np.random.default_rng(1), 40)
    plain.write_text("".join(f"{json.dumps(row)}\n" for row in generated), encoding="utf-8")
    rows = [
        {"prompt": f"q{i}", "chosen": "a", "rejected": "b", "soft_label": 0.5 + i / 100, "meta": {"gold": int(i % 3 > 0)}}
        for i in range(45)
    ]
    judged.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return plain, judged


def test_the_base_install_labels_shapes_calibrates_and_advises(pairs, tmp_path):
    """Each command in a Python that has nothing but what pyproject.toml requires."""
    plain, judged = pairs
    labelled, shaped, calibration = (tmp_path / name for name in ("labelled.jsonl", "shaped.jsonl", "calibration.json"))
    assert "40 pairs" in light_softpref("inspect", "--data", plain)
    assert " of 40 pairs (coverage" in light_softpref("label", "--data", plain, "--output", labelled, "--judge", "plan_world")
    light_softpref("shape", "--data", labelled, "--output", shaped, "--noise", "binary_flip", "--rate", "0.1")
    light_softpref(
        "calibrate", "--data", judged, "--gold", "meta.gold", "--method", "temperature", "--output", calibration, "--folds", "3"
    )
    assert "gdpo" in light_softpref("advise", "--data", labelled)
    assert shaped.is_file()
    assert calibration.is_file()


SERVER = ["--judge", "server", "--base_url", "http://h/v1", "--judge_model", "m", "--judge_prompt", "general"]


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["report", "run"], "report"),
        (["inspect", "--data", "pairs.jsonl", "--html", "page.html"], "report"),
        (["train", "--model", "m", "--data", "pairs.jsonl", "--output_dir", "run"], "train"),
        (["import", "hh", "--data", "some/thing", "--output", "o.jsonl"], "hub"),
        (["label", "--data", "pairs.jsonl", "--output", "o.jsonl", *SERVER], "judge"),
    ],
    ids=["report", "html", "train", "import", "judge"],
)
def test_what_the_base_install_lacks_is_named(pairs, tmp_path, monkeypatch, arguments, extra):
    monkeypatch.chdir(tmp_path)
    assert f"pip install 'softpref[{extra}]'" in light_softpref(*arguments, code=2)
