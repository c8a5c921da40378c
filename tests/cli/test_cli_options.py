"""Options of a command from a dataclass: flags, words without a name, lists, groups, aliases, and the help."""

import subprocess
import sys
from dataclasses import dataclass, field, is_dataclass
from importlib import import_module
from inspect import getmembers, isclass
from pkgutil import iter_modules
from typing import Any, Literal

import pytest

import softpref.cli
from softpref.cli.option_help import documented
from softpref.cli.option_types import hints_of
from softpref.cli.options import checked, parse_options
from softpref.data.read_options import ReadOptions, dropping_identical
from softpref.errors import OptionError


@dataclass
class Group:
    """A group.

    Attributes:
        size: How large.
        names: What it is called.
    """

    size: int = 3
    names: dict[str, str] = field(default_factory=dict)


@dataclass
class Sample:
    """A command that samples.

    Attributes:
        data: File of rows.
        rate: How fast.
        quick: Show that it runs, and nothing else.
        symmetric: Both sides alike.
        cached: Keep it; where it fits if not given.
        kind: Which of three.
        sizes: Heights.
        ends: Where it begins and ends.
        count: How many.
        note: Any text.
        free: Any keys.
        group: What belongs together.
        reading: How the file is read.
    """

    data: str
    rate: float | None = None
    quick: bool = False
    symmetric: bool = True
    cached: bool | None = None
    kind: Literal["on", "off", "auto"] = "auto"
    sizes: tuple[float, ...] | None = None
    ends: tuple[float, float] | None = None
    count: int = field(default=1, metadata={"aliases": ("number",)})
    note: str | None = None
    free: dict[str, Any] = field(default_factory=dict)
    group: Group = field(default_factory=lambda: Group(size=7))
    reading: ReadOptions = field(default_factory=dropping_identical)


def parsed(*argv):
    return parse_options(Sample, "softpref sample", [str(word) for word in argv])


@pytest.mark.parametrize(
    ("argv", "name", "value"),
    [
        (["--quick"], "quick", True),
        (["--quick", "true"], "quick", True),
        (["--quick", "false"], "quick", False),
        (["--quick=true"], "quick", True),
        (["--no-quick"], "quick", False),
        (["--no-symmetric"], "symmetric", False),
        (["--symmetric", "false"], "symmetric", False),
        (["--cached"], "cached", True),
        (["--cached", "null"], "cached", None),
        (["--no-cached"], "cached", False),
        (["--rate", "-1e-3"], "rate", -0.001),
        (["--rate", "2"], "rate", 2.0),
        (["--rate", "null"], "rate", None),
        (["--kind", "on"], "kind", "on"),
        (["--sizes", "[5,4]"], "sizes", (5.0, 4.0)),
        (["--sizes", "5,4"], "sizes", (5.0, 4.0)),
        (["--ends", "0.5,1"], "ends", (0.5, 1.0)),
        (["--note", "no"], "note", "no"),
        (["--note", "1.0"], "note", "1.0"),
        (["--note", "[x"], "note", "[x"),
        (["--count", "4"], "count", 4),
        (["--number", "4"], "count", 4),
        (["--count", "4", "--count", "5"], "count", 5),
        (["--free.a", "1e-6", "--free.b.c", "x"], "free", {"a": 1e-6, "b": {"c": "x"}}),
        (["--group.names.a", "1"], "group", Group(7, {"a": "1"})),
        (["--group", "{size: 2}"], "group", Group(2)),
        (["--columns.chosen", "best"], "reading", ReadOptions(identical="drop", columns={"chosen": "best"})),
        (["--reading.meta_columns", "a,b"], "reading", ReadOptions(identical="drop", meta_columns=["a", "b"])),
        (["--meta-columns", "[a, b]"], "reading", ReadOptions(identical="drop", meta_columns=["a", "b"])),
        (["--identical", "error"], "reading", ReadOptions()),
    ],
)
def test_a_value_is_of_its_type(argv, name, value):
    found = getattr(parsed("rows.csv", *argv), name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "argv", [["r.csv", "--quick"], ["--quick", "r.csv"], ["--data", "r.csv", "--quick"], ["--quick", "--", "r.csv"]]
)
def test_the_data_needs_no_name_and_a_flag_takes_no_file(argv):
    found = parsed(*argv)
    assert (found.data, found.quick) == ("r.csv", True)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "data: required; see softpref sample --help"),
        (["a", "--data", "b"], "data is given twice: as 'a' and as --data; keep one of the two"),
        (["a", "b"], "unexpected argument 'b'; softpref sample takes DATA, then options as --NAME VALUE"),
        (["a", "-q"], "unknown option '-q'"),
        (["a", "--quik"], "unknown option 'quik'; did you mean 'quick'?"),
        (["a", "--no-quik"], "unknown option 'quik'; did you mean 'quick'?"),
        (["a", "--no-count"], "unknown option 'no_count'"),
        (["a", "--nubmer", "3"], "unknown option 'nubmer'; did you mean 'number'?"),
        (["a", "--colums.chosen", "x"], "unknown option 'colums.chosen'"),
        (["a", "--count"], "count needs a value: --count VALUE"),
        (["a", "--count", "--quick"], "count needs a value"),
        (["a", "--count", "2.5"], "count is '2.5'; give a whole number"),
        (["a", "--count", "true"], "count is 'true'; give a whole number"),
        (["a", "--rate", "nil"], "rate is 'nil'; give a number or null"),
        (["a", "--quick=yes"], "quick is 'yes'; give true or false"),
        (["a", "--kind", "atuo"], "kind is 'atuo'; did you mean 'auto'?"),
        (["a", "--sizes", "1,x"], "sizes is 'x'; give a number"),
        (["a", "--ends", "1"], "ends is [1.0]; give 2 values"),
        (["a", "--free", "[1]"], "free is [1]; give a mapping: {name: value}"),
        (["a", "--free", "{1: 2}"], "free: keys must be text, got 1; put it in quotes"),
        (["a", "--group", "3"], "group is 3; give a mapping of options: {name: value}"),
        (["a", "--config", "x.yaml", "--config", "y.yaml"], "config is given twice"),
        (["a", "--note", "x\0y"], "note holds a NUL character"),
        (["a", "--note", "x\udcffy"], "note is 'x\\udcffy', which is not UTF-8"),
    ],
)
def test_a_mistake_is_named(argv, message):
    with pytest.raises(OptionError) as caught:
        parsed(*argv)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def written(tmp_path, text):
    (tmp_path / "o.yaml").write_text(text, encoding="utf-8")
    return ["--config", tmp_path / "o.yaml"]


def test_a_file_is_read_by_type(tmp_path):
    """``off`` and ``no`` are text where text is wanted, 1e-3 is a number, and an alias is the option."""
    text = "data: off\nkind: on\nrate: 1e-3\nnumber: 4\nends: [0, 1]\nnote: no\ncolumns: {chosen: no}\ngroup:\nquick: yes\n"
    found = parsed(*written(tmp_path, text))
    assert (found.data, found.kind, found.rate, found.count, found.ends, found.note) == ("off", "on", 0.001, 4, (0.0, 1.0), "no")
    assert (found.group, found.quick) == (Group(7), True)
    assert found.reading == ReadOptions(identical="drop", columns={"chosen": "no"})


def test_the_command_line_comes_before_the_file(tmp_path):
    found = parsed(
        *written(tmp_path, "data: a\nquick: true\ngroup: {size: 2, names: {a: b}}\n"), "c", "--no-quick", "--group.size", 5
    )
    assert (found.data, found.quick, found.group) == ("c", False, Group(5, {"a": "b"}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("count: x\n", "line 1: count is 'x'; give a whole number"),
        ("data: a\n\ngroup:\n  size: big\n", "line 4: group.size is 'big'; give a whole number"),
        ("data: a\ngroup: {sise: 1}\n", "line 2: unknown option 'group.sise'; did you mean 'group.size'?"),
        ("number: 1\ncount: 2\n", "count is given twice"),
        ("columns: {chosen: a}\nreading: {columns: {chosen: b}}\n", "columns is given twice, at the top and below reading"),
        ("data: a\nreading:\n  votes: mean\n  vote_prior: 1\n", "line 2: vote_prior has no effect"),
        ("sizes: [1, x]\n", "line 1: sizes is 'x'; give a number"),
        ("count: null\n", "line 1: count is None; give a whole number"),
        ("3: x\n", "line 1: unknown option '3'"),
    ],
)
def test_a_mistake_in_a_file_names_its_line(tmp_path, text, message):
    with pytest.raises(OptionError) as caught:
        parsed(*written(tmp_path, text))
    place = f"{tmp_path / 'o.yaml'}: "
    assert str(caught.value).startswith(place + message)


def test_a_mapping_inside_an_option_is_checked():
    assert checked(Group, "softpref sample", "group", {"size": 2}) == Group(2)
    for values, message in (
        (3, "group is 3; give a mapping"),
        ({"sise": 2}, "group: unknown option 'sise'; did you mean 'size'?"),
    ):
        with pytest.raises(OptionError, match=message):
            checked(Group, "softpref sample", "group", values)


def test_help_shows_choices_defaults_and_groups(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stop:
        parsed("--help")
    text = capsys.readouterr().out
    assert stop.value.code == 0
    assert text.startswith("usage: softpref sample DATA [options]\n\nA command that samples.\n")
    assert max(map(len, text.splitlines())) <= 80
    plain = " ".join(text.split())
    for part in (
        "--kind {on,off,auto} Which of three. (default: auto)",
        "--quick Show that it runs",
        "--symmetric, --no-symmetric Both sides alike. (default: on)",
        "--free {…} Any keys. (one key: --free.KEY VALUE)",
        "--count N How many. (default: 1; also --number)",
        "--group.size N How large. (default: 7)",
        "are refused (error) or dropped and counted (drop). (default: drop)",
    ):
        assert part in plain


def option_classes():
    """Every dataclass of options that a command parses, and those inside them."""
    seen = {}
    for module in iter_modules(softpref.cli.__path__):
        for name, of in getmembers(import_module(f"softpref.cli.{module.name}"), isclass):
            if is_dataclass(of) and name.endswith(("Options", "Command", "Recipe")):
                seen[name] = of
                seen |= {
                    inner.__name__: inner for inner in hints_of(of).values() if isinstance(inner, type) and is_dataclass(inner)
                }
    return seen


@pytest.mark.parametrize("of", option_classes().values(), ids=option_classes())
def test_every_option_is_explained(of):
    assert [name for name, text in documented(of).items() if len(text.split()) < 2] == []


def test_the_option_classes_are_found():
    assert {
        "TrainRecipe",
        "ReadOptions",
        "OnlineOptions",
        "JudgeOptions",
        "LabelCommand",
        "InspectOptions",
    } <= option_classes().keys()


def test_options_load_nothing_heavy():
    code = "import sys, softpref.cli.train; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "pandas", "pyarrow"} & set(done.stdout.split())


def test_an_option_of_one_text_or_several_takes_all_words_up_to_the_next_option():
    from softpref.training.recipe import TrainRecipe

    words = ["--model", "m", "--data", "a.jsonl", "b.csv", "--eval_data", "c.jsonl", "--output_dir", "run"]
    recipe = parse_options(TrainRecipe, "softpref train", words, positional=())
    assert (recipe.data, recipe.eval_data) == (["a.jsonl", "b.csv"], "c.jsonl")


def test_the_judges_own_settings_have_names_of_their_own():
    """In evaluate, ``seed`` and ``batch_size`` beside ``generation_seed`` do not say whose they are."""
    from softpref.cli.evaluate import EvaluateOptions

    argv = ["--model", "m", "--against", "n", "--output", "o", "--judge", "local"]
    argv += ["--judge_batch_size", "3", "--judge_seed", "4", "--judge_samples", "5", "--generation_batch_size", "6"]
    found = parse_options(EvaluateOptions, "softpref evaluate", argv)
    assert (found.batch_size, found.seed, found.samples, found.generation_batch_size) == (3, 4, 5, 6)
