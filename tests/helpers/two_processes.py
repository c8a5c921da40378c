"""A script under torchrun with two ranks on this machine."""

from __future__ import annotations

import subprocess
import sys

from processes import WITH_HELPERS

# A rank was once ended by SIGABRT without a word, and the cause was not found. What a rank raises, and what the two compute,
# is never tried again.
ENDED_BY_A_SIGNAL = ("SIGABRT", "SIGSEGV")

# Said at the end of every script, so that nothing which the libraries tear down after it can be what ends a rank.
LEAVE = """
trainer.accelerator.wait_for_everyone()
sys.stdout.flush(); sys.stderr.flush()
os._exit(0)
"""


def run_two(folder, script, *arguments):
    """Run ``script`` in ``folder`` on two ranks; ``trainer`` is what it trained with. Fails with all that the ranks said."""
    (folder / "script.py").write_text("import os\n" + script + LEAVE)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", "script.py"]
    for last in (False, True):
        done = subprocess.run(
            [*command, *map(str, arguments)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={**WITH_HELPERS, "PYTHONFAULTHANDLER": "1"},
        )
        if last or done.returncode == 0 or not any(name in done.stderr for name in ENDED_BY_A_SIGNAL):
            break
        print(f"a rank was ended by a signal, and both are run again:\n{done.stderr}")
    assert done.returncode == 0, done.stderr
