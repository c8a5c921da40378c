"""Child processes for tests that send signals."""

import contextlib
import os
import signal
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

# A child that imports the helpers by name.
WITH_HELPERS = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH")))),
}

# A shell's background jobs (and nohup) ignore SIGINT, their children inherit that, and Python then installs no handler.
TAKES_SIGINT = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"


@contextlib.contextmanager
def started(command, **options):
    """A process in a group of its own that takes SIGINT, whoever started the tests; its group ends with the block."""
    with subprocess.Popen([sys.executable, "-c", TAKES_SIGINT, *command], start_new_session=True, **options) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


# A Python that has only what the base install brings: every package of an extra is missing.
LIGHT = """
import sys
from importlib.abc import MetaPathFinder

from softpref.extras import EXTRA_OF

class Missing(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in EXTRA_OF:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

sys.meta_path.insert(0, Missing())
from softpref.cli.main import main

sys.exit(main(sys.argv[1:]))
"""


def pretend_installed(monkeypatch, name):
    """An empty package of this name, for as long as the test runs."""
    package = ModuleType(name)
    package.__spec__ = ModuleSpec(name, None)
    monkeypatch.setitem(sys.modules, name, package)


def light_softpref(*arguments, code=0):
    """What a command of the base install prints, to both streams; its exit code is ``code``."""
    command = [sys.executable, "-c", LIGHT, *map(str, arguments)]
    answer = subprocess.run(command, check=False, capture_output=True, text=True)
    assert answer.returncode == code, answer.stdout + answer.stderr
    return answer.stdout + answer.stderr
