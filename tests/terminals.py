"""The `tagwright` command as people meet it: on a terminal, with questions that are answered as they come."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

PATIENCE_S = 60.0  # what a test waits at most for something that takes milliseconds on an idle machine


def converse(
    arguments: Sequence[str],
    answers: Sequence[tuple[str, str]],
    *,
    env: Mapping[str, str],
    program: str = "tagwright_admin",
) -> tuple[str, int]:
    """Run the command on a terminal of its own and answer each question once it is asked.

    Returns all that the terminal showed, and the exit code. An answer ends with its own "\\n".
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", program, *arguments],
        env={**env, "TERM": "dumb", "COLUMNS": "200"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,  # else passwords would be read from the terminal that the tests run on
    )
    os.close(theirs)
    shown, heard = bytearray(), 0
    waiting = list(answers)
    give_up_at = time.monotonic() + PATIENCE_S
    try:
        while True:
            ready, _, _ = select.select([ours], [], [], max(0.0, give_up_at - time.monotonic()))
            assert ready, f"nothing more came after {shown.decode()!r}"
            chunk = os.read(ours, 65_536)
            if not chunk:
                break
            shown += chunk
            if waiting and waiting[0][0].encode() in shown[heard:]:
                heard = len(shown)
                os.write(ours, waiting.pop(0)[1].encode())
    except OSError:  # how Linux says that the other side is gone
        pass
    finally:
        os.close(ours)
        process.kill() if process.poll() is None and time.monotonic() >= give_up_at else None
    exit_code = process.wait(PATIENCE_S)
    assert waiting == [], f"never asked: {waiting}; shown: {shown.decode()!r}"
    return shown.decode().replace("\r\n", "\n"), exit_code
