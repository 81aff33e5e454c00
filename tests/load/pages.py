"""The web pages of a server, started as their users start them and always stopped: `tagwright-web` in a process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from .serving import NotServed

_SAYS = re.compile(r"pages on (http://\S+), of the server at")
_START_S = 60.0
_STOP_S = 30.0
_LOOK_S = 0.05


@contextmanager
def pages(server: str) -> Iterator[str]:
    """Serve the pages of a server on a free port for as long as the block runs; gives their address, or NotServed."""
    if find_spec("tagwright_web") is None:
        raise NotServed("tagwright-web is not installed")
    command = [sys.executable, "-m", "tagwright_web", "--listen=127.0.0.1:0", f"--server=grpc://{server}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TAGWRIGHT_")}
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the bench, which then stops its pages
        )

        def said() -> str:
            return os.pread(log.fileno(), 1_000_000, 0).decode(errors="replace")  # the process writes at its own place

        try:
            deadline_s = time.monotonic() + _START_S
            while not (found := _SAYS.search(said())):
                if process.poll() is not None or time.monotonic() > deadline_s:
                    last = (said().strip().splitlines() or ["they said nothing"])[-1]
                    raise NotServed(f"the pages {'ended' if process.poll() is not None else 'do not start'}: {last}")
                time.sleep(_LOOK_S)
            yield found[1]
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
