"""An upload from end to end: photos are taken up, streams follow one another, results are given back."""

from __future__ import annotations

import dataclasses
import math
import random
import threading
import time
from collections.abc import Callable, Generator, Iterator

from ._cancellation import Cancellation, linked
from ._errors import ClientClosed, DeadlineExceeded, ServerUnreachable, TagwrightError
from ._upload_progress import TICK_S, Progress
from ._upload_session import Finished, UploadSession
from ._upload_source import prepare
from ._upload_stream import UploadStream
from ._upload_values import UploadPhoto, UploadResult

_FIRST_PATIENCE_S = 5.0  # where nobody ever answered, the address is rather wrong
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
_BARREN_MAX = 8  # streams in a row that took photos and ended before any result: it would go on like that for ever
# What grpc, a proxy or a server that is being stopped ends a stream with; the upload itself is not to blame.
_BROKEN_CODES = ("UNAVAILABLE", "CANCELLED", "INTERNAL", "UNKNOWN", "DEADLINE_EXCEEDED")

Clock = Callable[[], float]


class Streams:
    """The streams of one upload, one after the other."""

    def __init__(
        self,
        open_stream: Callable[[], UploadStream],
        session: UploadSession,
        changed: threading.Condition,
        *,
        patience_s: float,
        clock: Clock = time.monotonic,
    ) -> None:
        self._open_stream = open_stream
        self._session = session
        self._changed = changed
        self._patience_s = patience_s
        self._clock = clock
        self._stream: UploadStream | None = None
        self._open_from_s = 0.0
        self._lost_since_s: float | None = None
        self._last_error: TagwrightError | None = None
        self._ever_paced = False
        self._pause_s = _FIRST_PAUSE_S
        self._barren = 0

    def tend(self) -> None:
        """Open a stream where one is due, and see to one that has ended. Raises what ends the upload."""
        stream = self._stream
        if stream is None:
            now_s = self._clock()
            if self._session.unfinished and now_s >= self._open_from_s:
                self._lost_since_s = now_s if self._lost_since_s is None else self._lost_since_s
                self._stream = self._open_stream()
            return
        with self._changed:
            left, over = self._session.left, self._session.left or self._session.completed
            orderly = not self._session.broken
        if left or stream.ended:
            self._stream = None
            stream.close(orderly=orderly)
            self._see_to(stream, over=over)
        elif not stream.paced and self._patience_left_s() < 0:
            raise self._last_error or DeadlineExceeded("the server did not begin the upload")

    def wait_s(self) -> float:
        """How long nothing is to be done here unless something comes; call with `changed` held."""
        stream = self._stream
        if stream is None:
            return max(self._open_from_s - self._clock(), 0.0) if self._session.unfinished else math.inf
        if stream.ended or self._session.left:
            return 0.0
        return math.inf if stream.paced else max(self._patience_left_s(), 0.0)

    def close(self, *, orderly: bool) -> None:
        """End the stream that there is, if any."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close(orderly=orderly)

    def _see_to(self, stream: UploadStream, *, over: bool) -> None:
        now_s = self._clock()
        if stream.fault is not None:
            raise stream.fault
        with self._changed:
            barren = stream.paced and not stream.results and self._session.offered > 0
            self._session.reset()
        if stream.paced:
            self._ever_paced = True
            self._lost_since_s, self._pause_s = now_s, _FIRST_PAUSE_S
        if over:
            self._lost_since_s = None
            self._open_from_s = now_s + stream.wait_s
            return
        error = stream.error or ServerUnreachable("the server ended the upload before it was complete")
        self._barren = self._barren + 1 if barren else 0
        if not _passing(error) or self._barren >= _BARREN_MAX:
            raise error
        self._last_error = error
        pause_s = self._pause_s if error.retry_after_s is None else error.retry_after_s
        pause_s *= random.uniform(1.0, 1.25)  # not all clients of a server that comes back at once
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
        if pause_s > self._patience_left_s():
            raise error
        self._open_from_s = now_s + pause_s

    def _patience_left_s(self) -> float:
        if self._lost_since_s is None:
            return math.inf
        nobody = not self._ever_paced and isinstance(self._last_error, ServerUnreachable)
        patience_s = min(self._patience_s, _FIRST_PATIENCE_S) if nobody else self._patience_s
        return self._lost_since_s + patience_s - self._clock()


def run(
    photos: Iterator[UploadPhoto],
    session: UploadSession,
    streams: Streams,
    changed: threading.Condition,
    *,
    progress: Progress | None = None,
    timeout_s: float | None = None,
    clock: Clock = time.monotonic,
) -> Generator[UploadResult, None, None]:
    """Yield one result a photo, as it is there.

    An exception of `photos` itself is raised in its place, after the results of the photos before it. However the
    generator ends (used up, failed, closed, forgotten), its stream is over and its threads have ended.
    """
    with linked() as cancellation, cancellation.tracking(_Waking(changed)):
        yield from _run(
            photos, session, streams, changed, cancellation, progress=progress, timeout_s=timeout_s, clock=clock
        )


class _Waking:
    """Has whoever waits for `changed` look again when the upload is called off."""

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed

    def cancel(self) -> None:
        with self._changed:
            self._changed.notify_all()


def _run(
    photos: Iterator[UploadPhoto],
    session: UploadSession,
    streams: Streams,
    changed: threading.Condition,
    cancellation: Cancellation,
    *,
    progress: Progress | None,
    timeout_s: float | None,
    clock: Clock,
) -> Generator[UploadResult, None, None]:
    give_up_at_s = clock() + timeout_s if timeout_s is not None else math.inf
    failure: Exception | None = None
    orderly = False
    try:
        while True:
            try:
                streams.tend()
            except TagwrightError:
                while session.finished:  # results that came before what ended the upload
                    yield _result(session.finished.popleft())
                raise
            with changed:
                # A slow source must not hold back a result that is there, unless the server waits for photos.
                pull = not session.source_used_up and (session.hungry if session.finished else session.room)
                finished = session.finished.popleft() if session.finished else None
            if pull:
                failure = _take_up(photos, session, changed, clock=clock)
            if finished is not None:
                if progress is not None:
                    progress.count(failed=finished.error is not None)
                    progress.show()
                yield _result(finished)
                continue
            if progress is not None:
                progress.show()
            if clock() >= give_up_at_s:
                raise DeadlineExceeded(f"{session.unfinished} photos have no result after {timeout_s} s")
            with changed:
                if cancellation.cancelled:
                    raise ClientClosed("nobody waits for this upload any more")
                if session.finished or pull:
                    continue
                if session.completed:
                    break
                if session.room and not session.source_used_up:
                    continue
                wait_s = min(streams.wait_s(), give_up_at_s - clock(), TICK_S if progress is not None else math.inf)
                if wait_s > 0:
                    changed.wait(wait_s if wait_s != math.inf else None)
        orderly = True
        if failure is not None:
            raise failure
    finally:
        streams.close(orderly=orderly)
        if progress is not None:
            progress.close()


def _take_up(
    photos: Iterator[UploadPhoto], session: UploadSession, changed: threading.Condition, *, clock: Clock
) -> Exception | None:
    """Take up one photo; returns the exception of the caller's own that ended them."""
    failure: Exception | None = None
    try:
        photo = next(photos)
    except StopIteration:
        pass
    except Exception as err:
        failure = err
    else:
        try:
            entry = prepare(photo)
        except TagwrightError as err:
            with changed:
                session.fail(photo, err)
            return None
        with changed:
            session.add(entry, now_s=clock())
            changed.notify_all()
        return None
    with changed:
        session.source_used_up = True
        changed.notify_all()
    return failure


def _result(finished: Finished) -> UploadResult:
    tags = finished.tags
    if tags is not None:
        timings = dataclasses.replace(tags.timings, total_ms=finished.took_s * 1000)
        tags = dataclasses.replace(tags, timings=timings)
    return UploadResult(photo=finished.photo, tags=tags, error=finished.error, sent_bytes=finished.sent_bytes)


def _passing(error: TagwrightError) -> bool:
    """Whether another stream may fare better than one that ended with `error`."""
    if error.retry_after_s is not None:
        return True
    return (error.code in _BROKEN_CODES and error.error_id is None) or isinstance(error, ServerUnreachable)
