"""One process that decodes photos, seen from the server: started, asked, and started again whenever it is gone.

Promises: whatever a photo does to its process, the one after it finds a working one.
Must never: believe what a process sends beyond its shape, which `messages` looks at.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from tagwright_server.errors import ImageRejected
from tagwright_server.images.messages import receive, send

T = TypeVar("T")

_START_S = 30.0  # 0.06 on an idle machine; only a machine in trouble takes longer
_PATIENCE = 4  # times the processor time a photo may take: a busy machine gives it late, a hung worker never
# The worker gets our module path, and nothing of our main program: that one may be a script, pytest or a notebook.
_PROGRAM = """
import json, sys
options = json.loads(sys.argv[2])
sys.path[:] = options.pop("path")
from tagwright_server.images.sandbox import serve
serve(int(sys.argv[1]), options)
"""


class Lost(Exception):
    """The worker died, or talks nonsense."""

    def __init__(self, exit_code: int | None) -> None:
        super().__init__(f"a decode worker was lost, exit code {exit_code}")
        self.exit_code = exit_code

    def rejection(self) -> ImageRejected:
        """Say what its second death over one photo means for that photo."""
        if self.exit_code == -signal.SIGKILL:  # how a system short of memory helps itself
            return ImageRejected("This photo takes more memory to decode than the machine has.", limit="memory")
        return ImageRejected("This photo cannot be decoded: the decoder fails on it.", limit="format")


class DecodeProcess:
    """One process and our end of its socket. It is started again whenever it is gone."""

    def __init__(self, options: dict[str, Any], timeout_s: float, recycle_after: int) -> None:
        self._options = options
        self._timeout_s = timeout_s
        self._recycle_after = recycle_after
        self._process: subprocess.Popen[bytes] | None = None
        self._peer: socket.socket | None = None
        self._ready = False
        self._decoded = 0

    @property
    def pid(self) -> int | None:
        """The process, where there is one just now."""
        process = self._process
        return process.pid if process else None

    def start(self) -> None:
        """Start the process; it is ready a little later, and whoever needs it first waits for that."""
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-c", _PROGRAM, str(theirs.fileno()), json.dumps(self._options)]
            # The allocator settings that make a network fast would keep a worker as large as its largest photo.
            env = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env=env,
                    start_new_session=True,  # a Ctrl-C at the terminal must not reach it
                )
            except BaseException:
                ours.close()
                raise
        self._peer, self._ready, self._decoded = ours, False, 0

    def stop(self) -> int | None:
        """End the process, at once; returns its exit code."""
        if self._peer is not None:
            self._peer.close()
        process, self._peer, self._process = self._process, None, None
        if process is None:
            return None
        # A dying process closes its socket a moment before its exit code can be read: that code, not our kill's.
        with suppress(subprocess.TimeoutExpired):
            return process.wait(0.05)
        process.kill()
        process.wait()
        return None

    def await_ready(self) -> None:
        """Wait for the process; raises OSError where none can be had."""
        if self._peer is None:
            self.start()
        if not self._ready:
            try:
                receive(self._connected, body_bytes=0, deadline=time.monotonic() + _START_S)
            except (OSError, EOFError, ValueError) as err:
                self.stop()
                raise OSError("a decode worker does not start") from err
            self._ready = True

    def ask(
        self,
        question: Mapping[str, object],
        data: bytes,
        *,
        answer_bytes: int,
        read: Callable[[dict[str, Any], bytearray], T | ImageRejected],
    ) -> T:
        """Have something done with one photo; raises ImageRejected or Lost, and leaves a worker for the next one.

        The answer's body has at most `answer_bytes`; `read` raises ValueError, KeyError or TypeError over nonsense.
        """
        self.await_ready()
        patience_s = self._timeout_s * _PATIENCE
        deadline = time.monotonic() + patience_s
        try:
            self._connected.settimeout(patience_s)
            send(self._connected, question, data)
            answer = read(*receive(self._connected, body_bytes=answer_bytes, deadline=deadline))
        except TimeoutError as err:
            self._replace()
            raise _late(self._timeout_s) from err
        except (OSError, EOFError, ValueError, KeyError, TypeError, RecursionError) as err:
            exit_code = self._replace()
            if exit_code == -signal.SIGPROF:
                raise _late(self._timeout_s) from err
            raise Lost(exit_code) from err
        self._decoded += 1
        if self._decoded >= self._recycle_after:  # whatever leaks in a decoder, leaks so far and no further
            self._replace()
        if isinstance(answer, ImageRejected):
            raise answer
        return answer

    @property
    def _connected(self) -> socket.socket:
        assert self._peer is not None
        return self._peer

    def _replace(self) -> int | None:
        exit_code = self.stop()
        with suppress(OSError):  # no process to be had just now: the next photo tries again
            self.start()
        return exit_code


def _late(timeout_s: float) -> ImageRejected:
    allowed = f"{timeout_s:g} seconds"
    return ImageRejected(f"This photo takes longer than {allowed} to decode.", limit="time", allowed=allowed)
