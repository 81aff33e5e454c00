"""A pool of processes that decode photos, so that no photo can take the server with it.

Promises: a photo that is slow, takes too much memory or kills its decoder costs itself and nobody else: it ends in
`ImageRejected`, and its worker is replaced. A worker that dies for another reason costs nothing: its photo is sent once
more. More photos than the queue holds are refused at once with `Overloaded`.
Must never: believe what a worker sends beyond its shape; hold a photo longer than its caller waits.

Why not a ready-made pool (measured, 120 KB JPEGs, 2 workers): `pebble` costs 0.7 ms of processor time a photo where
this one costs 0.35, and never recovers when an idle worker is killed; `concurrent.futures` fails every photo in
flight when one worker dies. Here each worker has a socket of its own: its death is seen at once, by its own caller. A
worker is a fresh interpreter, not a fork: it shares no thread, lock or connection with the gRPC server.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotDone  # the built-in TimeoutError only from Python 3.11 on
from contextlib import suppress
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any

import numpy as np

from tagwright_server.errors import DeadlineExceeded, ImageRejected, Overloaded, StartupError
from tagwright_server.images.decode import DecodedPhoto, DecodeLimits, check_size
from tagwright_server.images.preprocess import Preprocessing
from tagwright_server.images.sandbox import receive, send

_START_S = 30.0  # 0.06 on an idle machine; only a machine in trouble takes longer
_RETRY_AFTER_S = 1.0  # two cores decode a full queue of 256 in about that
_PATIENCE = 4  # times the processor time a photo may take: a busy machine gives it late, a hung worker never
_MOST_WORKERS = 16  # more decode faster than any network here looks at
# The worker gets our module path, and nothing of our main program: that one may be a script, pytest or a notebook.
_PROGRAM = """
import json, sys
options = json.loads(sys.argv[2])
sys.path[:] = options.pop("path")
from tagwright_server.images.sandbox import serve
serve(int(sys.argv[1]), options)
"""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A photo, the seconds it waited for a worker, and the seconds it took there and back."""

    photo: DecodedPhoto
    queue_s: float
    decode_s: float


class Pending:
    """A photo on its way through the pool."""

    def __init__(self, future: Future[Decoded]) -> None:
        self._future = future

    def result(self, *, timeout_s: float | None = None) -> Decoded:
        """Wait for the photo; raises ImageRejected, or DeadlineExceeded after `timeout_s` and drops it."""
        try:
            return self._future.result(timeout_s)
        except NotDone as err:
            self._future.cancel()
            raise DeadlineExceeded("The call's time ran out before its photo was decoded.") from err
        except CancelledError as err:
            text = "The photo was dropped before it was decoded: its caller is gone, or the server is stopping."
            raise Overloaded(text, retry_after_s=_RETRY_AFTER_S) from err

    def cancel(self) -> None:
        """Drop the photo if no worker has it yet; one that is being decoded is finished, for nobody."""
        self._future.cancel()


class DecodePool:
    """Decodes photos in `workers` processes (default: one a core) with at most `max_waiting` photos waiting.

    A photo may take `timeout_s` of processor time, and `address_space_bytes` beyond what an idle worker has.
    """

    def __init__(
        self,
        workers: int | None = None,
        limits: DecodeLimits | None = None,
        *,
        timeout_s: float = 5.0,
        address_space_bytes: int = 2**30,
        recycle_after: int = 500,
        max_waiting: int = 256,
    ) -> None:
        workers = workers or min(os.cpu_count() or 1, _MOST_WORKERS)
        self._limits = limits or DecodeLimits()
        self._places = threading.BoundedSemaphore(workers + max_waiting)
        options = {
            "limits": asdict(self._limits),
            "timeout_s": timeout_s,
            "address_space_bytes": address_space_bytes,
            "path": sys.path,
        }
        self._workers = [_Worker(options, timeout_s, recycle_after) for _ in range(workers)]
        self._idle = deque(self._workers)
        # A thread for each worker, to wait for its answer. The executor's queue is the pool's queue.
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        try:
            for worker in self._workers:
                worker.start()
            for worker in self._workers:
                worker.await_ready()
        except OSError as err:
            self.close()
            raise StartupError("The processes that decode photos do not start; see the lines above.") from err

    def submit(self, data: bytes, preprocessing: Preprocessing) -> Pending:
        """Queue a photo; raises Overloaded when the queue is full. A photo's own faults come with its result."""
        if not self._places.acquire(blocking=False):
            raise Overloaded("Too many photos are waiting to be decoded.", retry_after_s=_RETRY_AFTER_S)
        future = self._threads.submit(self._decode, data, preprocessing, time.monotonic())
        future.add_done_callback(lambda _: self._places.release())
        return Pending(future)

    @property
    def worker_pids(self) -> list[int]:
        """The processes that decode just now."""
        return [pid for worker in self._workers if (pid := worker.pid) is not None]

    def close(self) -> None:
        """Finish the photos that are being decoded, drop those that wait, end the processes."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        for worker in self._workers:
            worker.stop()

    def __enter__(self) -> DecodePool:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    def _decode(self, data: bytes, preprocessing: Preprocessing, submitted: float) -> Decoded:
        check_size(data, self._limits)
        worker = self._idle.pop()  # never empty: there are as many threads as workers
        started = time.monotonic()
        try:
            try:
                photo = worker.decode(data, preprocessing)
            except (_Lost, OSError):  # perhaps not this photo's fault: killed by somebody, or found dead
                photo = worker.decode(data, preprocessing)
        except _Lost as err:
            raise err.rejection() from err
        except OSError as err:
            raise Overloaded("No process can be started to decode photos.", retry_after_s=_RETRY_AFTER_S) from err
        finally:
            self._idle.append(worker)
        return Decoded(photo, queue_s=started - submitted, decode_s=time.monotonic() - started)


class _Lost(Exception):
    """The worker died, or talks nonsense."""

    def __init__(self, exit_code: int | None) -> None:
        super().__init__(f"a decode worker was lost, exit code {exit_code}")
        self.exit_code = exit_code

    def rejection(self) -> ImageRejected:
        if self.exit_code == -signal.SIGKILL:  # how a system short of memory helps itself
            return ImageRejected("This photo takes more memory to decode than the machine has.", limit="memory")
        return ImageRejected("This photo cannot be decoded: the decoder fails on it.", limit="format")


class _Worker:
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

    def decode(self, data: bytes, preprocessing: Preprocessing) -> DecodedPhoto:
        """Have one photo decoded; raises ImageRejected or _Lost, and leaves a worker for the next photo either way."""
        self.await_ready()
        size = preprocessing.size
        patience_s = self._timeout_s * _PATIENCE
        deadline = time.monotonic() + patience_s
        try:
            self._connected.settimeout(patience_s)
            send(self._connected, preprocessing.to_manifest(), data)
            head, pixels = receive(self._connected, body_bytes=size * size * 3, deadline=deadline)
            answer = _photo(head, pixels, size)
        except TimeoutError as err:
            self._replace()
            raise _late(self._timeout_s) from err
        except (OSError, EOFError, ValueError, KeyError, TypeError) as err:
            exit_code = self._replace()
            if exit_code == -signal.SIGPROF:
                raise _late(self._timeout_s) from err
            raise _Lost(exit_code) from err
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


def _photo(head: dict[str, Any], pixels: bytearray, size: int) -> DecodedPhoto | ImageRejected:
    if "rejected" in head:
        named = {name: str(head[name]) for name in ("limit", "allowed", "actual")}
        return ImageRejected(str(head["rejected"]), **named)
    square = np.frombuffer(pixels, np.uint8).reshape(size, size, 3)  # ValueError where the length is another
    return DecodedPhoto(square, int(head["width"]), int(head["height"]), str(head["format"]))


def _late(timeout_s: float) -> ImageRejected:
    allowed = f"{timeout_s:g} seconds"
    return ImageRejected(f"This photo takes longer than {allowed} to decode.", limit="time", allowed=allowed)
