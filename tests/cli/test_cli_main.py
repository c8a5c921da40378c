"""Commands, exit codes, and one message that says how to mend what was wrong."""

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points

import pytest

from run_folders import run_record
from softpref import __version__
from softpref.cli.main import COMMANDS, DONE, FAULT, INPUT_WRONG, INTERRUPTED, NOBODY_READS, main
from softpref.cli.options import parse_options
from softpref.data.read_options import ReadOptions
from softpref.errors import InterruptedRunError, NonFiniteError, OptionError, SoftprefError
from softpref.training.recipe import TrainRecipe, save_recipe


def run(capsys, *arguments):
    """Exit code, standard output, and the one message on standard error."""
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def complaint(capsys, *arguments):
    code, _, err = run(capsys, *arguments)
    assert code == INPUT_WRONG
    assert err.startswith("softpref")
    return err


def test_the_command_is_installed():
    [command] = [e for e in entry_points(group="console_scripts") if e.name == "softpref"]
    assert command.load() is main


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_names_every_command(capsys, arguments):
    code, out, _ = run(capsys, *arguments)
    assert code == DONE
    for name, what in COMMANDS.items():
        assert f"  {name} " in out
        assert what in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "unbuffered"), [(["--help"], ""), (["--help"], "1"), (["recipes"], ""), (["report", "--help"], "")]
)
def test_output_that_nobody_reads_ends_quietly(arguments, unbuffered):
    """As ``softpref … | head`` once head has gone: no traceback, and what a shell reports of SIGPIPE."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "softpref.cli.main", *arguments],
            stdout=writer,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            check=False,
        )
    finally:
        os.close(writer)
    assert (ended.returncode, ended.stderr) == (NOBODY_READS, b"")


def test_a_pipe_of_somebody_else_is_a_fault(monkeypatch, capfd):
    """A socket that broke is not standard output: it is not taken for a reader that has gone."""

    def broken(_):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(import_module("softpref.cli.recipes"), "run", broken)
    with pytest.raises(BrokenPipeError):
        main(["recipes"])
    assert capfd.readouterr().out == ""


def test_commands_are_listed_by_what_they_are_about(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = run(capsys, "--help")
    headings = [line for line in out.splitlines() if re.fullmatch(r"\w+:", line)]
    assert headings == ["data:", "judge:", "train:", "evaluate:", "report:", "research:"]
    assert out.index("data:") < out.index("  inspect ") < out.index("judge:") < out.index("  label ") < out.index("train:")
    assert max(map(len, out.splitlines()[2:-1])) <= 80


def test_version(capsys):
    assert run(capsys, "--version") == (DONE, f"softpref {__version__}\n", "")


# -------------------------------------------------------------------------------------------------- without torch

LAZY = """
import contextlib, io, json, sys
import softpref
from softpref.cli.main import COMMANDS, main
seen = {"import": sorted(sys.modules)}
for arguments in [["--help"], *([name, "--help"] for name in COMMANDS)]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            code = main(arguments)
        except SystemExit as stop:
            code = stop.code or 0
    seen[" ".join(arguments)] = [code, out.getvalue(), "torch" in sys.modules or "transformers" in sys.modules]
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def lazy():
    done = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_importing_softpref_loads_nothing_heavy(lazy):
    assert not {"torch", "transformers", "accelerate", "datasets", "scipy", "matplotlib", "pandas"} & set(lazy["import"])


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_works_and_loads_no_torch(lazy, command):
    """Half a second instead of ten."""
    code, out, torch = lazy[f"{command} --help".strip()]
    assert code == 0
    assert f"usage: softpref {command}".strip() in out
    assert not torch


def test_the_help_of_train_explains_the_loss_and_the_labels(lazy):
    _, out, _ = lazy["train --help"]
    text = " ".join(out.split())
    assert "Strength of the pull to the reference" in text
    assert "p = s(scale" in text


# -------------------------------------------------------------------------------------------------- what a user gets wrong


def test_an_unknown_command_names_the_nearest(capsys):
    assert "there is no command 'trian'; did you mean 'train'?" in complaint(capsys, "trian")
    assert "known: " in complaint(capsys, "xyz")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--beat", "0.3"], "unknown option 'beat'; did you mean 'beta'?"),
        (["train", "--xyz=1"], "unknown option 'xyz'; see softpref train --help"),
        (["train"], "model, data, output_dir"),
        (["inspect", "--data", "p.jsonl", "--row", "one"], "row is 'one'; give a whole number or null"),
        (["inspect", "--data", "p.jsonl", "--reading.identical", "dorp"], "identical is 'dorp'; did you mean 'drop'?"),
        (["inspect", "--data", "absent.jsonl"], "absent.jsonl: no such file"),
        (["inspect", "--data", "p.jsonl", "--row", "3"], "row has no effect without model"),
        (["report"], "name the run folders"),
        (["report", "nowhere"], "nowhere: holds no run"),
        (["report", "--output", "x.html", "run"], "run: holds no run (run.json is missing)"),
        (
            ["evaluate", "--model", "m", "--against", "n", "--data", "d", "--output", "o", "--judge", "plan_wolrd"],
            "judge 'plan_wolrd' is unknown; did you mean 'plan_world'?",
        ),
        (["train", "m.yaml", "extra"], "unexpected argument 'extra'; softpref train takes CONFIG, then options as --NAME VALUE"),
    ],
)
def test_one_message_says_what_is_wrong(capsys, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    err = complaint(capsys, *arguments)
    assert message in err
    assert err.startswith(f"softpref {arguments[0]}: ")
    assert err.count("\n") == 1


@pytest.fixture
def recipe(tmp_path):
    def write(text):
        path = tmp_path / "recipe.yaml"
        path.write_text("model: m\ndata: d.jsonl\noutput_dir: o\n" + text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("beta: high\n", "line 4: beta is 'high'; give a number or null"),
        ("betta: 0.1\n", "line 4: unknown option 'betta'; did you mean 'beta'?"),
        ("reading: {identical: sometimes}\n", "identical is 'sometimes'; known: drop, error"),
        ("max_length: [1, 2]\n", "max_length"),
        ("beta: [0.1\n", "is not YAML (line 5: "),
        (
            "reading: {identicl: drop}\n",
            "line 4: unknown option 'reading.identicl'; did you mean 'reading.identical'?",
        ),
        ("reading: {vote_prior: high}\n", "line 4: reading.vote_prior is 'high'; give a number or null"),
        ("reading: drop\n", "line 4: reading is 'drop'; give a mapping of options"),
        ("tokenizer: 7\n", "line 4: tokenizer is 7; give text in quotes or null"),
        ("beta: 1\nseed: 2\nbeta: 3\n", "is not YAML (line 6: duplicate key beta)"),
        ("train: [max_steps, 5]\n", "line 4: train is ['max_steps', 5]; give a mapping: {name: value}"),
        ("train.max_steps: 5\n", "line 4: unknown option 'train.max_steps'"),
    ],
)
def test_a_fault_in_a_recipe_names_its_file(capsys, recipe, text, message):
    path = recipe(text)
    err = complaint(capsys, "train", "--config", path)
    assert err.startswith(f"softpref train: {path}: ")
    assert message in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--beta", "high"], "beta is 'high'; give a number or null"),
        (["--reading.identical", "dorp"], "identical is 'dorp'; did you mean 'drop'?"),
        (["--reading.identicl", "drop"], "unknown option 'reading.identicl'; did you mean"),
        (["--train.max_steps"], "train.max_steps needs a value"),
        (["--train.run_name", "[x"], "train.run_name: is not YAML"),
        (["--config", "again.yaml"], "config is given twice"),
    ],
)
def test_a_fault_on_the_command_line_is_not_blamed_on_the_recipe(capsys, recipe, arguments, message):
    path = recipe("beta: 0.1\nreading: {identical: drop}\ntrain: {max_steps: 3}\n")
    err = complaint(capsys, "train", "--config", path, *arguments)
    assert str(path) not in err
    assert message in err


def options(path, *arguments):
    return parse_options(TrainRecipe, "softpref train", ["--config", str(path), *arguments])


def test_free_mappings_are_what_the_yaml_says(recipe):
    """Read once: quoted text stays text; 1e-6 is a number, which YAML 1.1 denies; a date is no date."""
    path = recipe('train: {save_strategy: "no", learning_rate: 1e-6, bf16: false, run_name: 2026-01-02}\npeft: {r: 16}\n')
    found = options(path)
    assert found.train == {"save_strategy": "no", "learning_rate": 1e-6, "bf16": False, "run_name": "2026-01-02"}
    assert (found.peft, found.loss_args) == ({"r": 16}, {})


def test_a_saved_recipe_is_the_recipe(recipe, tmp_path):
    found = options(recipe('train: {save_strategy: "no", adam_epsilon: 1.0e-08}\nmax_length: null\nreading: {votes: mean}\n'))
    save_recipe(found, tmp_path / "saved.yaml")
    assert options(tmp_path / "saved.yaml") == found


def test_the_command_line_wins_key_by_key(recipe):
    path = recipe("beta: 0.1\nreading: {votes: mean}\ntrain: {max_steps: 3, fsdp_config: {a: 1}, seed: 2}\n")
    found = options(
        path,
        "--beta=0.5",
        "--train.max_steps",
        "5",
        "--train.fsdp_config.b=x",
        "--peft.r",
        "4",
        "--reading.identical",
        "drop",
    )
    assert found.train == {"max_steps": 5, "fsdp_config": {"a": 1, "b": "x"}, "seed": 2}
    assert (found.beta, found.peft, found.reading) == (0.5, {"r": 4}, ReadOptions(identical="drop", votes="mean"))
    assert options(path, "--train", "{max_steps: 7}", "--train.seed", "1").train == {"max_steps": 7, "seed": 1}


@pytest.mark.parametrize(("text", "kind"), [("- beta\n", "list"), ("beta\n", "single value")])
def test_a_recipe_is_a_mapping(capsys, tmp_path, text, kind):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    err = complaint(capsys, "train", "--config", path)
    assert err == f"softpref train: {path}: holds a {kind}, not options; write one 'name: value' a line\n"


def test_what_neither_the_recipe_nor_the_command_line_gives_is_listed(capsys, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("model: m\n")
    assert "train: data, output_dir: required; see softpref train --help" in complaint(capsys, "train", "--config", path)


def test_a_recipe_that_is_not_there(capsys, tmp_path):
    assert "none.yaml: no such file" in complaint(capsys, "train", "--config", tmp_path / "none.yaml")


@pytest.fixture
def run_folder(tmp_path):
    from_folder = tmp_path / "run"
    from_folder.mkdir()
    run_record().write(from_folder / "run.json")
    return from_folder


def test_a_report_that_cannot_be_written_is_the_users_to_mend(capsys, run_folder, tmp_path):
    """An output that is a folder, or that lies below a file."""
    assert f"'{tmp_path}', which is a folder" in complaint(capsys, "report", run_folder, "--output", tmp_path)
    below = run_folder / "run.json" / "report.html"
    err = complaint(capsys, "report", run_folder, "--output", below)
    assert err.startswith(f"softpref report: {below}: cannot be written: a part of the path is a file")


def test_options_of_report_stand_before_or_after_the_folders(capsys, run_folder, tmp_path):
    one, two = tmp_path / "one.html", tmp_path / "two.html"
    assert run(capsys, "report", "--output", one, run_folder) == (DONE, f"report: {one}\n", "")
    assert run(capsys, "report", run_folder, f"--output={two}") == (DONE, f"report: {two}\n", "")
    assert one.read_bytes() == two.read_bytes()
    assert "unknown option 'outptu'" in complaint(capsys, "report", "--outptu", one, run_folder)


# -------------------------------------------------------------------------------------------------- other ends


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), INTERRUPTED, "run it again to go on"),
        (InterruptedRunError("stopped at step 3"), INTERRUPTED, "stopped at step 3"),
        (NonFiniteError("step 3: rows [4]"), FAULT, "step 3: rows [4]"),
        (
            PermissionError(13, "Permission denied", "/x.html"),
            INPUT_WRONG,
            "/x.html: cannot be read or written (Permission",
        ),
        (ModuleNotFoundError("No module", name="torch"), INPUT_WRONG, "pip install 'softpref[train]'"),
        (ModuleNotFoundError("No module", name="transformers.models"), INPUT_WRONG, "pip install 'softpref[train]'"),
    ],
)
def test_what_ends_a_command_is_an_exit_code_and_a_message(capsys, monkeypatch, error, code, message):
    def fail(_):
        raise error

    monkeypatch.setattr(import_module("softpref.cli.inspect"), "run", fail)
    found, _, err = run(capsys, "inspect")
    assert found == code
    assert message in err
    assert err.startswith("softpref inspect: ")


def test_a_disk_that_refuses_without_a_name_is_one_message(capsys, monkeypatch):
    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(import_module("softpref.cli.inspect"), "run", fail)
    assert run(capsys, "inspect")[::2] == (
        INPUT_WRONG,
        "softpref inspect: a file cannot be written: the disk is full; make room, and run the command again\n",
    )


SLEEPS = """
import sys, time
import softpref.cli.inspect as command
from softpref.cli.main import main

def wait(_):
    print("ready", flush=True)
    time.sleep(600)

command.run = wait
sys.exit(main(["inspect"]))
"""


def test_sigterm_is_an_interruption_with_a_message():
    with subprocess.Popen([sys.executable, "-c", SLEEPS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        _, err = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED
    assert err == "softpref inspect: interrupted; what was finished is on disk, run it again to go on\n"


def test_a_fault_of_ours_shows_where_it_is(capsys, monkeypatch):
    def fail(_):
        raise SoftprefError("inner")

    monkeypatch.setattr(import_module("softpref.cli.inspect"), "run", fail)
    assert main(["inspect"]) == FAULT
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ModuleNotFoundError("No module", name="softpref.nonsense"), OSError("no file at all")])
def test_what_is_not_the_users_is_not_explained_away(monkeypatch, error):
    def fail(_):
        raise error

    monkeypatch.setattr(import_module("softpref.cli.inspect"), "run", fail)
    with pytest.raises(type(error)):
        main(["inspect"])


# -------------------------------------------------------------------------------------------------- hostile options

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"loss_args:\n  a: {'[' * 150}{']' * 150}\n", "nested more than 100 deep"),
        (f"loss_args: {'[' * 5000}", "nested more than 100 deep"),
        (LAUGHS, "more than 100,000 values once its aliases are written out"),
        ("loss_args: &a {b: *a}\n", "an alias inside its own value"),
        (f"seed: {'1' * 5000}\n", "line 4: a number of more than 20 digits"),
        ("seed: !!bool maybe\n", "line 4: 'maybe' is not a boolean"),
        ("seed: !!int x\n", "holds a value that does not fit its type"),
        ("seed: !!float x\n", "holds a value that does not fit its type"),
        ('ref_model: "a\\0b"\n', "ref_model holds a NUL character"),
        ('train: {run_name: "a\\0b"}\n', "train.run_name holds a NUL character"),
        ('ref_model: "\\ud800"\n', "which is not UTF-8"),
        (f"ref_model: {'x' * 2**20}y\n", "is longer than 1 MiB"),
    ],
    ids=["deep", "deeper", "laughs", "endless", "digits", "bool", "int", "float", "nul", "nul_in_train", "half", "long"],
)
def test_hostile_options_are_one_message(recipe, text, message):
    with pytest.raises(OptionError, match=message):
        options(recipe(text))


@pytest.mark.parametrize("value", ["no", "off", "No", "steps"])
def test_a_strategy_that_is_called_no_is_text(recipe, value):
    """In YAML 1.1 it is a boolean, which no strategy is."""
    assert options(recipe(f"train:\n  save_strategy: {value}\n")).train == {"save_strategy": value}
    assert options(recipe(""), "--train.save_strategy", value).train == {"save_strategy": value}
    found = options(recipe(""), "--train", f"{{eval_strategy: {value}, bf16: no}}")
    assert found.train == {"eval_strategy": value, "bf16": False}


def test_what_is_shown_holds_nothing_that_a_terminal_obeys(capsys):
    assert main(["inspect", "--data", "a\x1b[31m.jsonl"]) == 2
    assert "\x1b" not in capsys.readouterr().err
