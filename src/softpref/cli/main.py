"""The ``softpref`` command: finds the sub-command, runs it, and turns what goes wrong into an exit code."""

from __future__ import annotations

import os
import select
import signal
import sys
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

COMMANDS = {
    "import": "make pairs of a published data set, from the Hub or a file",
    "label": "turn pairs into soft labels by a judge asked in both orders",
    "recipes": "list the recipes that come with softpref, or print one",
    "losses": "list the base losses: formula, treatments, arguments, source",
    "reference": "score pairs under the reference once, for all runs on them",
    "train": "train a model on pairs with soft labels, or on completions",
    "evaluate": "generate, judge both orders, and report win rates with intervals",
    "head-to-head": "every model against every other before one judge, one matrix",
    "classify": "see whether a model's implicit reward prefers what people prefer",
    "over-optimisation": "show where training took the log-probs of both sides, by label",
    "inspect": "show what a data set holds: labels, lengths, odd values, tokens",
    "votes": "see how reliable annotators are, and make soft labels of their votes",
    "calibrate": "fit a calibration of a judge's labels, with cross-validated scores",
    "shape": "make skewed, stepped, balanced or noisy label sets",
    "export": "write pairs as TRL, Axolotl, LLaMA-Factory and others read them, or for the Hub",
    "advise": "say which label treatment and beta the evidence favours for labels like these",
    "report": "write one self-contained HTML page about runs",
    "card": "write a model card for the Hub about one run",
    "real": "learn from real votes on arguments, and classify held-out ones",
    "bandit": "the paper's bandit: its two figures, where they hold, and which loss for which labels",
    "study": "the paper's comparison, repeated with seeds and intervals where the truth is known",
    "demo": "run the whole way on a small generated world, without a network",
}

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
    width = max(map(len, COMMANDS))
    lines = "".join(f"  {name:<{width}}  {what}\n" for name, what in COMMANDS.items())
    return (
        "usage: softpref COMMAND [options]\n\n"
        "Preference training when preferences are a degree, not a yes or no.\n\n"
        f"commands:\n{lines}\n"
        "softpref COMMAND --help shows the options of a command; softpref --version the version.\n"
    )


def _complain(message: str, code: int) -> int:
    sys.stderr.write(f"{printable(message)}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
