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

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotDone  # the built-in TimeoutError only from Python 3.11 on
from dataclasses import asdict, dataclass
from functools import partial
from types import TracebackType
from typing import Generic, ParamSpec, TypeVar

from tagwright_server.errors import DeadlineExceeded, Overloaded, StartupError
from tagwright_server.images.decode import DecodedPhoto, DecodeLimits, check_size
from tagwright_server.images.messages import THUMBNAIL_BYTES_MAX, read_photo, read_thumbnail
from tagwright_server.images.preprocess import Preprocessing
from tagwright_server.images.process import DecodeProcess, Lost
from tagwright_server.images.thumbnail import Thumbnail, check_kept_size

_RETRY_AFTER_S = 1.0  # two cores decode a full queue of 256 in about that
_MOST_WORKERS = 16  # more decode faster than any network here looks at
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A photo, the seconds it waited for a worker, and the seconds it took there and back."""

    photo: DecodedPhoto
    queue_s: float
    decode_s: float


class Job(Generic[T]):
    """A photo on its way through the pool."""

    def __init__(self, future: Future[T]) -> None:
        self._future = future

    def result(self, *, timeout_s: float | None = None) -> T:
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


Pending = Job[Decoded]
PendingThumbnail = Job[Thumbnail]


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
        self._workers = [DecodeProcess(options, timeout_s, recycle_after) for _ in range(workers)]
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

    def submit(self, data: bytes, preprocessing: Preprocessing, *, keep: bool = False, ours: bool = False) -> Pending:
        """Queue a photo, with `keep` also for what is kept of it; raises Overloaded when the queue is full.

        `ours` is what was kept of one, which may be longer than what may come. A photo's own faults come with its
        result.
        """
        return Job(self._queue(self._decode, data, preprocessing, keep, ours, time.monotonic()))

    def submit_thumbnail(self, data: bytes) -> PendingThumbnail:
        """Queue what is kept of a photo, to be made small; raises Overloaded when the queue is full."""
        return Job(self._queue(self._shrink, data))

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

    def _queue(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> Future[T]:
        if not self._places.acquire(blocking=False):
            raise Overloaded("Too many photos are waiting to be decoded.", retry_after_s=_RETRY_AFTER_S)
        future = self._threads.submit(work, *arguments, **named)
        future.add_done_callback(lambda _: self._places.release())
        return future

    def _decode(self, data: bytes, preprocessing: Preprocessing, keep: bool, ours: bool, submitted: float) -> Decoded:
        size, limits = preprocessing.size, self._limits
        check_size(data, limits.of_ours() if ours else limits)
        question = {"task": "decode", "preprocessing": preprocessing.to_manifest(), "keep": keep, "ours": ours}
        answer_bytes = size * size * 3 + (limits.kept_bytes if keep else 0)
        read = partial(read_photo, size=size, keep=keep, limits=limits)
        started = time.monotonic()
        photo = self._ask(lambda worker: worker.ask(question, data, answer_bytes=answer_bytes, read=read))
        return Decoded(photo, queue_s=started - submitted, decode_s=time.monotonic() - started)

    def _shrink(self, data: bytes) -> Thumbnail:
        check_kept_size(data, self._limits)
        question = {"task": "thumbnail"}
        return self._ask(
            lambda worker: worker.ask(question, data, answer_bytes=THUMBNAIL_BYTES_MAX, read=read_thumbnail)
        )

    def _ask(self, ask: Callable[[DecodeProcess], T]) -> T:
        worker = self._idle.pop()  # never empty: there are as many threads as workers
        try:
            try:
                return ask(worker)
            except (Lost, OSError):  # perhaps not this photo's fault: killed by somebody, or found dead
                return ask(worker)
        except Lost as err:
            raise err.rejection() from err
        except OSError as err:
            raise Overloaded("No process can be started to decode photos.", retry_after_s=_RETRY_AFTER_S) from err
        finally:
            self._idle.append(worker)
