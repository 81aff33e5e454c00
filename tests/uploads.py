"""The other end of UploadImages, as raw as the contract: what a test sends and what it hears, message by message."""

from __future__ import annotations

import hashlib
import queue
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status
from servers import PATIENCE_S

from tagwright.v1 import tagging_service_pb2 as pb
from tagwright.v1 import upload_pb2
from tagwright.v1.tagging_service_pb2_grpc import TaggingServiceStub

CHUNK = 64 * 1024


class Stream:
    """One stream; `call` is grpc's own."""

    def __init__(self, channel: Any, *, metadata: Any = None, timeout: float = PATIENCE_S, **start: Any) -> None:
        self._sent: queue.SimpleQueue[pb.UploadImagesRequest | None] = queue.SimpleQueue()
        self.call = TaggingServiceStub(channel).UploadImages(
            iter(self._sent.get, None), metadata=metadata, timeout=timeout
        )
        self.send(start=upload_pb2.UploadStart(**start))

    def send(self, **message: Any) -> None:
        """Send a message as it is."""
        self._sent.put(pb.UploadImagesRequest(**message))

    def offer(self, id: int, data: bytes, **said: Any) -> None:
        """Offer a photo."""
        offer = {"source_sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data), **said}
        self.send(offer=upload_pb2.UploadOffer(offer_id=id, **offer))

    def chunks(self, id: int, data: bytes, *, size: int = CHUNK) -> None:
        """Send a photo's bytes."""
        for at in range(0, len(data), size):
            self.send(chunk=upload_pb2.UploadChunk(offer_id=id, data=data[at : at + size]))

    def finish(self) -> None:
        """Half close."""
        self._sent.put(None)

    def hear(self, kind: str) -> Any:
        """Return the next message, which has to be of this kind."""
        message = next(self.call)
        assert message.WhichOneof("message") == kind, message
        return getattr(message, kind)

    def results(self, photos: Mapping[int, bytes]) -> Iterator[upload_pb2.UploadResult]:
        """Send what is needed of these photos, half close when each has a result, and yield those."""
        left = len(photos)
        for message in self.call:
            kind = message.WhichOneof("message")
            if kind == "need":
                for id in message.need.offer_ids:
                    self.chunks(id, photos[id])
            elif kind == "result":
                yield message.result
                left -= 1
                if not left:
                    self.finish()


def upload(channel: Any, photos: Iterable[bytes], **options: Any) -> dict[int, upload_pb2.UploadResult]:
    """Upload photos, all under way at once, and return the results by their place; `said` is said of each."""
    said = options.pop("said", {})
    numbered = dict(enumerate(photos))
    stream = Stream(channel, **options)
    for id, data in numbered.items():
        stream.offer(id, data, **said)
    return {result.offer_id: result for result in stream.results(numbered)}


def ended(stream: Stream) -> tuple[grpc.StatusCode, str, str]:
    """Hear the stream to its end, which has to be an error; return its code, reason and text."""
    with pytest.raises(grpc.RpcError) as raised:
        list(stream.call)
    status = rpc_status.from_call(cast("grpc.Call", raised.value))
    assert status is not None
    return raised.value.code(), reason_of(status), status.message


def reason_of(status: Any) -> str:
    """Return the reason of a status."""
    info = ErrorInfo()
    for detail in status.details:
        detail.Unpack(info)
    return str(info.reason)
