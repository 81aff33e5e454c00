"""UploadImages: the stream on one side, an Upload of the domain on the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import grpc
from google.protobuf.duration_pb2 import Duration

from tagwright.v1 import tagging_service_pb2 as pb
from tagwright.v1 import upload_pb2
from tagwright_server.domain.deadline import CallerGone
from tagwright_server.domain.keeping import Submission, check_said
from tagwright_server.domain.tag_names import tag_names
from tagwright_server.domain.upload_values import Answer, MoveOn, Needed, Offer, Pace, Result, Slower
from tagwright_server.domain.uploading import Upload
from tagwright_server.errors import ArgumentInvalid, TagwrightError
from tagwright_server.store.image_records import Visibility
from tagwright_server.transport import call, convert
from tagwright_server.transport import convert_images as convert_image
from tagwright_server.transport.parts import TaggingParts
from tagwright_server.transport.status import to_status
from tagwright_server.transport.wire import MOST_CHUNK_BYTES


class UploadCalls:
    """Photos by the thousand."""

    _parts: TaggingParts

    def UploadImages(
        self, requests: Iterator[pb.UploadImagesRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.UploadImagesResponse]:
        """Store photos, at our pace."""
        now = call.current()
        first = next(requests, None)
        if first is None:
            return
        if first.WhichOneof("message") != "start":
            raise ArgumentInvalid("has to come first", field="start")
        said = _said(first.start)
        upload = self._parts.uploads.open(
            convert.options(first.start.options), by=now.caller_now, caller=now.caller, deadline=now.deadline
        )
        reader = threading.Thread(target=_read, args=(requests, upload, said), name="upload-reader", daemon=True)
        try:
            yield _pace(self._parts.uploads.limits.pace)
            reader.start()
            for answer in upload.answers():
                yield _answer(answer, first.start)
        finally:
            upload.close()


def _said(start: upload_pb2.UploadStart) -> Submission:
    """Read what holds for all photos, as a submission that lacks a photo."""
    return Submission(
        b"",
        user_tag_source=convert_image.to_given_source(start.user_tag_source, field="start.user_tag_source"),
        visibility=convert_image.to_visibility(start.visibility, field="start.visibility") or Visibility.PRIVATE,
        use_embedded_tags=start.use_embedded_tags,
    )


def _read(requests: Iterator[pb.UploadImagesRequest], upload: Upload, said: Submission) -> None:
    """Take what comes; what is wrong with it ends the upload, and there `answers` raises it."""
    try:
        for request in requests:
            kind = request.WhichOneof("message")
            if kind == "offer":
                _offer(request.offer, upload, said)
            elif kind == "chunk":
                if len(request.chunk.data) > MOST_CHUNK_BYTES:
                    raise ArgumentInvalid(f"has more than {MOST_CHUNK_BYTES:,} bytes", field="chunk.data")
                upload.chunk(request.chunk.offer_id, request.chunk.data)
            else:
                raise ArgumentInvalid("must be an offer or a chunk", field="message")
        upload.finish()
    except CallerGone:
        upload.close()
    except BaseException as err:  # it belongs to the thread that writes, where all errors are dealt with
        upload.fail(err)


def _offer(offer: upload_pb2.UploadOffer, upload: Upload, said: Submission) -> None:
    source = convert_image.to_digest(offer.source_sha256, field="offer.source_sha256")
    try:
        tags = tag_names(offer.user_tags, field="offer.user_tags")
        check_said(author=offer.author, file_name=offer.file_name)
    except ArgumentInvalid as err:  # of this photo alone
        upload.refuse(offer.offer_id, err)
        return
    submission = Submission(
        source,
        user_tags=tags,
        user_tag_source=said.user_tag_source,
        author=offer.author,
        file_name=offer.file_name,
        visibility=said.visibility,
        use_embedded_tags=said.use_embedded_tags,
    )
    upload.offer(Offer(offer.offer_id, offer.size_bytes, submission))


def _pace(pace: Pace, wait_s: float = 0.0) -> pb.UploadImagesResponse:
    said = upload_pb2.UploadPace(photos_in_flight_max=pace.photos, bytes_in_flight_max=pace.bytes, wait=_span(wait_s))
    return pb.UploadImagesResponse(pace=said)


def _answer(answer: Answer, start: upload_pb2.UploadStart) -> pb.UploadImagesResponse:
    if isinstance(answer, Needed):
        return pb.UploadImagesResponse(need=upload_pb2.UploadNeed(offer_ids=answer.offer_ids))
    if isinstance(answer, Slower):
        return _pace(answer.pace, answer.wait_s)
    if isinstance(answer, MoveOn):
        return pb.UploadImagesResponse(move_on=upload_pb2.UploadMoveOn(wait=_span(answer.wait_s)))
    return pb.UploadImagesResponse(result=_result(answer, start))


def _result(result: Result, start: upload_pb2.UploadStart) -> upload_pb2.UploadResult:
    if isinstance(result.kept, TagwrightError):
        return upload_pb2.UploadResult(offer_id=result.offer_id, error=to_status(result.kept))
    tags = convert.kept_tags(result.kept, result.looked, include_embedding=start.options.include_embedding)
    return upload_pb2.UploadResult(offer_id=result.offer_id, tags=tags)


def _span(seconds: float) -> Duration:
    span = Duration()
    span.FromTimedelta(timedelta(seconds=seconds))
    return span
