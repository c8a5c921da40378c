"""The ``softpref`` command: finds the sub-command, runs it, and turns what goes wrong into an exit code."""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import textwrap
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from keyword import iskeyword
from pathlib import Path
from types import FrameType

from softpref import __version__
from softpref.errors import InputError, InterruptedRunError, NonFiniteError, SoftprefError, nearest, printable
from softpref.extras import how_to_install

# Commands by what they are about, in the order of the work.
GROUPS = {
    "data": {
        "import": "make pairs of a published data set, from the Hub or a file",
        "inspect": "show what a data set holds, and what training makes of it",
        "votes": "fit how reliable annotators are, and label by their votes",
        "shape": "make skewed, stepped, balanced or noisy label sets",
        "export": "write pairs for TRL, Axolotl and others, or for the Hub",
    },
    "judge": {
        "label": "turn pairs into soft labels by judges asked in both orders",
        "calibrate": "fit and cross-validate a calibration of a judge's labels",
    },
    "train": {
        "advise": "suggest a label treatment and beta for your labels",
        "recipes": "list the recipes that come with softpref, or print one",
        "losses": "list the losses: formula, treatments, arguments, source",
        "reference": "score pairs under the reference once, for all runs on them",
        "train": "train a model on pairs with soft labels, or on completions",
    },
    "evaluate": {
        "evaluate": "generate, judge, and report win rates with intervals",
        "head-to-head": "compare every model with every other before one judge",
        "classify": "score a model's implicit reward on labelled pairs",
        "over-optimisation": "show how far training moved log-probs, by label",
    },
    "report": {
        "report": "write one self-contained HTML page about runs",
        "card": "write a model card for the Hub about one run",
        "demo": "run the full pipeline on a small synthetic world, offline",
    },
    "research": {
        "real": "learn from real votes on arguments, and test on others",
        "bandit": "repeat the paper's bandit; map which loss suits which labels",
        "study": "repeat the paper's comparison with seeds and intervals",
    },
}
COMMANDS = {name: what for group in GROUPS.values() for name, what in group.items()}

DONE, FAULT, INPUT_WRONG, INTERRUPTED = 0, 1, 2, 130
# What a shell reports of a program that SIGPIPE has ended.
NOBODY_READS = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is returned.

    0: done. 2: the input or the options are wrong. 1: a fault of softpref. 130: interrupted (Ctrl-C or SIGTERM), resumable.
    141: nobody reads standard output any more (``softpref … | head``).
    """
    try:
        with _terminated_as_interrupted():
            try:
                return _command(list(sys.argv[1:] if argv is None else argv))
            finally:
                sys.stdout.flush()
    except BrokenPipeError:
        if not _reader_is_gone():
            raise
        # what is still buffered goes nowhere, without a word at the exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM, which ends a program without a word, is taken like Ctrl-C: files are closed, and a message says how to go on.

    Where the parent or the program itself has decided otherwise, that stays.
    """
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _reader_is_gone() -> bool:
    """Whether it is standard output that broke, and not somebody's socket."""
    if not hasattr(select, "poll"):
        # Windows reports a reader that has gone as another error
        return True
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _command(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(help_text())
        return DONE
    if arguments[0] == "--version":
        sys.stdout.write(f"softpref {__version__}\n")
        return DONE
    command, *rest = arguments
    if command not in COMMANDS:
        return _complain(f"softpref: there is no command {command!r}{nearest(command, COMMANDS)}", INPUT_WRONG)
    return _run(command, rest)


def _run(command: str, arguments: Sequence[str]) -> int:
    module = f"{command.replace('-', '_')}{'_' if iskeyword(command) else ''}"
    try:
        import_module(f"softpref.cli.{module}").run(arguments)
    except InputError as error:
        return _complain(f"softpref {command}: {error}", INPUT_WRONG)
    except NonFiniteError as error:
        return _complain(f"softpref {command}: {error}", FAULT)
    except InterruptedRunError as error:
        return _complain(f"softpref {command}: {error}", INTERRUPTED)
    except KeyboardInterrupt:
        return _complain(f"softpref {command}: interrupted; what was finished is on disk, run it again to go on", INTERRUPTED)
    except ModuleNotFoundError as error:
        remedy = how_to_install(error.name or "")
        if remedy is None:
            raise
        return _complain(f"softpref {command}: {remedy}", INPUT_WRONG)
    except OSError as error:
        message = _of_storage(error)
        if message is None:
            raise
        return _complain(f"softpref {command}: {message}", INPUT_WRONG)
    except SoftprefError:
        traceback.print_exc()
        return FAULT
    return DONE


def _of_storage(error: OSError) -> str | None:
    """A file that cannot be read or written is the user's to mend; None for any other error, which is not explained away."""
    from softpref.data.files import storage_reason

    path = error.filename2 or error.filename
    if path is not None:
        return f"{path}: cannot be read or written ({error.strerror})"
    reason = storage_reason(error, Path.cwd())
    return None if reason is None else f"a file cannot be written: {'; '.join(reason)}"


def help_text() -> str:
    """What ``softpref --help`` prints."""
    name_width = max(map(len, COMMANDS))
    columns = max(60, min(100, shutil.get_terminal_size().columns))
    lines = []
    for group, commands in GROUPS.items():
        lines += ["", f"{group}:"]
        for name, what in commands.items():
            first, *rest = textwrap.wrap(what, columns - name_width - 4, break_on_hyphens=False)
            lines += [f"  {name:<{name_width}}  {first}", *(f"{'':<{name_width + 4}}{line}" for line in rest)]
    return "\n".join(
        [
            "usage: softpref COMMAND [options]",
            "",
            "Preference training when preferences are a degree, not a yes or no.",
            *lines,
            "",
            "softpref COMMAND --help shows the options of a command.",
            "",
        ]
    )


def _complain(message: str, code: int) -> int:
    sys.stderr.write(f"{printable(message)}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
