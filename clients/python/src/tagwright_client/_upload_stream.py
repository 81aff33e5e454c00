"""One stream of an upload: grpc's thread sends what the session says, and a thread of ours tells it what comes."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Callable, Iterator

from google.protobuf.duration_pb2 import Duration

from tagwright.v1 import tagging_service_pb2 as pb
from tagwright.v1 import upload_pb2
from tagwright.v1.tagging_service_pb2_grpc import TaggingServiceStub

from . import _convert
from ._connection import Connection
from ._errors import ArgumentInvalid, InternalError, ScopeMissing, TagwrightError, TokenInvalid
from ._translate import from_status
from ._upload_session import Chunk, HalfClose, Offer, Open, UploadSession, Wait
from ._upload_source import content

THREAD_NAME = "tagwright-upload"
_GOODBYE_S = 5.0  # how long the other side may take to end what is over

Clock = Callable[[], float]


class UploadStream:
    """A stream that begins at once. `changed` guards the session and is told whenever something came.

    `ended` once nothing more comes, with `error` where it ended so; `fault` is an exception of our own making. `paced`:
    the server let us begin. `wait_s`: how long it asked to wait before the next stream.
    """

    def __init__(
        self,
        connection: Connection,
        stub: TaggingServiceStub,
        start: upload_pb2.UploadStart,
        session: UploadSession,
        changed: threading.Condition,
        clock: Clock = time.monotonic,
    ) -> None:
        self.ended = False
        self.error: TagwrightError | None = None
        self.fault: BaseException | None = None
        self.paced = False
        self.results = 0
        self.wait_s = 0.0
        self._connection = connection
        self._start = start
        self._session = session
        self._changed = changed
        self._clock = clock
        self._sent_all = threading.Event()
        with connection.our_errors():
            self._call = connection.stream(stub.UploadImages, self._requests(), name="UploadImages")
        self._receiver = threading.Thread(target=self._receive, name=THREAD_NAME, daemon=True)
        self._receiver.start()

    def cancel(self) -> None:
        """End it now."""
        self._call.cancel()

    def close(self, *, orderly: bool = False) -> None:
        """End it, and wait for its threads; `orderly`: the server may end what was half closed."""
        if orderly:
            self._receiver.join(_GOODBYE_S)
        self._call.cancel()  # before the requests end: what is left in the middle is not half closed
        with self._changed:
            self.ended = True
            self._changed.notify_all()
        self._receiver.join(_GOODBYE_S)
        self._sent_all.wait(_GOODBYE_S)  # it may be reading a photo just now

    def _requests(self) -> Iterator[pb.UploadImagesRequest]:
        try:
            yield pb.UploadImagesRequest(start=self._start)
            while True:
                step = self._next_step()
                if step is None or isinstance(step, HalfClose):
                    return
                if isinstance(step, Open):
                    self._open(step)
                else:
                    yield _message(step)
        except Exception as err:
            self.fault = err
            raise
        finally:
            self._sent_all.set()

    def _next_step(self) -> Offer | Open | Chunk | HalfClose | None:
        with self._changed:
            while not self.ended:
                now_s = self._clock()
                step = self._session.next_step(now_s)
                if not isinstance(step, Wait):
                    return step
                self._changed.wait(step.until_s - now_s if step.until_s != math.inf else None)
        return None

    def _open(self, step: Open) -> None:
        try:
            data = content(step.entry.photo)
        except TagwrightError as err:
            with self._changed:
                self._session.unreadable(step.offer_id, err, now_s=self._clock())
                self._changed.notify_all()
            return
        sha256 = hashlib.sha256(data).hexdigest()
        with self._changed:
            self._session.opened(step.offer_id, data, sha256=sha256, now_s=self._clock())
            self._changed.notify_all()

    def _receive(self) -> None:
        error: TagwrightError | None = None
        try:
            with self._connection.our_errors(oversize=ArgumentInvalid):
                for response in self._call:
                    self._take(response)
        except TagwrightError as err:
            error = err
        except Exception as err:
            self.fault = err
        self._call.cancel()  # it may have ended on our side only
        with self._changed:
            self.ended = True
            self.error = error
            self._changed.notify_all()

    def _take(self, response: pb.UploadImagesResponse) -> None:
        kind = response.WhichOneof("message")
        now_s = self._clock()
        if kind == "result":
            self._take_result(response.result)
            return
        with self._changed:
            if kind == "pace":
                pace = response.pace
                self.paced = True
                self._session.pace(
                    photos_max=pace.photos_in_flight_max,
                    bytes_max=pace.bytes_in_flight_max,
                    wait_s=_seconds(pace.wait),
                    now_s=now_s,
                )
            elif kind == "need":
                self._session.need(list(response.need.offer_ids))
            elif kind == "move_on":
                self.wait_s = _seconds(response.move_on.wait)
                self._session.move_on()
            self._changed.notify_all()

    def _take_result(self, result: upload_pb2.UploadResult) -> None:
        tags = _convert.photo_tags(result.tags) if result.HasField("tags") else None
        error: TagwrightError | None = None
        if result.HasField("error"):
            error = from_status(result.error)
        elif tags is None:
            error = InternalError("the server's answer makes no sense: a result without tags and without an error")
        if isinstance(error, (TokenInvalid, ScopeMissing)):
            raise error  # no other photo would fare better
        with self._changed:
            self.results += 1
            self._session.result(result.offer_id, tags=tags, error=error, now_s=self._clock())
            self._changed.notify_all()


def _message(step: Offer | Chunk) -> pb.UploadImagesRequest:
    if isinstance(step, Chunk):
        return pb.UploadImagesRequest(chunk=upload_pb2.UploadChunk(offer_id=step.offer_id, data=step.data))
    entry = step.entry
    return pb.UploadImagesRequest(
        offer=upload_pb2.UploadOffer(
            offer_id=step.offer_id,
            source_sha256=entry.sha256,
            size_bytes=entry.size_bytes,
            user_tags=entry.photo.user_tags,
            author=entry.photo.author,
            file_name=entry.file_name,
        )
    )


def _seconds(duration: Duration) -> float:
    return duration.ToNanoseconds() / 1e9
