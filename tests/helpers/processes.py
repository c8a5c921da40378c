"""Child processes for tests that send signals."""

import contextlib
import os
import signal
import subprocess
import sys

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
