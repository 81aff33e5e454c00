"""An UploadImages of a few lines that keeps to the contract, for tests of what uploads: photos in a dictionary.

A photo's bytes are the script, as in `fake_tagging`: `b"dog"` gets the tag dog, `b"!truncated"` IMAGE_REJECTED. What
else an upload shall meet a test says with `on_open`, `on_offer` and `on_photo`, which may answer an error, or do
something to the stream.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fake_tagging import FakeTagging, abort, image_tags, status
from google.protobuf.duration_pb2 import Duration
from google.rpc.status_pb2 import Status

from tagwright.v1 import tag_pb2, upload_pb2
from tagwright.v1 import tagging_service_pb2 as pb

_A_MOMENT_S = 0.02


@dataclass
class Stream:
    """One stream: what came in it, and what may be done to it."""

    number: int
    context: Any
    start: upload_pb2.UploadStart | None = None
    offers: list[upload_pb2.UploadOffer] = field(default_factory=list)
    chunk_sizes: list[int] = field(default_factory=list)
    results: int = 0
    half_closed: bool = False
    ended: threading.Event = field(default_factory=threading.Event)
    answers: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)

    def pace(self, *, photos: int, size_bytes: int, wait_s: float = 0.0) -> None:
        wait = Duration(nanos=round(wait_s * 1e9))
        pace = upload_pb2.UploadPace(photos_in_flight_max=photos, bytes_in_flight_max=size_bytes, wait=wait)
        self.answers.put(pb.UploadImagesResponse(pace=pace))

    def need(self, *offer_ids: int) -> None:
        self.answers.put(pb.UploadImagesResponse(need=upload_pb2.UploadNeed(offer_ids=offer_ids)))

    def end(self, offer_id: int, result: Any) -> None:
        self.results += 1
        message = upload_pb2.UploadResult(offer_id=offer_id)
        (message.error if isinstance(result, Status) else message.tags).CopyFrom(result)
        self.answers.put(pb.UploadImagesResponse(result=message))

    def move_on(self) -> None:
        self.answers.put(pb.UploadImagesResponse(move_on=upload_pb2.UploadMoveOn(wait=Duration(nanos=1_000_000))))

    def fail(self, failure: Status) -> None:
        """End the whole stream with an error."""
        self.answers.put(failure)


Verdict = Any  # a Status, whose package has no types, or None


@dataclass
class FakeUpload(FakeTagging):
    """What was stored, what the server saw, and what it shall do next."""

    photos: int = 4
    size_bytes: int = 1 << 20
    stored: dict[str, bytes] = field(default_factory=dict)
    streams: list[Stream] = field(default_factory=list)
    opened: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    on_open: Callable[[Stream], Verdict] = lambda stream: None
    on_offer: Callable[[Stream, upload_pb2.UploadOffer], Verdict] = lambda stream, offer: None
    on_photo: Callable[[Stream, upload_pb2.UploadOffer, bytes], Verdict] = lambda stream, offer, data: None

    def UploadImages(
        self, request_iterator: Iterator[pb.UploadImagesRequest], context: Any
    ) -> Iterator[pb.UploadImagesResponse]:
        stream = Stream(number=len(self.streams), context=context)
        self.streams.append(stream)
        for over in (stream.ended.set, lambda: stream.answers.put(None)):
            if not context.add_callback(over):  # it is over already
                over()
        self.opened.release()
        refused = self.on_open(stream)
        if refused is not None:
            abort(context, refused)
        threading.Thread(target=self._read, args=(stream, request_iterator), daemon=True).start()
        while True:
            answer = stream.answers.get()
            if answer is None:
                return
            if isinstance(answer, Status):
                abort(context, answer)
            yield answer

    def _read(self, stream: Stream, requests: Iterator[pb.UploadImagesRequest]) -> None:
        coming: dict[int, bytearray] = {}
        try:
            for request in requests:
                if request.HasField("start"):
                    assert stream.start is None
                    stream.start = request.start
                    stream.pace(photos=self.photos, size_bytes=self.size_bytes)
                elif request.HasField("offer"):
                    self._offered(stream, request.offer, coming)
                else:
                    self._came(stream, request.chunk, coming)
        except Exception:
            stream.answers.put(status(13, "the stream broke") if not stream.context.is_active() else None)
            return
        # grpc may tell of a cancelled call as of one that was half closed, and of its end a moment later.
        stream.half_closed = not stream.ended.wait(_A_MOMENT_S)
        stream.answers.put(None if not coming else status(3, "bytes are missing", reason="ARGUMENT_INVALID"))

    def _offered(self, stream: Stream, offer: upload_pb2.UploadOffer, coming: dict[int, bytearray]) -> None:
        stream.offers.append(offer)
        if len(stream.offers) - stream.results > self.photos:
            stream.fail(status(3, "more than the pace", reason="ARGUMENT_INVALID"))
            return
        refused = self.on_offer(stream, offer)
        if refused is not None:
            stream.end(offer.offer_id, refused)
        elif offer.source_sha256 in self.stored:
            stream.end(offer.offer_id, self._tags(offer, existing=True))
        else:
            coming[offer.offer_id] = bytearray()
            stream.need(offer.offer_id)

    def _came(self, stream: Stream, chunk: upload_pb2.UploadChunk, coming: dict[int, bytearray]) -> None:
        offer = next(offer for offer in stream.offers if offer.offer_id == chunk.offer_id)
        stream.chunk_sizes.append(len(chunk.data))
        data = coming[chunk.offer_id]
        data += chunk.data
        if len(data) < offer.size_bytes:
            return
        del coming[chunk.offer_id]
        refused = self._verdict(stream, offer, bytes(data))
        if refused is None:
            self.stored[offer.source_sha256] = bytes(data)
        stream.end(offer.offer_id, refused if refused is not None else self._tags(offer, existing=False))

    def _verdict(self, stream: Stream, offer: upload_pb2.UploadOffer, data: bytes) -> Verdict:
        if len(data) != offer.size_bytes or hashlib.sha256(data).hexdigest() != offer.source_sha256:
            return status(3, "not what was offered", reason="ARGUMENT_INVALID")
        if data.startswith(b"!"):
            return status(3, "no photo", reason="IMAGE_REJECTED", metadata={"limit": data[1:].decode()})
        return self.on_photo(stream, offer, data)

    def _tags(self, offer: upload_pb2.UploadOffer, *, existing: bool) -> tag_pb2.ImageTags:
        tags = image_tags(self.stored[offer.source_sha256].decode(errors="replace")[:20])
        tags.image_id = offer.source_sha256[:32]
        tags.existing = existing
        return tags
