"""A small process between us and Triton, so that nothing of Triton ever outlives us: run by `child.py`, imported by
nobody.

It starts the command it is given in a session of its own and waits for the first of two ends: the command's, or ours,
which it sees as the end of its standard input. Then it kills the whole session, stubs included, and removes the
shared memory and the temporary folder that a killed Triton leaves behind. Needs nothing but the standard library, so
that it starts at once.

    python -I -S keeper.py SHARED_MEMORY_PREFIX FOLDER COMMAND [ARGUMENT ...]
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_POLL_S = 0.1


def main(prefix: str, folder: str, command: list[str]) -> int:
    """Run `command` until it ends or standard input does; return its exit status."""
    # Stubs that lose their parent become our children, so that we bury them also where process 1 does not.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    # Ctrl-C and service managers signal everyone; the server finishes its calls first, and then ends us by our input.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_die_with_keeper)
    while process.poll() is None and not select.select([sys.stdin], [], [], _POLL_S)[0]:
        pass
    with contextlib.suppress(ProcessLookupError):  # its group: reaches stubs that lost their parent, too
        os.killpg(process.pid, signal.SIGKILL)
    status = process.wait()
    with contextlib.suppress(ChildProcessError):  # until none is left; SIGKILL makes that soon
        while True:
            os.waitpid(-1, 0)
    for region in Path("/dev/shm").glob(f"{prefix}*"):
        region.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    return status if status >= 0 else 128 - status


def _die_with_keeper() -> None:
    """Have the kernel kill the command should the keeper itself be killed. Safe here: the keeper has one thread."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
